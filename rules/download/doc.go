// Package download is being built.
package download
