package rules

import (
	"context"
	"errors"
	"iter"

	"cbuild/engine"
)

var errNotYet = errors.New("not yet")

// Fetch are the attributes of a fetch: a download.
type Fetch struct {
	Common
	URL        engine.Value      `hcl:"url,required" doc:"Address, or a list of mirrors; null is unavailable."`
	SHA256     *string           `hcl:"sha256" doc:"Expected SHA-256, in hexadecimal."`
	BLAKE3     *string           `hcl:"blake3" doc:"Expected BLAKE3, in hexadecimal."`
	Integrity  *string           `hcl:"integrity" doc:"Expected SRI digest, or h1: of an unpacked Go module."`
	Unpack     engine.Value      `hcl:"unpack" doc:"true, or a format such as \"tar.gz\"."`
	Strip      engine.Value      `hcl:"strip" doc:"Number of leading path elements to drop, or a prefix that every entry must have."`
	Executable []string          `hcl:"executable" doc:"Globs of files that get the executable bit."`
	Headers    map[string]string `hcl:"headers" doc:"Headers of the request."`
}

// Query are the attributes of a query: a question to a registry, whose answer is a collection of items.
type Query struct {
	Common
	Registry string       `hcl:"registry" doc:"Name of a registry."`
	Args     engine.Value `hcl:"args" doc:"What is asked of the registry."`
}

// Toolchain are the attributes of a toolchain.
type Toolchain struct {
	Common
	Kind    string `hcl:"kind,required" doc:"\"go\"."`
	Version string `hcl:"version,required" doc:"Version, as its publisher writes it."`
}

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
func (r *Fetch) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) { return nil, errNotYet }

// Plan is not written yet.
func (r *Query) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) { return nil, errNotYet }

// Query is not written yet.
func (r *Query) Query(context.Context, *Runtime, Self) iter.Seq2[engine.Item, error] {
	return func(yield func(engine.Item, error) bool) { yield(engine.Item{}, errNotYet) }
}

// Plan is not written yet.
func (r *Toolchain) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) {
	return nil, errNotYet
}

// Plan is not written yet.
func (r *Collate) Plan(context.Context, *Runtime, Self) (*engine.Plan, error) { return nil, errNotYet }
