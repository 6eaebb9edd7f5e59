package archive_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"cbuild/rules/archive"
)

// wraps make an archive of a tar stream that is given in pieces: compressed one by one, they are still one stream.
var wraps = map[archive.Format]func(pieces ...[]byte) []byte{
	archive.Tar:    func(p ...[]byte) []byte { return slices.Concat(p...) },
	archive.TarGz:  func(p ...[]byte) []byte { return each(gz, p) },
	archive.TarZst: func(p ...[]byte) []byte { return each(zst, p) },
	archive.TarXz:  func(p ...[]byte) []byte { return each(xzip, p) },
	archive.Deb:    func(p ...[]byte) []byte { return deb("data.tar.xz", each(xzip, p)) },
	archive.Gem:    func(p ...[]byte) []byte { return gem(each(gz, p)) },
}

// each compresses pieces, those that are the same only once.
func each(compress func([]byte) []byte, pieces [][]byte) []byte {
	var b bytes.Buffer
	done := map[*byte][]byte{}
	for _, p := range pieces {
		if done[&p[0]] == nil {
			done[&p[0]] = compress(p)
		}
		b.Write(done[&p[0]])
	}
	return b.Bytes()
}

var tooLarge = fmt.Sprintf("more than %d bytes", mostBytes)

// rawCells are what no list of entries makes.
func rawCells(r *rand.Rand) []cell {
	var cells []cell
	tars := func(name, refused string, listing []string, pieces ...[]byte) *cell {
		c := cell{name: name, refused: refused, listing: listing, data: map[archive.Format][]byte{}}
		for format, wrap := range wraps {
			if format == archive.Tar && len(slices.Concat(pieces...)) > 8<<20 {
				continue // it would be as large as what it holds
			}
			c.data[format] = wrap(pieces...)
		}
		cells = append(cells, c)
		return &cells[len(cells)-1]
	}
	one := makeTar([]entry{file("a", "A")})
	stop := make([]byte, 1024)
	zeros := make([]byte, mostBytes/16)
	many := func(piece []byte, n int) [][]byte { return slices.Repeat([][]byte{piece}, n) }

	tars("10 GiB of zeros in a file", tooLarge, nil, append([][]byte{header("z", 10<<30)}, many(zeros, 4)...)...)
	tars("zeros in many files", tooLarge, nil, zeroFiles(zeros, 40)...)
	tars("very many empty entries", fmt.Sprintf("has many entries: the limit is %d", mostEntries), nil, emptyEntries(mostEntries/1000*6/5)...)
	tars("long names", "has many long names", nil, longNames(3)...)
	tars("headers without end", "has a long stream", nil, many(globalHeader(), 40)...).limits = archive.Limits{Bytes: 1 << 20, Entries: 100}
	tars("a name of 1 GiB", "damaged archive", nil, patch(rawHeader("././@LongLink", 'L', 0), 124, "10000000000\x00"), zeros)
	tars("a negative size", "damaged archive", nil, patch(header("a", 1), 124, strings.Repeat("\xff", 12)), stop)
	tars("a size of 8 GiB", tooLarge, nil, patch(header("a", 1), 124, "77777777777\x00"), stop)
	tars("a size beyond numbers", "damaged archive", nil, patch(header("a", 1), 124, "\xbf"+strings.Repeat("\xff", 11)), stop)
	tars("PAX overrides the size", tooLarge, nil, paxSize(1<<40), stop)
	tars("a sparse file of 1 TiB", tooLarge, nil, sparse(1<<40), stop)
	tars("extended attributes", "", []string{"a=A"}, withPAX("SCHILY.xattr.security.capability", "\x01\x02"))
	tars("times that no clock shows", "", []string{"a=A"}, patch(slices.Clone(one), 136, "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"))
	tars("the year 1900", "", []string{"a=A"}, dated(time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)))
	tars("a stream in pieces", "", []string{"a=A"}, one[:100], one[100:700], one[700:])
	tars("wrong checksum of a header", "damaged archive", nil, slices.Concat(one[:148], []byte("0000000\x00"), one[156:]))
	tars("nothing", "damaged archive", nil, []byte{0})
	tars("HTML", "damaged archive", nil, []byte("<!doctype html><title>Welcome to our hotel</title>"+strings.Repeat(" ", 600)))
	for n := 512; n < len(one)-1024; n += 512 {
		tars(fmt.Sprintf("cut at %d", n), "damaged archive", nil, one[:n])
	}
	for i := range 8 { // bits flipped in the compressed stream, which has a checksum
		for _, f := range []archive.Format{archive.TarGz, archive.TarXz} {
			data := wraps[f](makeTar([]entry{file("a", fmt.Sprint(r.Uint64(), r.Uint64()))}))
			at := 10 + r.IntN(len(data)-10)
			data[at] ^= 1 << r.IntN(8)
			cells = append(cells, cell{name: fmt.Sprintf("bit flipped %d", i), refused: "damaged archive", data: map[archive.Format][]byte{f: data}})
		}
	}
	return append(cells, compressedCells(one)...)
}

