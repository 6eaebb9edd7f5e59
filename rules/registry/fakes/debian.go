package fakes

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ulikunitz/xz"
)

// A signer signs the releases of a Debian archive.
type signer struct {
	mu   sync.Mutex
	made map[string][]byte // guarded by mu; by the text that is signed: a signature says when it was made
}

// newKey makes a key. All worlds of a process have the same one, as it takes a while.
var newKey = sync.OnceValue(func() *openpgp.Entity {
	e, err := openpgp.NewEntity("archive", "", "archive@example.com", nil)
	if err != nil {
		panic(err) // the name is a constant form
	}
	return e
})

func newSigner() *signer { return &signer{made: map[string][]byte{}} }

// Keyring returns the key that signs the releases, armoured.
func (w *World) Keyring() []byte {
	var b bytes.Buffer
	a, err := armor.Encode(&b, openpgp.PublicKeyType, nil)
	if err == nil {
		err = newKey().Serialize(a)
	}
	if err == nil {
		err = a.Close()
	}
	if err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}

// debianArchive answers for the suite stable with the component main and the architectures that packages have: dists/stable/InRelease, by-hash
// and plain names of indexes, and pool/….
func (w *World) debianArchive(rest string) *answer {
	all := w.of("debian")
	if file, ok := strings.CutPrefix(rest, "pool/"); ok {
		for _, p := range all {
			if poolFile(p) == "pool/"+file {
				return &answer{body: deb(p)}
			}
		}
		return nil
	}
	rest, ok := strings.CutPrefix(rest, "dists/stable/")
	if !ok {
		return nil
	}
	files := debianIndexes(all)
	if rest == "InRelease" {
		return &answer{body: w.debian.release(files)}
	}
	for name, body := range files {
		sum := sha256.Sum256(body)
		if rest == name || rest == path.Dir(name)+"/by-hash/SHA256/"+hex.EncodeToString(sum[:]) {
			return &answer{body: body}
		}
	}
	return nil
}

func arch(p Package) string {
	if p.Arch == "" {
		return "amd64"
	}
	return p.Arch
}

func poolFile(p Package) string {
	_, version, found := strings.Cut(p.Version, ":")
	if !found {
		version = p.Version
	}
	return "pool/main/" + p.Name[:1] + "/" + p.Name + "/" + p.Name + "_" + version + "_" + arch(p) + ".deb"
}

// debianIndexes returns the indexes by name, plain and compressed in both ways.
func debianIndexes(all []Package) map[string][]byte {
	texts := map[string]*bytes.Buffer{}
	for _, p := range all {
		name := "main/binary-" + arch(p) + "/Packages"
		if texts[name] == nil {
			texts[name] = &bytes.Buffer{}
		}
		body := deb(p)
		section := p.Section
		if section == "" {
			section = "utils"
		}
		t := texts[name]
		fmt.Fprintf(t, "Package: %s\nVersion: %s\nInstalled-Size: 34\nMaintainer: A Person <a@example.com>\nArchitecture: %s\n", p.Name, p.Version, arch(p))
		if p.Depends != "" {
			fmt.Fprintf(t, "Depends: %s\n", p.Depends)
		}
		fmt.Fprintf(t, "Description: made up\n a second line\n .\n a fourth\nSection: %s\nPriority: optional\nFilename: %s\nSize: %d\n", section, poolFile(p), len(body))
		if !p.Unchecked {
			fmt.Fprintf(t, "SHA256: %x\n", sha256.Sum256(body))
		}
		fmt.Fprintln(t)
	}
	files := map[string][]byte{}
	for name, t := range texts {
		files[name] = t.Bytes()
		files[name+".gz"] = gzipped(t.Bytes())
		files[name+".xz"] = xzipped(t.Bytes())
	}
	return files
}

func gzipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // into memory
	_ = z.Close()
	return b.Bytes()
}

func xzipped(text []byte) []byte {
	var b bytes.Buffer
	z, err := xz.NewWriter(&b)
	if err == nil {
		_, err = z.Write(text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // into memory
	}
	return b.Bytes()
}

// release returns an InRelease file that names files.
func (s *signer) release(files map[string][]byte) []byte {
	var text, signed bytes.Buffer
	fmt.Fprintf(&text, "Origin: Example\nSuite: stable\nCodename: stable\nDate: %s\nAcquire-By-Hash: yes\nComponents: main\nMD5Sum:\n", Published.Format("Mon, 02 Jan 2006 15:04:05 UTC"))
	fmt.Fprintf(&text, " d41d8cd98f00b204e9800998ecf8427e %8d main/Contents\nSHA256:\n", 0)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		body := files[name]
		fmt.Fprintf(&text, " %x %8d %s\n", sha256.Sum256(body), len(body), name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.made[text.String()]; old != nil {
		return old
	}
	z, err := clearsign.Encode(&signed, newKey().PrivateKey, nil)
	if err == nil {
		_, err = z.Write(text.Bytes())
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err) // into memory
	}
	s.made[text.String()] = signed.Bytes()
	return signed.Bytes()
}

// deb makes a Debian package: an ar archive of debian-binary, control.tar.gz and data.tar.gz.
func deb(p Package) []byte {
	control := fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: A Person <a@example.com>\nDescription: made up\n", p.Name, p.Version, arch(p))
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	member := func(name string, body []byte) {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(body))
		b.Write(body)
		if len(body)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	member("debian-binary", []byte("2.0\n"))
	member("control.tar.gz", tarball(Package{Files: map[string]string{"control": control}}, "."))
	member("data.tar.gz", tarball(p, "."))
	return b.Bytes()
}
