package cas

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The field numbers and wire types of build.bazel.remote.execution.v2, as far as a Directory of ours uses them: a tag is the
// number shifted left by 3, plus 2 for bytes and nothing for a varint.
const (
	tagFiles    = 1<<3 | 2 // Directory.files
	tagDirs     = 2<<3 | 2 // Directory.directories
	tagSymlinks = 3<<3 | 2 // Directory.symlinks

	tagName   = 1<<3 | 2 // FileNode.name, DirectoryNode.name, SymlinkNode.name
	tagDigest = 2<<3 | 2 // FileNode.digest, DirectoryNode.digest
	tagTarget = 2<<3 | 2 // SymlinkNode.target
	tagExec   = 4 << 3   // FileNode.is_executable

	tagHash = 1<<3 | 2 // Digest.hash
	tagSize = 2 << 3   // Digest.size_bytes
)

// Encode returns the canonical encoding of d, whatever the order of its entries: the one that deterministic protobuf writes for
// sorted lists. Names are as CheckName says and unique, targets of symlinks are UTF-8 without NUL and not empty, and digests are
// BLAKE3 with their size.
func (d *Directory) Encode() ([]byte, error) {
	files := sortedBy(d.Files, func(f File) string { return f.Name })
	dirs := sortedBy(d.Dirs, func(s Subdir) string { return s.Name })
	links := sortedBy(d.Symlinks, func(l Symlink) string { return l.Name })
	if err := check(files, dirs, links); err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	size := 0
	for _, f := range files {
		size += len(f.Name) + 90
	}
	buf := make([]byte, 0, size+100*(len(dirs)+len(links)))
	for _, f := range files {
		buf = append(buf, tagFiles)
		buf = binary.AppendUvarint(buf, uint64(nodeSize(f.Name, f.Digest)+2*boolInt(f.Executable)))
		buf = appendNode(buf, f.Name, f.Digest)
		if f.Executable {
			buf = append(buf, tagExec, 1)
		}
	}
	for _, s := range dirs {
		buf = append(buf, tagDirs)
		buf = binary.AppendUvarint(buf, uint64(nodeSize(s.Name, s.Digest)))
		buf = appendNode(buf, s.Name, s.Digest)
	}
	for _, l := range links {
		buf = append(buf, tagSymlinks)
		buf = binary.AppendUvarint(buf, uint64(stringSize(l.Name)+stringSize(l.Target)))
		buf = appendString(buf, tagName, l.Name)
		buf = appendString(buf, tagTarget, l.Target)
	}
	return buf, nil
}

// sortedBy returns list sorted by name, and list itself if it is sorted already.
func sortedBy[T any](list []T, name func(T) string) []T {
	order := func(a, b T) int { return cmp.Compare(name(a), name(b)) }
	if slices.IsSortedFunc(list, order) {
		return list
	}
	list = slices.Clone(list)
	slices.SortFunc(list, order)
	return list
}

// check says what is wrong with the sorted lists of a Directory.
func check(files []File, dirs []Subdir, links []Symlink) error {
	for _, f := range files {
		if err := cmp.Or(CheckName(f.Name), checkDigest(f.Name, f.Digest)); err != nil {
			return err
		}
	}
	for _, s := range dirs {
		if err := cmp.Or(CheckName(s.Name), checkDigest(s.Name, s.Digest)); err != nil {
			return err
		}
	}
	for _, l := range links {
		if err := cmp.Or(CheckName(l.Name), checkTarget(l)); err != nil {
			return err
		}
	}
	return checkUnique(files, dirs, links)
}

// checkUnique merges the sorted lists and says which name comes twice.
func checkUnique(files []File, dirs []Subdir, links []Symlink) error {
	last := ""
	for len(files)+len(dirs)+len(links) > 0 {
		var name string
		if len(files) > 0 {
			name = files[0].Name
		}
		if len(dirs) > 0 && (name == "" || dirs[0].Name < name) {
			name = dirs[0].Name
		}
		if len(links) > 0 && (name == "" || links[0].Name < name) {
			name = links[0].Name
		}
		if name == last {
			return fmt.Errorf("name %q occurs twice", name)
		}
		last = name
		switch {
		case len(files) > 0 && files[0].Name == name:
			files = files[1:]
		case len(dirs) > 0 && dirs[0].Name == name:
			dirs = dirs[1:]
		default:
			links = links[1:]
		}
	}
	return nil
}

func checkDigest(name string, d Digest) error {
	if d.Function != BLAKE3 || d.Size < 0 {
		return fmt.Errorf("%q: digest %q of %d bytes is not a BLAKE3 digest with its size", name, d, d.Size)
	}
	return nil
}

