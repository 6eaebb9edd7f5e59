package main_test

import (
	"bufio"
	"compress/gzip"
	"context"
	le "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// A serving is a cbuild serve that runs, with the last thing that its live page was told.
type serving struct {
	w    *world
	cmd  *exec.Cmd
	base string

	mu   sync.Mutex
	last liveTold // guarded by mu
}

type liveTold struct {
	ID, Outcome string
	Running     []struct{ Name string }
	Targets     []struct {
		Label       string
		Done, Total int
	}
	Report struct {
		Label            string
		Rows, Generation int
	}
}

// serve starts cbuild serve, and a reader of the events of its live page.
func (w *world) serve() *serving {
	w.t.Helper()
	s := &serving{w: w, cmd: exec.Command(binary, "serve")} //nolint:noctx // ended below
	s.cmd.Dir, s.cmd.Env, s.cmd.Stderr = w.dir, w.environ(), os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err == nil {
		err = s.cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Fatal(err)
	}
	s.base = strings.TrimSpace(line)
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	reading.Go(func() { s.listen(ctx) })
	w.t.Cleanup(func() {
		cancel()
		reading.Wait()
	})
	return s
}

func (s *serving) listen(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"live/events", nil)
	if err != nil {
		s.w.t.Error(err)
		return
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.w.t.Error(err)
		return
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var told liveTold
			if err := json.Unmarshal([]byte(data), &told); err != nil {
				s.w.t.Errorf("%v: %s", err, data)
			}
			s.mu.Lock()
			s.last = told
			s.mu.Unlock()
		}
	}
}

