package sandbox

import (
	"context"
	"fmt"
	"io"

	"cbuild/cas"
	"cbuild/engine"
	"cbuild/internal/checkout"
	"cbuild/internal/mask"
)

// reveal finds out the secrets of the command, as late as possible. From here on nothing that holds one can be stored.
func (r *run) reveal(ctx context.Context) error {
	if len(r.c.Secrets) == 0 {
		return nil
	}
	values, secrets, err := engine.RevealAll(ctx, r.c.Secrets)
	if err != nil {
		return err
	}
	r.secrets, r.mask = values, mask.New(secrets)
	r.store = &guardedStore{r.store, r.mask}
	return nil
}

// secretEnv returns the variables that hold secrets.
func (r *run) secretEnv() (env []string) {
	for name, value := range r.secrets {
		env = append(env, name+"="+value)
	}
	return env
}

// masked returns a writer to w that lets no secret through. The caller closes it.
func (r *run) masked(w io.Writer) io.WriteCloser {
	if r.mask == nil {
		return openWriter{w}
	}
	return r.mask.Writer(w)
}

type openWriter struct{ io.Writer }

func (openWriter) Close() error { return nil }

// A guardedStore takes no blob that holds a secret. Trees are blobs, so no name can hold one either.
type guardedStore struct {
	cas.Store
	mask *mask.Patterns
}

// Put implements cas.Store. Its error wraps checkout.ErrContent for a blob that holds a secret: then nothing was stored.
func (s *guardedStore) Put(ctx context.Context, r io.Reader) (cas.Digest, error) {
	again, ok := r.(io.ReadSeeker)
	if !ok {
		return cas.Digest{}, fmt.Errorf("%w: a stream can't be searched for secrets", checkout.ErrContent)
	}
	f := s.mask.Finder()
	if _, err := io.Copy(f, again); err != nil {
		return cas.Digest{}, err
	}
	if f.Found() {
		return cas.Digest{}, fmt.Errorf("%w: it holds a secret", checkout.ErrContent)
	}
	if _, err := again.Seek(0, io.SeekStart); err != nil {
		return cas.Digest{}, err
	}
	return s.Store.Put(ctx, r)
}
