package archive_test

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"cbuild/rules/archive"
)

// What the programs of this machine compress, in every way that they have, is read; and what was changed anywhere behind that is noticed.
func TestCompressors(t *testing.T) {
	in := []entry{file("a", strings.Repeat("some text ", 30_000)), file("b", strings.Repeat("more text ", 20_000))}
	plain := makeTar(in)
	cuts := 200
	if raceEnabled {
		cuts = 20
	}
	for _, c := range []struct {
		format  archive.Format
		program string
		args    []string
	}{
		{archive.TarXz, "xz", nil},
		{archive.TarXz, "xz", []string{"-9e"}},
		{archive.TarXz, "xz", []string{"-0", "--check=none"}},
		{archive.TarXz, "xz", []string{"--check=crc32", "--block-size=65536"}},
		{archive.TarXz, "xz", []string{"-T2", "--check=sha256", "--block-size=65536"}}, // with the sizes in the blocks' headers
		{archive.TarZst, "zstd", []string{"-19"}},
		{archive.TarBz2, "bzip2", nil},
	} {
		t.Run(c.program+strings.Join(c.args, ""), func(t *testing.T) {
			if _, err := exec.LookPath(c.program); err != nil {
				t.Skipf("SKIPPED: no %s on this machine", c.program)
			}
			cmd := exec.CommandContext(t.Context(), c.program, append(c.args, "-c")...)
			cmd.Stdin = bytes.NewReader(plain)
			data, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			s, entries, err := unpack(data, archive.Options{Format: c.format})
			if got := listing(s, entries); err != nil || !slices.Equal(got, []string{"a=" + in[0].body, "b=" + in[1].body}) {
				t.Errorf("%.100q, %v", got, err)
			}
			twice := slices.Concat(data[:0:0], data, data) // the second archive lies behind the end of the first
			if _, entries, err := unpack(twice, archive.Options{Format: c.format}); err != nil || len(entries) != 2 {
				t.Errorf("twice: %d entries, %v", len(entries), err)
			}
			for n := 0; n < len(data); n += 1 + len(data)/cuts {
				if _, _, err := unpack(data[:n], archive.Options{Format: c.format}); err == nil {
					t.Errorf("cut at %d of %d, and nobody noticed", n, len(data))
				}
			}
		})
	}
}

// Every byte of an .xz file counts: whichever is changed, the file is refused, or says the same: the size of a chunk counts for nothing where
// the checksums of the block and of the index hold.
func TestXzIsChecked(t *testing.T) {
	whole := xzip(makeTar([]entry{file("a", "some content")}))
	for i := range whole {
		data := slices.Clone(whole)
		data[i] ^= 0x10
		s, entries, err := unpack(data, archive.Options{Format: archive.TarXz})
		got := listing(s, entries)
		if err != nil && !archive.Refused(err) || err == nil && !slices.Equal(got, []string{"a=some content"}) {
			t.Errorf("byte %d of %d was changed: %q, %v", i, len(whole), got, err)
		}
	}
}
