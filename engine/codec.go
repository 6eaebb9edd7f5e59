package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"cbuild/cas"
)

// ResultVersion is the first byte of an encoded Result. A reader that does not know it must take the record for a miss.
const ResultVersion = 2

// maxDepth bounds how deep encoded values nest.
const maxDepth = 1000

// AppendResult appends the encoding of r to buf: equal results have equal encodings. docs/FORMATS.md describes it.
func AppendResult(buf []byte, r *Result) []byte {
	buf = append(buf, ResultVersion, byte(r.Status))
	buf = binary.AppendVarint(buf, int64(r.ExitCode))
	buf = binary.AppendUvarint(buf, uint64(len(r.Outs)))
	for _, o := range r.Outs {
		buf = appendString(buf, o.Path)
		buf = appendArtifact(buf, o.Artifact)
	}
	buf = appendDigest(buf, r.Stdout)
	buf = appendDigest(buf, r.Log)
	buf = binary.AppendUvarint(buf, uint64(len(r.Facts)))
	for _, name := range slices.Sorted(maps.Keys(r.Facts)) {
		buf = appendString(buf, name)
		buf = appendString(buf, r.Facts[name])
	}
	for _, n := range []int64{int64(r.Took), int64(r.Used.User), int64(r.Used.System), r.Used.Memory, int64(r.Used.Sandbox)} {
		buf = binary.AppendVarint(buf, n)
	}
	return buf
}

// DecodeResult reads what AppendResult wrote, all of data. It keeps nothing of data.
func DecodeResult(data []byte) (*Result, error) {
	d := decoder{data: data}
	r := d.result()
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	return r, nil
}

func (d *decoder) result() *Result {
	version := d.byte()
	if version == 0 || version > ResultVersion {
		d.failf("version %d is not known", version)
	}
	// Most have one out: together they are one piece of memory.
	whole := &struct {
		Result
		out [1]Output
	}{}
	r := &whole.Result
	r.Status, r.ExitCode = Status(d.byte()), int(d.varint())
	if int(r.Status) >= len(statusNames) {
		d.failf("status %d is not known", r.Status)
	}
	if n := d.count(); n > 0 {
		if n == 1 {
			r.Outs = whole.out[:]
		} else {
			r.Outs = make([]Output, n)
		}
		for i := range r.Outs {
			d.output(&r.Outs[i])
		}
	}
	d.digestTo(&r.Stdout)
	d.digestTo(&r.Log)
	if n := d.count(); n > 0 {
		r.Facts = make(map[string]string, n)
		last := ""
		for i := range n {
			name := d.string()
			d.ascend(i, last, name)
			r.Facts[name], last = d.string(), name
		}
	}
	r.Took = time.Duration(d.varint())
	if version > 1 { // the first one did not know what an action used
		r.Used = Usage{User: time.Duration(d.varint()), System: time.Duration(d.varint()), Memory: d.varint(), Sandbox: SandboxClass(d.varint())}
		if r.Used.Sandbox > SandboxFull {
			d.failf("sandbox class %d is not known", r.Used.Sandbox)
			r.Used.Sandbox = SandboxNone
		}
	}
	return r
}

// The tags of encoded values.
const (
	tagNil = iota
	tagFalse
	tagTrue
	tagInt
	tagFloat
	tagString
	tagArtifact
	tagList
	tagObject
	tagOutSpec
	tagRow
	tagText
)

// AppendValue appends the encoding of v, or of the Shape v, to buf. A *Row inside v is encoded by row, which appends to its argument
// whatever the row decoder of DecodeValue takes; nil refuses rows.
func AppendValue(buf []byte, v Value, row func([]byte, *Row) ([]byte, error)) ([]byte, error) {
	return appendValue(buf, v, row, maxDepth)
}

