package rules

import (
	"context"
	"errors"

	"cbuild/engine"
)

var errNotYet = errors.New("not yet")

// Collate are the attributes of a collate: rows into a report.
type Collate struct {
	Common
	Rows      Rows                 `hcl:"rows,required" doc:"What the rows are: a collection, a map or a list."`
	Columns   []engine.Named[Expr] `hcl:"columns" doc:"Columns by name: expressions over each."`
	Compare   []string             `hcl:"compare" doc:"Two or more keys of one axis; the first is the base."`
	Evidence  string               `hcl:"evidence" doc:"What must be equal for same-…: \"log\", \"out\" or \"both\"."`
	Normalize []Normalization      `hcl:"normalize" doc:"List of { pattern, replace } applied to evidence before it is compared."`
	Group     Expr                 `hcl:"group" doc:"Expression over each by which rows are grouped."`
	Sort      []Expr               `hcl:"sort" doc:"Expressions over each by which rows are sorted; default: class, then key."`
	Title     string               `hcl:"title" doc:"Title of the report."`
	Formats   []string             `hcl:"formats" doc:"Formats to write; default html, md, json, csv."`
	Out       string               `hcl:"out" doc:"Directory of the report."`
}

// A Normalization replaces what differs between equal runs in evidence.
type Normalization struct {
	Pattern string `hcl:"pattern,required"`
	Replace string `hcl:"replace,required"`
}

// Plan is not written yet.
func (r *Collate) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) { return nil, errNotYet }
