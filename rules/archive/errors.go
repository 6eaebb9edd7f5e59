package archive

import (
	"errors"
	"fmt"
)

// An EntryError refuses an archive because of one entry. It is final: the same archive will always be refused.
type EntryError struct {
	// Name is the entry as the archive writes it.
	Name   string
	Reason string
}

func (e *EntryError) Error() string {
	name := e.Name
	if len(name) > 200 {
		name = name[:200] + "…"
	}
	return fmt.Sprintf("archive entry %q %s", name, e.Reason)
}

// notUTF8 is the reason for which a tree can't hold what is in an archive that is otherwise sound.
const notUTF8 = "has a name that is not UTF-8"

// ErrNotUTF8 is what an EntryError is for a name that no tree can hold. Such an archive can only be used as a file.
var ErrNotUTF8 = errors.New(notUTF8)

// Is implements the question of errors.Is.
func (e *EntryError) Is(target error) bool { return target == ErrNotUTF8 && e.Reason == notUTF8 }

// A LimitError refuses an archive that would take more than it may. It is as final as an EntryError.
type LimitError struct {
	// What the archive does, as in "has entries".
	What string
	// Most is how many, or how many bytes, it may have at most.
	Most int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("the archive %s: the limit is %d", e.What, e.Most)
}

// ErrDamaged is wrapped by the error for an archive that can't be read to its end.
var ErrDamaged = errors.New("damaged archive")

// Refused reports whether err says that the archive will never be unpacked, whatever is tried: its bytes are to blame.
func Refused(err error) bool {
	return errors.As(err, new(*EntryError)) || errors.As(err, new(*LimitError)) || errors.Is(err, ErrDamaged)
}

func damaged(name string, err error) error {
	switch {
	case err == nil || Refused(err):
		return err
	case name == "":
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return fmt.Errorf("%w: entry %q: %w", ErrDamaged, name, err)
}