func appendValue(buf []byte, v Value, row func([]byte, *Row) ([]byte, error), depth int) ([]byte, error) {
	if depth == 0 {
		return nil, errDepth
	}
	switch v := v.(type) {
	case nil:
		return append(buf, tagNil), nil
	case bool:
		return append(buf, tagFalse+boolByte(v)), nil
	case int64:
		return binary.AppendVarint(append(buf, tagInt), v), nil
	case float64:
		return binary.LittleEndian.AppendUint64(append(buf, tagFloat), math.Float64bits(v)), nil
	case string:
		return appendString(append(buf, tagString), v), nil
	case Artifact:
		return appendArtifact(append(buf, tagArtifact), v), nil
	case OutSpec:
		return append(appendString(append(buf, tagOutSpec), v.Path), boolByte(v.Dir)|boolByte(v.Optional)<<1), nil
	case []Value:
		return appendList(buf, v, row, depth)
	case Object:
		return appendObject(buf, v, row, depth)
	case Text:
		return appendText(buf, v), nil
	case *Row:
		if row != nil {
			return appendRow(buf, v, row)
		}
	}
	return nil, fmt.Errorf("a value of type %T can't be encoded", v)
}

func appendList(buf []byte, v []Value, row func([]byte, *Row) ([]byte, error), depth int) (_ []byte, err error) {
	buf = binary.AppendUvarint(append(buf, tagList), uint64(len(v)))
	for _, e := range v {
		if buf, err = appendValue(buf, e, row, depth-1); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func appendObject(buf []byte, v Object, row func([]byte, *Row) ([]byte, error), depth int) (_ []byte, err error) {
	buf = binary.AppendUvarint(append(buf, tagObject), uint64(len(v)))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		if buf, err = appendValue(appendString(buf, name), v[name], row, depth-1); err != nil {
			return nil, err
		}
	}
	return buf, nil
}

func appendText(buf []byte, t Text) []byte {
	buf = binary.AppendUvarint(append(buf, tagText), uint64(len(t)))
	for _, p := range t {
		if p.Artifact != nil {
			buf = appendArtifact(append(buf, 1), *p.Artifact)
		} else {
			buf = appendString(append(buf, 0), p.Lit)
		}
	}
	return buf
}

func (d *decoder) text() Value {
	t := make(Text, d.count())
	for i := range t {
		if d.flags(1) == 1 {
			a := d.artifact()
			t[i].Artifact = &a
		} else {
			t[i].Lit = d.string()
		}
		if d.err != nil {
			return nil
		}
	}
	return t
}

func appendRow(buf []byte, r *Row, row func([]byte, *Row) ([]byte, error)) ([]byte, error) {
	data, err := row(nil, r)
	if err != nil {
		return nil, err
	}
	buf = binary.AppendUvarint(append(buf, tagRow), uint64(len(data)))
	return append(buf, data...), nil
}

// DecodeValue reads what AppendValue wrote, all of data. Rows are decoded by row, whose argument is only valid during the call; nil
// refuses rows.
func DecodeValue(data []byte, row func([]byte) (*Row, error)) (Value, error) {
	d := decoder{data: data}
	v := d.value(row, maxDepth)
	if err := d.end(); err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	return v, nil
}

func (d *decoder) value(row func([]byte) (*Row, error), depth int) Value {
	if depth == 0 {
		d.fail(errDepth)
		return nil
	}
	switch tag := d.byte(); tag {
	case tagNil:
		return nil
	case tagFalse, tagTrue:
		return tag == tagTrue
	case tagInt:
		return d.varint()
	case tagFloat:
		return math.Float64frombits(binary.LittleEndian.Uint64(d.take(8, zeros[:8])))
	case tagString:
		return d.string()
	case tagArtifact:
		return d.artifact()
	case tagOutSpec:
		path, flags := d.string(), d.flags(3)
		return OutSpec{Path: path, Dir: flags&1 != 0, Optional: flags&2 != 0}
	case tagList:
		return d.list(row, depth)
	case tagObject:
		return d.object(row, depth)
	case tagRow:
		return d.row(row)
	case tagText:
		return d.text()
	default:
		d.failf("tag %d is not known", tag)
		return nil
	}
}

func (d *decoder) list(row func([]byte) (*Row, error), depth int) Value {
	v := make([]Value, d.count())
	for i := range v {
		if v[i] = d.value(row, depth-1); d.err != nil {
			return nil
		}
	}
	return v
}

func (d *decoder) object(row func([]byte) (*Row, error), depth int) Value {
	n := d.count()
	v := make(Object, n)
	last := ""
	for i := range n {
		name := d.string()
		d.ascend(i, last, name)
		if v[name] = d.value(row, depth-1); d.err != nil {
			return nil
		}
		last = name
	}
	return v
}

func (d *decoder) row(row func([]byte) (*Row, error)) Value {
	data := d.take(d.count(), nil)
	if d.err != nil {
		return nil
	}
	if row == nil {
		d.failf("a row is not expected here")
		return nil
	}
	r, err := row(data)
	if err != nil {
		d.fail(err)
		return nil
	}
	return r
}

func appendString(buf []byte, s string) []byte {
	return append(binary.AppendUvarint(buf, uint64(len(s))), s...)
}

// appendDigest writes the zero Digest as one byte.
func appendDigest(buf []byte, d cas.Digest) []byte {
	if d.IsZero() {
		return append(buf, 0)
	}
	buf = binary.AppendVarint(append(buf, byte(d.Function)), d.Size)
	return append(buf, d.Hash[:]...)
}

// The flags of an encoded artifact.
const (
	flagTree = 1 << iota
	flagExecutable
	flagSource
	flagTool
)

func appendArtifact(buf []byte, a Artifact) []byte {
	flags := boolByte(a.Kind == TreeKind)*flagTree | boolByte(a.Executable)*flagExecutable | boolByte(a.Source)*flagSource | boolByte(a.Tool)*flagTool
	return appendString(appendDigest(append(buf, flags), a.Digest), a.Name)
}

// A decoder reads encoded values. After the first error it yields zeros and counts nothing, so that loops end.
type decoder struct {
	data []byte
	err  error
}

var (
	errDepth     = errors.New("nested too deeply")
	errTruncated = errors.New("truncated")
)

// zeros stand in for what is not there.
var zeros [32]byte

func (d *decoder) fail(err error) {
	if d.err == nil {
		d.err = err
	}
	d.data = nil
}

func (d *decoder) failf(format string, args ...any) { d.fail(fmt.Errorf(format, args...)) }

// end returns the first error; that something is left over is one.
func (d *decoder) end() error {
	if d.err == nil && len(d.data) > 0 {
		d.failf("%d bytes too many", len(d.data))
	}
	return d.err
}

// take returns the next n bytes, or instead if there are fewer.
func (d *decoder) take(n int, instead []byte) []byte {
	if n > len(d.data) {
		d.fail(errTruncated)
		return instead
	}
	b := d.data[:n]
	d.data = d.data[n:]
	return b
}

func (d *decoder) byte() byte { return d.take(1, zeros[:1])[0] }

// flags reads a byte of flags, of which only those in known may be set.
func (d *decoder) flags(known byte) byte {
	b := d.byte()
	if b&^known != 0 {
		d.failf("flags %#x are not known", b)
	}
	return b
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.data)
	if n <= 0 || (n > 1 && d.data[n-1] == 0) {
		d.fail(errTruncated)
		return 0
	}
	d.data = d.data[n:]
	return v
}

