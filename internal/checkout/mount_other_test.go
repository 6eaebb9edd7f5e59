//go:build !linux

package checkout

import "errors"

func mountSmall(string, string) error { return errors.ErrUnsupported }

func unmount(string) {}
