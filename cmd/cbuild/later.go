package main

import (
	"errors"

	"github.com/spf13/pflag"
)

// errNotYet is the answer to what is promised and not there.
var errNotYet = errors.New("this version of cbuild does not have it")

// laterFlags are promised for build.
var laterFlags = []string{"remote", "require-cached"}

func addLaterFlags(f *pflag.FlagSet) {
	for _, name := range laterFlags {
		f.Var(laterFlag(name), name, "")
		_ = f.MarkHidden(name)
		f.Lookup(name).NoOptDefVal = "true"
	}
}

// A laterFlag can't be set.
type laterFlag string

func (l laterFlag) String() string   { return "" }
func (l laterFlag) Type() string     { return "" }
func (l laterFlag) Set(string) error { return &laterError{string(l)} }

// laterError says that a flag is not there yet.
type laterError struct{ flag string }

func (e *laterError) Error() string { return "--" + e.flag + ": " + errNotYet.Error() }
func (e *laterError) Unwrap() error { return errNotYet }
