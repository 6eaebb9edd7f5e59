// Package report is being built.
package report
