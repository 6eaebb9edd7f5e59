// Package engine evaluates targets: on demand, streaming, in bounded memory. Declare Targets, make a Build with New, and call
// Build.Run for what is wanted. It knows nothing of files, processes, networks or BUILD.hcl: rules give it actions, and the parts
// that it is handed (a cas.Store, an ActionCache, an Observer) do the rest.
package engine
