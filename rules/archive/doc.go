// Package archive is being built.
package archive