func checkTarget(l Symlink) error {
	if l.Target == "" || strings.ContainsRune(l.Target, 0) || !utf8.ValidString(l.Target) {
		return fmt.Errorf("symlink %q: target %q is empty, not UTF-8 or holds a NUL", l.Name, l.Target)
	}
	return nil
}

// hashField is the size of the field Digest.hash: tag, length, 64 digits.
const hashField = 2 + 64

func digestSize(d Digest) int {
	if d.Size == 0 {
		return hashField
	}
	return hashField + 1 + uvarintSize(uint64(d.Size))
}

func stringSize(s string) int { return 1 + uvarintSize(uint64(len(s))) + len(s) }

func nodeSize(name string, d Digest) int { return stringSize(name) + 2 + digestSize(d) }

func uvarintSize(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendString(buf []byte, tag byte, s string) []byte {
	buf = append(buf, tag)
	buf = binary.AppendUvarint(buf, uint64(len(s)))
	return append(buf, s...)
}

// appendNode appends what FileNode and DirectoryNode begin with. A digest's message is below 128 bytes: its length is one byte.
func appendNode(buf []byte, name string, d Digest) []byte {
	buf = appendString(buf, tagName, name)
	buf = append(buf, tagDigest, byte(digestSize(d)), tagHash, 64)
	buf = hex.AppendEncode(buf, d.Hash[:])
	if d.Size != 0 {
		buf = append(buf, tagSize)
		buf = binary.AppendUvarint(buf, uint64(d.Size))
	}
	return buf
}

// DecodeDirectory reads what Encode writes and refuses everything else: names that CheckName refuses, that occur twice or are out
// of order, fields that we do not write, and any other spelling of the same message. So Encode gives back data.
func DecodeDirectory(data []byte) (*Directory, error) {
	d := new(Directory)
	r := wire{data: data}
	for len(r.data) > 0 && r.err == nil {
		switch tag := r.byte(); tag {
		case tagFiles:
			d.Files = append(d.Files, r.message().file())
		case tagDirs:
			d.Dirs = append(d.Dirs, r.message().subdir())
		case tagSymlinks:
			d.Symlinks = append(d.Symlinks, r.message().symlink())
		default:
			return nil, fmt.Errorf("directory: field with the tag %d", tag)
		}
	}
	if r.err != nil {
		return nil, fmt.Errorf("directory: %w", r.err)
	}
	canon, err := d.Encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(canon, data) {
		return nil, errors.New("directory: not in canonical form")
	}
	return d, nil
}

// A wire reads protobuf's wire format. After the first error it yields zeros. It need not refuse every wrong spelling, since
// DecodeDirectory compares the bytes in the end.
type wire struct {
	data []byte
	err  error
}

var errWire = errors.New("malformed")

func (r *wire) fail() {
	r.data, r.err = nil, errWire
}

func (r *wire) byte() byte {
	if len(r.data) == 0 {
		r.fail()
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *wire) uvarint() uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *wire) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.data)) {
		r.fail()
		return nil
	}
	b := r.data[:n]
	r.data = r.data[n:]
	return b
}

// inner is the fields of a message inside another, whose errors are the outer one's.
type inner struct {
	wire
	outer *wire
}

func (r *wire) message() *inner { return &inner{wire: wire{data: r.bytes()}, outer: r} }

// tag reads the tag of a field, which must be want.
func (m *inner) tag(want byte) {
	if m.byte() != want {
		m.fail()
	}
}

// end tells the outer message of an error.
func (m *inner) end() {
	if m.err != nil || len(m.data) > 0 {
		m.outer.fail()
	}
}

func (m *inner) string(tag byte) string {
	m.tag(tag)
	return string(m.bytes())
}

func (m *inner) digest() Digest {
	m.tag(tagDigest)
	in := m.message()
	defer in.end()
	d := Digest{Function: BLAKE3}
	in.tag(tagHash)
	if digits := in.bytes(); len(digits) != 64 {
		in.fail()
	} else if _, err := hex.Decode(d.Hash[:], digits); err != nil {
		in.fail()
	}
	if len(in.data) > 0 {
		in.tag(tagSize)
		d.Size = int64(in.uvarint())
	}
	return d
}

func (m *inner) file() File {
	defer m.end()
	f := File{Name: m.string(tagName), Digest: m.digest()}
	if len(m.data) > 0 {
		m.tag(tagExec)
		f.Executable = m.uvarint() == 1
	}
	return f
}

func (m *inner) subdir() Subdir {
	defer m.end()
	return Subdir{Name: m.string(tagName), Digest: m.digest()}
}

func (m *inner) symlink() Symlink {
	defer m.end()
	return Symlink{Name: m.string(tagName), Target: m.string(tagTarget)}
}
