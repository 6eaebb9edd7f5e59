package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"cbuild/rules/download/faultserver"
)

// faultCommands control servers that do whatever goes wrong. Each has a name, and its address in a variable of that name.
var faultCommands = map[string]func(*testscript.TestScript, bool, []string){
	"faulty":       faulty,
	"faulty-file":  faultyFile,
	"fault":        fault,
	"faulty-asked": faultyAsked,
	"faulty-sent":  faultySent,
}

type faultyKey struct {
	ts   *testscript.TestScript
	name string
}

// faultyServers finds the servers of a script.
var faultyServers sync.Map

// faulty starts a server: faulty NAME. What it holds is said with faulty-file.
func faulty(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: faulty NAME")
	}
	s := faultserver.New()
	ts.Defer(s.Close)
	ts.Setenv(args[0], s.URL)
	faultyServers.Store(faultyKey{ts, args[0]}, s)
}

func faultyServer(ts *testscript.TestScript, name string) *faultserver.Server {
	s, ok := faultyServers.Load(faultyKey{ts, name})
	if !ok {
		ts.Fatalf("there is no server %s", name)
	}
	return s.(*faultserver.Server)
}

// faultyContent is n bytes of lines.
func faultyContent(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "line %d\n", i)
	}
	return b.Bytes()[:n]
}

// faultyFile says how many bytes a path holds, or, with @FILE, which: faulty-file NAME PATH N|@FILE.
func faultyFile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: faulty-file NAME PATH N|@FILE")
	}
	content := []byte(nil)
	if file, ok := strings.CutPrefix(args[2], "@"); ok {
		content = []byte(ts.ReadFile(file))
	} else {
		n, err := strconv.Atoi(args[2])
		ts.Check(err)
		content = faultyContent(n)
	}
	faultyServer(ts, args[0]).Serve(args[1], content)
}

// fault makes the next request for a path go wrong, or all of them: fault NAME PATH [always] WORD [ARG]. The words are silence, finish, reset
// (each in the middle of the body), status CODE[/RETRY-AFTER], redirect ADDRESS, changed (another file with the same length).
func fault(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: fault NAME PATH [always] WORD [ARG]")
	}
	s, path, words := faultyServer(ts, args[0]), args[1], args[2:]
	always := words[0] == "always"
	if always {
		words = words[1:]
	}
	arg := strings.Join(words[1:], " ")
	var f faultserver.Fault
	switch words[0] {
	case "silence":
		f = faultserver.Silence(faultserver.Middle)
	case "finish":
		f = faultserver.Finish(faultserver.Middle)
	case "reset":
		f = faultserver.Reset(faultserver.Middle)
	case "status":
		code, after, asks := strings.Cut(arg, "/")
		n, err := strconv.Atoi(code)
		ts.Check(err)
		if f = faultserver.Status(n); asks {
			f = faultserver.Status(n, "Retry-After: "+after)
		}
	case "redirect":
		f = faultserver.Redirect(arg)
	default:
		ts.Fatalf("unknown word %s", words[0])
	}
	if always {
		s.Always(path, f)
	} else {
		s.Fault(path, f)
	}
}

// faultyAsked checks how many requests there were for a path, and that the last of them had a header, or had it not:
// faulty-asked NAME PATH N [[!]HEADER].
func faultyAsked(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: faulty-asked NAME PATH N [[!]HEADER]")
	}
	var last http.Header
	n := 0
	for _, r := range faultyServer(ts, args[0]).Requests() {
		if r.URL.Path == args[1] || args[1] == "*" {
			n++
			last = r.Header
		}
	}
	if strconv.Itoa(n) != args[2] {
		ts.Fatalf("%d requests for %s, want %s", n, args[1], args[2])
	}
	for _, name := range args[3:] {
		name, not := strings.CutPrefix(name, "!")
		if has := last.Get(name) != ""; has == not {
			ts.Fatalf("the last request for %s has the header %v", args[1], last)
		}
	}
}

// faultySent checks that at most so many bytes of a path were sent: faulty-sent NAME PATH N.
func faultySent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: faulty-sent NAME PATH N")
	}
	most, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	if sent := faultyServer(ts, args[0]).Sent(args[1]); sent > most {
		ts.Fatalf("%d bytes of %s were sent, want at most %d", sent, args[1], most)
	}
}
