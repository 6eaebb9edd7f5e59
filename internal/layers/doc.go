// Package layers holds the import policy of the whole tree, as a test: each storey stands only on those below it.
package layers
