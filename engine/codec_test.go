package engine

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"cbuild/cas"

	"github.com/google/go-cmp/cmp"
)

func fullResult() *Result {
	tree := Artifact{Kind: TreeKind, Digest: cas.Of([]byte("tree")), Name: "tree", Tool: true}
	out := Artifact{Digest: cas.Of([]byte("out")), Executable: true, Name: "bin/out", Source: true}
	return &Result{
		Status: Timeout, ExitCode: -1,
		Outs:   []Output{{"a", tree}, {"b/c", out}},
		Stdout: cas.Digest{Function: cas.SHA256, Size: -1, Hash: [32]byte{1}}, Log: cas.Of(nil),
		Facts: map[string]string{"z": "", "sha256": "00", "": "empty"},
		Took:  3 * time.Second, Used: Usage{time.Second, time.Minute, 1 << 40, SandboxFull},
	}
}

func TestResultsKeepTheirFields(t *testing.T) {
	for _, r := range []*Result{{}, {Status: OOM, ExitCode: 137}, fullResult()} {
		got, err := DecodeResult(AppendResult(nil, r))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(r, got); d != "" {
			t.Error(d)
		}
	}
}

// TestResultEncodingIsGolden fails when the encoding changes. Then ResultVersion must change too, and docs/FORMATS.md.
func TestResultEncodingIsGolden(t *testing.T) {
	r := &Result{Status: Fail, ExitCode: 3, Outs: []Output{{"o", Artifact{Executable: true, Name: "n"}}}, Facts: map[string]string{"b": "2", "a": "1"}, Took: 100, Used: Usage{1, 2, 3, SandboxFull}}
	const want = "02" + "01" + "06" + "01" + "016f" + "02" + "00" + "016e" + "00" + "00" + "02" + "0161" + "0131" + "0162" + "0132" + "c801" + "02040602"
	if got := hex.EncodeToString(AppendResult(nil, r)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	// What the first version wrote is read all the same.
	first, _ := hex.DecodeString("01" + want[2:len(want)-8])
	r.Used = Usage{}
	if got, err := DecodeResult(first); err != nil || !cmp.Equal(got, r) {
		t.Errorf("version 1: %+v, %v", got, err)
	}
}

func TestDecodeResultRefuses(t *testing.T) {
	good := AppendResult(nil, fullResult())
	for n := range good {
		if _, err := DecodeResult(good[:n]); err == nil {
			t.Errorf("cut at %d of %d: accepted", n, len(good))
		}
	}
	for name, data := range map[string][]byte{
		"trailing byte":   append(bytes.Clone(good), 0),
		"unknown version": append([]byte{ResultVersion + 1}, good[1:]...),
		"unknown status":  append([]byte{ResultVersion, 5}, good[2:]...),
		"unsorted facts":  bytes.Replace(good, []byte("\x01z"), []byte("\x01a"), 1),
		"a fact twice":    bytes.Replace(AppendResult(nil, &Result{Facts: map[string]string{"a": "", "b": ""}}), []byte("b"), []byte("a"), 1),
	} {
		if _, err := DecodeResult(data); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func fullValue() Value {
	return Object{
		"nil": nil, "yes": true, "no": false, "int": int64(math.MinInt64), "float": math.Inf(-1), "text": "ä\x00",
		"artifact": Artifact{Digest: cas.Of(nil), Name: "a"},
		"list":     []Value{int64(1), "two", []Value{}, Object{}},
		"shape":    []Value{OutSpec{Path: "a", Dir: true}, OutSpec{Path: "b", Optional: true}},
		"row":      &Row{Key: "k"},
		"path":     Text{{Artifact: &Artifact{Name: "a"}}, {Lit: "/bin"}},
	}
}

// The rows of these tests are encoded as their keys.
func appendKey(buf []byte, r *Row) ([]byte, error) { return append(buf, r.Key...), nil }
func decodeKey(data []byte) (*Row, error)          { return &Row{Key: string(data)}, nil }

func TestValuesKeepTheirTypes(t *testing.T) {
	data, err := AppendValue(nil, fullValue(), appendKey)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeValue(data, decodeKey)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(fullValue(), got, cmp.AllowUnexported(Row{})); d != "" {
		t.Error(d)
	}
	for n := range data {
		if _, err := DecodeValue(data[:n], decodeKey); err == nil {
			t.Errorf("cut at %d of %d: accepted", n, len(data))
		}
	}
}

func TestValuesThatHaveNoEncoding(t *testing.T) {
	endless := []Value{nil}
	endless[0] = endless
	failing := func([]byte, *Row) ([]byte, error) { return nil, errors.New("no") }
	for name, v := range map[string]Value{"int": 1, "struct": struct{}{}, "row": &Row{}, "endless": endless} {
		if _, err := AppendValue(nil, v, nil); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
	if _, err := AppendValue(nil, &Row{}, failing); err == nil {
		t.Error("a failing hook: encoded")
	}
	deep := strings.Repeat("\x07\x01", 1<<20) + "\x00"
	if _, err := DecodeValue([]byte(deep), nil); !errors.Is(err, errDepth) {
		t.Errorf("deep nesting: %v", err)
	}
}

func FuzzDecodeResult(f *testing.F) {
	f.Add(AppendResult(nil, &Result{}))
	f.Add(AppendResult(nil, fullResult()))
	f.Add([]byte{1, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeResult(data)
		if err != nil {
			return
		}
		if again := AppendResult(nil, r); !bytes.Equal(again, data) {
			t.Errorf("%x is written as %x", data, again)
		}
	})
}

func FuzzDecodeValue(f *testing.F) {
	data, err := AppendValue(nil, fullValue(), appendKey)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte{tagList, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeValue(data, decodeKey)
		if err != nil {
			return
		}
		if again, err := AppendValue(nil, v, appendKey); err != nil || !bytes.Equal(again, data) {
			t.Errorf("%v: %x is written as %x", err, data, again)
		}
	})
}

func BenchmarkResultCodec(b *testing.B) {
	r := &Result{Outs: []Output{{"out", Artifact{Digest: cas.Of(nil), Name: "out"}}}, Log: cas.Of([]byte("log")), Took: time.Second}
	buf := AppendResult(nil, r)
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buf = AppendResult(buf[:0], r)
		}
		b.ReportMetric(float64(len(buf)), "bytes")
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := DecodeResult(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkKey(b *testing.B) {
	command := func(inputs int) *Command {
		c := &Command{Argv: []string{"cc", "-c", "a.c", "-o", "a.o"}, Env: []string{"LANG=C.UTF-8", "PATH=/usr/bin:/bin"}, Outs: []OutSpec{{Path: "a.o"}}}
		for i := range inputs {
			name := "src/" + strings.Repeat("d", i%7) + string(rune('a'+i%26))
			c.Mounts = append(c.Mounts, Mount{Path: name, Artifact: Artifact{Digest: cas.Of([]byte(name)), Name: name}})
		}
		return c
	}
	for name, inputs := range map[string]int{"3 inputs": 3, "100 inputs": 100} {
		b.Run(name, func(b *testing.B) {
			c := command(inputs)
			b.ReportAllocs()
			for b.Loop() {
				if k := c.Key(nil, nil); k.Sum().IsZero() {
					b.Fatal("zero")
				}
			}
		})
	}
}
