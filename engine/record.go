package engine

// YieldsTo reports whether r, which an action cache keeps, is to be replaced by other, a later record of the same key. A pass stays,
// so that everybody goes on with the result that was used first, unless other passed in a higher sandbox class and so serves more.
// Anything that completed replaces a failure, for a failing action is done again to get a newer answer; and it replaces what a limit
// ended. Of two that a limit ended, the first stays if it serves all that the second does. An action cache may replace a pass
// besides when its blobs are lost.
func (r *Record) YieldsTo(other *Record) bool {
	had, got := r.Result.Status, other.Result.Status
	if limited(got) {
		covered, _ := r.Conditions.Serve(had, other.Conditions)
		return limited(had) && (had != got || !covered)
	}
	if had == Pass {
		return got == Pass && other.Conditions.Sandbox > r.Conditions.Sandbox
	}
	return got == Pass || limited(had) || other.Conditions.Sandbox >= r.Conditions.Sandbox
}

// limited reports whether a limit ended what has status s.
func limited(s Status) bool { return s == Timeout || s == OOM }
