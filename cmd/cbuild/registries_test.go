package main_test

import (
	"net/http/httptest"
	"os"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"cbuild/rules/registry/fakes"
)

// A fakeWorld is the registries of a script, served at one address or, as by mirrors, at several.
type fakeWorld struct {
	world   *fakes.World
	servers []*httptest.Server
}

func newFakeWorld() *fakeWorld {
	w := fakes.New()
	return &fakeWorld{world: w, servers: []*httptest.Server{w.Serve()}}
}

func (f *fakeWorld) close() {
	for _, s := range f.servers {
		s.CloseClientConnections()
		s.Close()
	}
}

// worldCommands control the fake registries of a script.
var worldCommands = map[string]func(*testscript.TestScript, bool, []string){
	"package": worldCommand(3, addPackage),
	"keyring": worldCommand(1, func(ts *testscript.TestScript, f *fakeWorld, args []string) {
		ts.Check(os.WriteFile(ts.MkAbs(args[0]), f.world.Keyring(), 0o644))
	}),
	"asked": worldCommand(2, asked),
	"answers": worldCommand(2, func(ts *testscript.TestScript, f *fakeWorld, args []string) {
		status, err := strconv.Atoi(args[1])
		ts.Check(err)
		f.world.Answer(args[0], status)
	}),
	"token": worldCommand(1, func(_ *testscript.TestScript, f *fakeWorld, args []string) { f.world.SetToken(args[0]) }),
	"mirror": worldCommand(0, func(ts *testscript.TestScript, f *fakeWorld, _ []string) {
		m := f.world.Serve()
		f.servers = append(f.servers, m)
		ts.Setenv("MIRROR", m.URL)
	}),
}

// worldCommand is a command of a script that takes at least so many arguments.
func worldCommand(least int, do func(*testscript.TestScript, *fakeWorld, []string)) func(*testscript.TestScript, bool, []string) {
	return func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < least {
			ts.Fatalf("want at least %d arguments, and no !", least)
		}
		do(ts, ts.Value(worldKey{}).(*fakeWorld), args)
	}
}

// addPackage adds a package with one file: package REGISTRY NAME VERSION [WORD…], where a WORD is yanked=WHY, section=S, arch=A, depends=D,
// tag=T, downloads=N, program=PATH, unchecked or wheel.
func addPackage(ts *testscript.TestScript, f *fakeWorld, args []string) {
	p := fakes.Package{Name: args[1], Version: args[2], Files: map[string]string{"text": args[1] + " " + args[2] + "\n"}}
	for _, word := range args[3:] {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "yanked":
			p.Yanked = value
		case "section":
			p.Section = value
		case "arch":
			p.Arch = value
		case "depends":
			p.Depends = value
		case "downloads":
			n, err := strconv.ParseInt(value, 10, 64)
			ts.Check(err)
			p.Downloads = n
		case "tag":
			p.Tag = value
		case "program":
			p.Files[value] = "#!/bin/sh\necho I am " + args[1] + " " + args[2] + "\n"
		case "unchecked":
			p.Unchecked = true
		case "wheel":
			p.Wheel = true
		default:
			ts.Fatalf("unknown word %s", word)
		}
	}
	f.world.Add(args[0], p)
}

// asked checks how many requests there were since the last time: asked PATTERN N; "*" counts all, and forgets them.
func asked(ts *testscript.TestScript, f *fakeWorld, args []string) {
	if got := f.world.Count(args[0]); strconv.Itoa(got) != args[1] {
		ts.Fatalf("%d requests for %s, want %s: %q", got, args[0], args[1], f.world.Asked())
	}
	if args[0] == "*" {
		f.world.Reset()
	}
}
