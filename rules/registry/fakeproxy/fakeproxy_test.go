package fakeproxy_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"cbuild/rules/registry/fakeproxy"
)

// goDownload runs `go mod download` with what env says and nothing kept, and returns what it says of each module.
func goDownload(t *testing.T, env []string, modules ...string) []struct{ Path, Version, Sum, Error, Dir string } {
	t.Helper()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("SKIPPED: no go command")
	}
	// Not t.TempDir: a child of the go command, which counts for its statistics, may still write there when it is removed.
	dir, err := os.MkdirTemp("", "fakeproxy-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cmd := exec.Command(goTool, append([]string{"mod", "download", "-json"}, modules...)...)
	cmd.Dir = dir
	cmd.Env = append([]string{
		"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "GOPATH=" + filepath.Join(dir, "path"), "GOCACHE=" + filepath.Join(dir, "cache"), "GOENV=off", "GOTOOLCHAIN=local", "GOTELEMETRY=off",
	}, env...)
	cmd.Env = append(cmd.Env, "GOFLAGS=-modcacherw")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // it fails if one module does
	var all []struct{ Path, Version, Sum, Error, Dir string }
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var one struct{ Path, Version, Sum, Error, Dir string }
		if err := d.Decode(&one); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("go mod download: %v\n%s%s", err, out, stderr.Bytes())
		}
		all = append(all, one)
	}
	return all
}

// The go command takes p for a module proxy with a checksum database, so p is one.
func TestTheGoCommandBelieves(t *testing.T) {
	p := fakeproxy.New()
	p.Add(fakeproxy.Module{Path: "example.com/One", Version: "v1.0.0", Files: map[string]string{"go.mod": "module example.com/One\n", "a.go": "package a\n"}})
	p.Generate = fakeproxy.Many(10)
	srv := p.Serve()
	defer srv.Close()
	for name, env := range map[string][]string{"through the proxy": p.Env(srv.URL), "at its own address": append(p.Env(srv.URL), "GOSUMDB="+p.SumDB(srv.URL))} {
		got := goDownload(t, env, "example.com/One@v1.0.0", fakeproxy.Name(3)+"@latest", fakeproxy.Name(10)+"@latest")
		if len(got) != 3 {
			t.Fatalf("%s: %+v", name, got)
		}
		for _, m := range got {
			missing := m.Path == fakeproxy.Name(10)
			if (m.Error != "") != missing || (m.Sum == "") != missing {
				t.Errorf("%s: %+v", name, m)
			}
		}
	}
	if p.Count("/sumdb/*/supported") == 0 || p.Count("/sumdb/*/tile/8/0/*/*") == 0 {
		t.Error("the checksum database was not asked through the proxy")
	}
}

func TestTheGoCommandSeesAWrongZip(t *testing.T) {
	p := fakeproxy.New()
	m := fakeproxy.Module{Path: "example.com/one", Version: "v1.0.0", Files: map[string]string{"a.go": "package a\n"}}
	p.Add(m)
	m.Files = map[string]string{"a.go": "package b\n"}
	p.Fault("/example.com/one/@v/*.zip", fakeproxy.Fault{Body: fakeproxy.Zip(m), Always: true})
	srv := p.Serve()
	defer srv.Close()
	got := goDownload(t, p.Env(srv.URL), "example.com/one@v1.0.0")
	if len(got) != 1 || !strings.Contains(got[0].Error, "checksum mismatch") {
		t.Errorf("%+v", got)
	}
}

func get(t *testing.T, url string) (int, string, error) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // a test against loopback
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

func TestFaultsComeInOrderAndAreCounted(t *testing.T) {
	p := fakeproxy.New()
	p.Add(fakeproxy.Module{Path: "example.com/one", Version: "v1.0.0"})
	srv := p.Serve()
	defer srv.Close()
	const list = "/example.com/one/@v/list"
	p.Fault(list, fakeproxy.Fault{Status: 503, RetryAfter: "7"}, fakeproxy.Fault{Cut: fakeproxy.Short, At: 3}, fakeproxy.Fault{Cut: fakeproxy.Reset, At: 3}, fakeproxy.Fault{Latency: 30 * time.Millisecond})
	if code, _, err := get(t, srv.URL+list); code != 503 || err != nil {
		t.Errorf("503: %d, %v", code, err)
	}
	for range 2 {
		if _, body, err := get(t, srv.URL+list); err == nil {
			t.Errorf("cut: %q", body)
		}
	}
	began := time.Now()
	for range 2 {
		if code, body, err := get(t, srv.URL+list); code != 200 || body != "v1.0.0\n" || err != nil {
			t.Errorf("healed: %d, %q, %v", code, body, err)
		}
	}
	if time.Since(began) < 30*time.Millisecond || p.Count(list) != 5 || p.Count("/example.com/*/@v/list") != 5 || p.Total() != 5 {
		t.Errorf("%v, %d, %d requests", time.Since(began), p.Count(list), p.Total())
	}
}

func TestHold(t *testing.T) {
	p := fakeproxy.New()
	p.Add(fakeproxy.Module{Path: "example.com/one", Version: "v1.0.0"})
	srv := p.Serve()
	defer srv.Close()
	release := p.Hold("/example.com/one/@latest")
	done := make(chan error)
	go func() {
		_, _, err := get(t, srv.URL+"/example.com/one/@latest")
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("not held back: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	release()
	release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestToolchainAndManyAreDeterministic(t *testing.T) {
	a := fakeproxy.Toolchain("1.25.0", runtime.GOOS, runtime.GOARCH, map[string]string{"bin/gofmt": "#!/bin/sh\n"})
	if b := fakeproxy.Toolchain("1.25.0", runtime.GOOS, runtime.GOARCH, map[string]string{"bin/gofmt": "#!/bin/sh\n"}); !bytes.Equal(fakeproxy.Zip(a), fakeproxy.Zip(b)) {
		t.Error("the same toolchain has another zip file")
	}
	many := fakeproxy.Many(1_000_000)
	if m := many(fakeproxy.Name(999_999)); len(m) != 1 || !bytes.Equal(fakeproxy.Zip(m[0]), fakeproxy.Zip(many(fakeproxy.Name(999_999))[0])) {
		t.Error("the same generated module differs")
	}
	for _, name := range []string{fakeproxy.Name(1_000_000), "example.com/many/m1", "example.com/other"} {
		if slices.ContainsFunc(many(name), func(fakeproxy.Module) bool { return true }) {
			t.Errorf("there is a module %s", name)
		}
	}
}