func (s *serving) told() liveTold {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// get returns the answer at a path below the address.
func (s *serving) get(path string) (int, http.Header, string) {
	s.w.t.Helper()
	resp, err := http.Get(s.base + path) //nolint:noctx // on this machine
	if err != nil {
		s.w.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.w.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(body)
}

// header reads the header of the data of a page.
func (s *serving) header(path string) (h struct {
	Title   string
	Count   int
	Summary map[string]int
},
) {
	s.w.t.Helper()
	status, _, body := s.get(path)
	z, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		s.w.t.Fatalf("%s: %d, %v", path, status, err)
	}
	data, err := io.ReadAll(z)
	if err == nil {
		err = json.Unmarshal(data[8:8+le.LittleEndian.Uint32(data[4:])], &h)
	}
	if err != nil {
		s.w.t.Fatal(err)
	}
	return h
}

// gatedFile has runs of which each waits for a file of its own.
const gatedFile = `
variable "home" {}

run "work" {
  for_each = ["a", "b", "c", "d"]

  env           = { HERE = var.home, NAME = each.key }
  script        = "echo $NAME $$ >> \"$HERE/started\"; until test -e \"$HERE/gate-$NAME\"; do sleep 0.02; done; echo error: $NAME'<b>'; test $NAME != b; echo $NAME > $out"
  out           = "o.html"
  allow_failure = true
}

collate "report" {
  title   = "What became of it"
  rows    = run.work
  columns = { file = try(each.value.out, null) }
}
`

// Whoever looks sees a build while it runs, however often it is ended and begun again, and what is left of it afterwards.
func TestServeShowsABuildThatIsKilledAndResumed(t *testing.T) {
	w := newWorld(t, nil, map[string]string{"BUILD.hcl": gatedFile})
	w.env = openSandbox
	open := func(name string) {
		if err := os.WriteFile(filepath.Join(w.home, "gate-"+name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := w.serve()
	if status, _, body := s.get(""); status != http.StatusOK || !strings.Contains(body, "No build has run here yet") {
		t.Errorf("before the first build: %d\n%s", status, body)
	}
	p := w.start("first.json", "-j4", "home="+w.home, "report")
	w.until("it runs", func() bool { l := s.told(); return l.Outcome == "running" && len(l.Running) == 4 })
	open("a")
	open("b")
	w.until("two rows are seen", func() bool {
		l := s.told()
		return l.Report.Rows == 2 && l.Report.Label == "//:report" && l.Report.Generation > 0
	})
	w.until("they are on the page", func() bool { return s.header("live/pack").Count == 2 })
	if h := s.header("live/pack"); h.Title != "What became of it" || h.Summary["pass"] != 1 || h.Summary["fail"] != 1 {
		t.Errorf("the live page: %+v", h)
	}
	status, _, page := s.get("live/")
	if status != http.StatusOK || !strings.Contains(page, "data-live") {
		t.Errorf("live/: %d\n%.300s", status, page)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	w.until("it is said to be killed", func() bool { return s.told().Outcome == "killed" })
	if h := s.header("live/pack"); h.Count != 2 {
		t.Errorf("the page of the killed build has %d rows", h.Count)
	}
	first := s.told().ID

	p = w.start("second.json", "-j4", "home="+w.home, "report")
	w.until("it runs again", func() bool { l := s.told(); return l.ID != first && l.Outcome == "running" && l.Report.Rows == 2 })
	p.signal(syscall.SIGINT)
	w.until("it has heard", p.heard)
	open("c")
	open("d")
	if status := p.wait(); status != 130 {
		t.Errorf("status %d", status)
	}
	w.until("it is said to be cancelled", func() bool { return s.told().Outcome == "cancelled" })

	w.build(0, "home="+w.home, "report")
	w.until("it is said to have passed", func() bool { return s.told().Outcome == "pass" })
	id := s.told().ID
	s.checkPast(id)
	s.checkStrangers()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _ = s.cmd.Wait(); s.cmd.ProcessState.ExitCode() != 143 {
		t.Errorf("serve ended with %v", s.cmd.ProcessState)
	}
	if left, _ := filepath.Glob(filepath.Join(w.home, "state/cbuild/*/live/*")); len(left) > 0 {
		t.Errorf("sockets are left: %v", left)
	}
}

// checkPast looks at a build that is over.
func (s *serving) checkPast(id string) {
	t := s.w.t
	t.Helper()
	if _, _, body := s.get(""); strings.Count(body, "<tr>") != 4 || !strings.Contains(body, ">killed<") || !strings.Contains(body, ">cancelled<") || !strings.Contains(body, "build/"+id+"/") {
		t.Errorf("the list of builds:\n%s", body)
	}
	if h := s.header("build/" + id + "/pack"); h.Count != 5 || h.Summary["fail"] != 1 {
		t.Errorf("all results: %+v", h)
	}
	status, head, body := s.get("build/" + id + "/log/" + url.PathEscape("//:work[b]"))
	if status != http.StatusOK || body != "error: b<b>\n" || !strings.HasPrefix(head.Get("Content-Type"), "text/plain") || !strings.Contains(head.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the log: %d %v %q", status, head, body)
	}
	report := fmt.Sprintf("build/%s/report/%s/", id, url.PathEscape("//:report"))
	if status, _, body := s.get(report); status != http.StatusOK || !strings.Contains(body, `id="pack"`) {
		t.Errorf("the report: %d %.300s", status, body)
	}
	if status, _, body := s.get(report + "results.csv"); status != http.StatusOK || !strings.HasPrefix(body, "key,") {
		t.Errorf("results.csv: %d %q", status, body)
	}
	// A file that a program made is handed out, and never shown as a page of ours.
	files, err := filepath.Glob(filepath.Join(s.w.dir, "cbuild-out/report/files/*/o.html"))
	if err != nil || len(files) != 3 {
		t.Fatalf("the report has the files %v, %v", files, err)
	}
	rel, _ := filepath.Rel(filepath.Join(s.w.dir, "cbuild-out/report"), files[0])
	if status, head, _ := s.get(report + rel); status != http.StatusOK || !strings.HasPrefix(head.Get("Content-Disposition"), "attachment") || strings.Contains(head.Get("Content-Type"), "html") {
		t.Errorf("%s: %d %v", rel, status, head)
	}
	for _, path := range []string{"build/nonesuch/pack", report + "nonesuch", report + "..%2f..%2fetc%2fpasswd", "build/" + id + "/log/x", "live/detail/9999"} {
		if status, _, _ := s.get(path); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
}

// checkStrangers asks as those do who have not seen the address, or whose page has made its own name one of this machine.
func (s *serving) checkStrangers() {
	t := s.w.t
	t.Helper()
	at, err := url.Parse(s.base)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, host string }{{"/", at.Host}, {"/0123456789abcdef/", at.Host}, {at.Path, "evil.example"}, {at.Path, "evil.example:" + at.Port()}} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+at.Host+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusForbidden {
			t.Errorf("%+v: status %d", c, resp.StatusCode)
		}
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:0", "localhost"} {
		cmd := exec.CommandContext(t.Context(), binary, "serve", "--listen", address)
		cmd.Dir, cmd.Env = s.w.dir, s.w.environ()
		if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "--listen") {
			t.Errorf("--listen %s: %v\n%s", address, cmd.ProcessState, out)
		}
	}
}
