// Package ui holds the script and the style of the report page. They are made from src by
//
//	npm ci && go -C internal/tools run ./bundle ../../rules/report/ui
//
// and kept here, so that building cbuild needs neither. The page's data comes from package report.
package ui

import _ "embed"

// Script belongs at the end of the page's body, after the elements with its data.
//
//go:embed dist/app.js
var Script string

// Style belongs into the page's head.
//
//go:embed dist/app.css
var Style string
