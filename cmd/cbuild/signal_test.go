package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// patientFile has twenty runs that note their process and go on until the file gate exists.
const patientFile = `
variable "home" {}

run "work" {
  for_each = split(",", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t")

  env    = { HERE = var.home, NAME = each.key }
  script = "echo $NAME $$ >> \"$HERE/started\"; until test -e \"$HERE/gate\"; do sleep 0.02; done; echo $NAME > $out"
  out    = "o"
}

collate "report" {
  rows = run.work
}
`

// stubbornFile has two runs that are deaf to SIGTERM, with children that are, too.
const stubbornFile = `
variable "home" {}

run "work" {
  for_each = ["a", "b", "c"]

  env    = { HERE = var.home, NAME = each.key }
  script = "trap '' TERM INT HUP; echo x $$ >> \"$HERE/started\"; sh -c 'echo child $$ >> \"$HERE/started\"; while :; do sleep 1; done' & while :; do sleep 1; done"
}
`

// started returns the ids of the processes that runs noted.
func (w *world) started() (pids []int) {
	w.t.Helper()
	data, err := os.ReadFile(filepath.Join(w.home, "started"))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		pid, err := strconv.Atoi(strings.Fields(line)[1])
		if err != nil {
			w.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// checkEnded fails the test if one of the processes goes on. One that was killed is still there until its turn comes to end.
func (w *world) checkEnded(pids []int) {
	w.t.Helper()
	for _, pid := range pids {
		w.until(fmt.Sprintf("process %d of a run has ended", pid), func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
}

// zombie reports whether a process has ended and is only not collected by whoever inherited it.
func zombie(pid int) bool {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return err != nil && os.IsNotExist(err)
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return strings.HasPrefix(after, "Z")
}

func (p *process) signal(s syscall.Signal) {
	p.w.t.Helper()
	if err := p.Process.Signal(s); err != nil {
		p.w.t.Fatal(err)
	}
}

// heard reports whether the process has said that it stops.
func (p *process) heard() bool { return strings.Contains(p.said(), "Stopping: ") }

// The first signal lets what runs finish, and starts nothing new. What finished counts when the same command is given again.
func TestFirstSignalLetsRunningWorkFinish(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, map[string]string{"BUILD.hcl": patientFile})
			w.env = openSandbox
			p := w.start("events.json", "-j2", "home="+w.home, "report")
			w.until("two have started", func() bool { return w.fileHas("started", "\n", 2) })
			p.signal(c.signal)
			w.until("it has heard", p.heard)
			if err := os.WriteFile(filepath.Join(w.home, "gate"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if status := p.wait(); status != c.status {
				t.Errorf("status %d, want %d\n%s", status, c.status, p.said())
			}
			pids := w.started()
			if len(pids) != 2 {
				t.Errorf("%d runs were started, want the 2 of before the signal", len(pids))
			}
			w.checkEnded(pids)
			w.checkNothingLeft()
			all, err := readEvents(p.events, false)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range wrongWith(all) {
				t.Error(problem)
			}
			last := all[len(all)-1]
			w.checkPartialReport()
			if !strings.Contains(p.said(), "run the same command to resume") {
				t.Errorf("it does not say how to resume: %s", p.said())
			}
			if pass, cancelled := count(all, "work", "pass", "no"), count(all, "work", "cancelled", ""); pass != 2 || pass+cancelled != 20 || last.Outcome != "cancelled" || *last.ExitCode != c.status {
				t.Errorf("%d pass, %d cancelled, build_finished %s %d: %v", pass, cancelled, last.Outcome, *last.ExitCode, finishedOf(all))
			}
			_, all = w.build(0, "home="+w.home, "report")
			if ran, kept := count(all, "work", "pass", "no"), count(all, "work", "pass", "local"); ran != 18 || kept != 2 {
				t.Errorf("then %d ran and %d were stored, want 18 and 2", ran, kept)
			}
		})
	}
}

// checkPartialReport checks that the report of an interrupted build says what is known, and that it is not all.
func (w *world) checkPartialReport() {
	w.t.Helper()
	json, csv := w.read("cbuild-out/report/results.json"), w.read("cbuild-out/report/results.csv")
	if !strings.Contains(json, `"incomplete":true`) || strings.Count(csv, ",pass") != 2 {
		w.t.Errorf("the report of the interrupted build:\n%s%s", json, csv)
	}
}

// The second signal ends everything at once, also what does not want to end. Nothing of it stays.
func TestSecondSignalEndsEverything(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		status int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, nil, map[string]string{"BUILD.hcl": stubbornFile})
			w.env = openSandbox
			p := w.start("events.json", "-j2", "home="+w.home)
			w.until("two and their children have started", func() bool { return w.fileHas("started", "\n", 4) })
			p.signal(c.signal)
			w.until("it has heard", p.heard)
			p.signal(c.signal)
			if status := p.wait(); status != c.status {
				t.Errorf("status %d, want %d\n%s", status, c.status, p.said())
			}
			if !strings.Contains(p.said(), "Ending what runs.") || strings.Contains(p.said(), "still runs after") {
				t.Errorf("it was not the second signal that ended it: %s", p.said())
			}
			if pids := w.started(); len(pids) != 4 {
				t.Errorf("%d processes were started, want 4", len(pids))
			}
			w.checkEnded(w.started())
			w.checkNothingLeft()
			all, err := readEvents(p.events, false)
			if err != nil {
				t.Fatal(err)
			}
			if n := count(all, "work", "cancelled", ""); n != 3 || count(all, "", "", "") != 3 {
				t.Errorf("%d instances are cancelled, want 3", n)
			}
		})
	}
}