// compressedCells are about what lies around a tar stream.
func compressedCells(one []byte) []cell {
	var cells []cell
	add := func(name, refused string, listing []string, format archive.Format, data []byte) {
		cells = append(cells, cell{name: name, refused: refused, listing: listing, data: map[archive.Format][]byte{format: data}})
	}
	kept, garbage := []string{"a=A"}, []byte("garbage behind it all")
	add("garbage behind the end", "", kept, archive.Tar, slices.Concat(one, garbage)) // as tar does: the end is the end
	add("garbage behind the end", "damaged archive", nil, archive.TarGz, slices.Concat(gz(one), garbage))
	add("garbage behind the end", "damaged archive", nil, archive.TarZst, slices.Concat(zst(one), garbage))
	add("garbage behind the end", "damaged archive", nil, archive.TarXz, slices.Concat(xzip(one), garbage))
	add("padding behind the end", "", kept, archive.TarXz, slices.Concat(xzip(one), make([]byte, 8)))
	add("padding of an odd size", "damaged archive", nil, archive.TarXz, slices.Concat(xzip(one), make([]byte, 7)))
	// 2 GiB is 2^31: an exponent of 21 above 2^10.
	add("a window of 2 GiB", "needs a window: the limit is 16777216", nil, archive.TarZst, []byte("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"))
	add("a dictionary", "damaged archive", nil, archive.TarZst, []byte("\x28\xb5\x2f\xfd\x01\x50\x07\x01\x00\x00"))
	add("a window of 4 GiB for little", "", kept, archive.TarXz, greedyXz(xzip(one))) // it gets what is allowed, which is enough
	add("blocks with large windows", "has small blocks with large windows", nil, archive.TarXz, each(func(p []byte) []byte { return greedyXz(xzip(p)) }, chunks(one, 20)))
	for name, c := range map[string][2]string{
		"no member":             {"no member data.tar", string(ar("debian-binary", "2.0\n"))},
		"two with files":        {"is a second one", string(ar("data.tar", string(one), "data.tar.gz", string(gz(one))))},
		"unknown compression":   {"is compressed in a way that is not known", string(ar("data.tar.lz4", "x"))},
		"many members":          {"has many members", string(ar(slices.Repeat([]string{"x", "y"}, 100)...))},
		"negative size":         {"wrong header", "!<arch>\n" + fmt.Sprintf("%-48s%-10d`\n", "data.tar", -5)},
		"size beyond the end":   {"wrong header", "!<arch>\n" + fmt.Sprintf("%-48s%-10d`\n", "data.tar", 1<<30)},
		"broken off":            {"damaged archive", string(ar("data.tar", string(one)))[:40]},
		"a tar file, not ar":    {"not in the format ar", string(one)},
		"a name that traverses": {"no member data.tar", string(ar("../../data.tar", string(one)))},
	} {
		add("ar: "+name, c[0], nil, archive.Deb, []byte(c[1]))
	}
	add("gem: no member", "no member data.tar.gz", nil, archive.Gem, makeTar([]entry{file("metadata.gz", "")}))
	add("gem: two with files", "is a second one", nil, archive.Gem, makeTar([]entry{file("data.tar.gz", string(gz(one))), file("data.tar.gz", string(gz(one)))}))
	add("gem: a link as member", "is no file", nil, archive.Gem, makeTar([]entry{link("data.tar.gz", "/etc/passwd")}))
	add("gem: many members", "has many members", nil, archive.Gem, makeTar(slices.Repeat([]entry{file("x", "")}, 100)))
	return append(cells, zipCells()...)
}

