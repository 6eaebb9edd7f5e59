// Package buildfile reads BUILD.hcl: it finds the packages of a workspace, reports every mistake in them at once, and turns their
// targets into engine.Targets whose functions evaluate expressions. Call Load, then Workspace.Resolve and, before a build,
// Workspace.Bind. It also formats files (Format) and keeps the lock file (OpenLock). It is the only package that knows HCL; it
// runs nothing and reaches no network.
//
// Expressions are not evaluated against a tree of variables. Load replaces each reference in the syntax tree by a node that looks
// up, when it is evaluated, exactly what it names: see compiler and node.
package buildfile
