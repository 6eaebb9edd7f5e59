package engine

// SetTailRows changes how many rows feeds keep in memory, and returns how to change it back.
func SetTailRows(n int) (restore func()) {
	old := tailRows
	tailRows = n
	return func() { tailRows = old }
}