// zipCells are about what only a zip file has.
func zipCells() []cell {
	var cells []cell
	add := func(name, refused string, listing []string, data []byte) {
		cells = append(cells, cell{name: "zip: " + name, refused: refused, listing: listing, data: map[archive.Format][]byte{archive.Zip: data}})
	}
	ab := makeZip([]entry{file("aaaa", "first"), file("bbbb", "other")})
	// In a central entry the method is at 10, the flags at 8, the size at 24, and where the local one is at 42.
	central := func(data []byte, n int) []byte {
		at := 0
		for range n + 1 {
			at += bytes.Index(data[at:], []byte("PK\x01\x02")) + 1
		}
		return data[at-1:]
	}
	changed := func(f func(first, second []byte)) []byte {
		data := slices.Clone(ab)
		f(central(data, 0), central(data, 1))
		return data
	}
	add("encrypted", "is encrypted", nil, changed(func(a, _ []byte) { a[8] |= 1 }))
	add("method 99", "method 99", nil, changed(func(a, _ []byte) { a[10] = 99 }))
	add("another name in the local header", "", []string{"bbbb=other", "cccc=first"}, changed(func(a, _ []byte) { copy(a[46:], "cccc") })) // the central directory counts
	add("wrong checksum", "damaged archive", nil, changed(func(a, _ []byte) { a[16]++ }))
	add("says 4 GiB", tooLarge, nil, changed(func(a, _ []byte) { binary.LittleEndian.PutUint32(a[24:], 1<<32-2) }))
	add("says too little", "damaged archive", nil, changed(func(a, _ []byte) { binary.LittleEndian.PutUint32(a[24:], 1) }))
	add("begins outside", "damaged archive", nil, changed(func(a, _ []byte) { binary.LittleEndian.PutUint32(a[42:], 1<<30) }))
	add("overlapping, small", "", []string{"aaaa=first", "bbbb=first"}, changed(func(a, b []byte) { copy(b[16:28], a[16:28]); copy(b[42:46], a[42:46]) }))
	large := makeZip(zipBomb(30))
	for i := range 30 {
		copy(central(large, i)[42:46], central(large, 0)[42:46])
	}
	add("overlapping, large", tooLarge, nil, large)
	add("a link of 1 MiB", "without a proper target", nil, makeZip([]entry{link("l", strings.Repeat("x", 1<<20))}))
	add("a link to zeros", "without a proper target", nil, makeZip([]entry{link("l", string(make([]byte, 1<<20)))}))
	add("no end record", "damaged archive", nil, ab[:len(ab)-10])
	add("garbage before and behind", "", []string{"aaaa=first", "bbbb=other"}, slices.Concat([]byte("#!/bin/sh\n"), ab))
	for n := 1; n < len(ab); n += 37 {
		add(fmt.Sprintf("cut at %d", n), "damaged archive", nil, ab[:n])
	}
	return cells
}

func zipBomb(n int) []entry {
	body := strings.Repeat("\x00", mostBytes/16)
	entries := make([]entry, n)
	for i := range entries {
		entries[i] = file(fmt.Sprintf("f%03d", i), body)
	}
	return entries
}