func (d *decoder) varint() int64 {
	u := d.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// count reads how many elements or bytes follow. Each takes at least a byte, so that a forged count can't ask for much memory.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.data)) {
		d.fail(errTruncated)
		return 0
	}
	return int(n)
}

func (d *decoder) string() string { return string(d.take(d.count(), nil)) }

// ascend fails unless name, the i-th one, comes after last.
func (d *decoder) ascend(i int, last, name string) {
	if i > 0 && name <= last {
		d.failf("name %q is out of order", name)
	}
}

// digestTo reads a digest into g, which is zero.
func (d *decoder) digestTo(g *cas.Digest) {
	f := cas.Function(d.byte())
	if f == 0 {
		return
	}
	if f > cas.SHA256 {
		d.failf("hash function %d is not known", f)
	}
	g.Function, g.Size = f, d.varint()
	copy(g.Hash[:], d.take(32, zeros[:]))
}

func (d *decoder) artifact() (a Artifact) {
	d.artifactTo(&a, "")
	return a
}

// artifactTo reads an artifact into a, which is zero. Its name is often the path that it stands at.
func (d *decoder) artifactTo(a *Artifact, path string) {
	flags := d.flags(flagTree | flagExecutable | flagSource | flagTool)
	a.Kind = Kind(flags & flagTree)
	d.digestTo(&a.Digest)
	a.Executable, a.Source, a.Tool = flags&flagExecutable != 0, flags&flagSource != 0, flags&flagTool != 0
	name := d.take(d.count(), nil)
	if a.Name = path; string(name) != path {
		a.Name = string(name)
	}
}

func (d *decoder) output(o *Output) {
	o.Path = d.string()
	d.artifactTo(&o.Artifact, o.Path)
}