// greedyXz makes the only block of an .xz file ask for the largest window that there is.
func greedyXz(data []byte) []byte {
	data = slices.Clone(data)
	block := data[12:]
	size := (int(block[0]) + 1) * 4
	i := bytes.IndexByte(block[:size], 0x21) // the filter, the size of its properties, the properties
	block[i+2] = 40
	binary.LittleEndian.PutUint32(block[size-4:], crc32.ChecksumIEEE(block[:size-4]))
	return data
}

func chunks(data []byte, size int) [][]byte { return slices.Collect(slices.Chunk(data, size)) }

// rawHeader is the header of a tar entry.
func rawHeader(name string, kind byte, size int64) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
	if size >= 8<<30 {
		h.Format = tar.FormatGNU
	}
	if err := w.WriteHeader(h); err != nil {
		panic(err)
	}
	out := b.Bytes()[:512]
	return patch(out, 156, string(kind))
}

func header(name string, size int64) []byte { return rawHeader(name, tar.TypeReg, size) }

// patch changes the header at the beginning of a tar stream, and its checksum.
func patch(data []byte, at int, with string) []byte {
	copy(data[at:], with)
	copy(data[148:156], "        ")
	sum := 0
	for _, c := range data[:512] {
		sum += int(c)
	}
	copy(data[148:], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

func zeroFiles(zeros []byte, n int) (pieces [][]byte) {
	for i := range n {
		pieces = append(pieces, header(fmt.Sprintf("z%d", i), int64(len(zeros))), zeros)
	}
	return append(pieces, make([]byte, 1024))
}

// emptyEntries are thousands of entries without a content.
func emptyEntries(thousands int) (pieces [][]byte) {
	for i := range thousands {
		var b bytes.Buffer
		for j := range 1000 {
			b.Write(header(fmt.Sprintf("e%d-%d", i, j), 0))
		}
		pieces = append(pieces, b.Bytes())
	}
	return append(pieces, make([]byte, 1024))
}

func longNames(thousands int) (pieces [][]byte) {
	for i := range thousands {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for j := range 1000 {
			name := strings.Repeat(strings.Repeat("n", 200)+"/", 18) + fmt.Sprint(i, j)
			if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Format: tar.FormatGNU}); err != nil {
				panic(err)
			}
		}
		if err := w.Flush(); err != nil {
			panic(err)
		}
		pieces = append(pieces, b.Bytes())
	}
	return append(pieces, make([]byte, 1024))
}

func globalHeader() []byte {
	record := "1000 comment="
	record += strings.Repeat("x", 999-len(record)) + "\n"
	body := strings.Repeat(record, 500)
	h := rawHeader("g", tar.TypeXGlobalHeader, int64(len(body)))
	return append(append(h, body...), make([]byte, (512-len(body)%512)%512)...)
}

func paxSize(size int64) []byte {
	record := fmt.Sprintf(" size=%d\n", size)
	record = fmt.Sprint(len(record)+2) + record
	x := rawHeader("x", tar.TypeXHeader, int64(len(record)))
	return slices.Concat(x, []byte(record), make([]byte, 512-len(record)), header("a", 1))
}

// sparse is an old sparse file of GNU: one byte of data, and a size.
func sparse(size int64) []byte {
	h := rawHeader("s", tar.TypeGNUSparse, 1)
	copy(h[257:], "ustar  \x00")
	number := func(n int64) string {
		b := append([]byte{0x80}, make([]byte, 3)...)
		return string(binary.BigEndian.AppendUint64(b, uint64(n)))
	}
	return patch(patch(h, 386, number(size-1)+number(1)), 483, number(size))
}

func withPAX(key, value string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: 1, PAXRecords: map[string]string{key: value}, Format: tar.FormatPAX}); err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte("A"))
	_ = w.Close()
	return b.Bytes()
}

func dated(at time.Time) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "a", Mode: 0o644, Size: 1, ModTime: at, Format: tar.FormatPAX}); err != nil {
		panic(err)
	}
	_, _ = w.Write([]byte("A"))
	_ = w.Close()
	return b.Bytes()
}
