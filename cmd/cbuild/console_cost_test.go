package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// TestConsoleCosts tells what the console costs: processor time of builds of cached instances on a terminal, with lines in place and without, in turns.
// CBUILD_CONSOLE_COST=100000 takes that many instances × 2, and otherwise it only shows that it works.
func TestConsoleCosts(t *testing.T) {
	n, rounds := 500, 1
	if v, err := strconv.Atoi(os.Getenv("CBUILD_CONSOLE_COST")); err == nil {
		n, rounds = v, 21
	}
	binary := filepath.Join(t.TempDir(), "cbuild")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir, env := filled(t, n)
	ways := []string{"none", "tty", "plain"}
	costs := map[string][]time.Duration{}
	for round := range rounds + 1 {
		for i := range ways {
			way := ways[(round+i)%len(ways)]
			cost, painted := timedOnTerminal(t, binary, dir, env, way)
			if round > 0 { // the first writes the report
				costs[way] = append(costs[way], cost)
			}
			if n > 50_000 && painted != (way == "tty") {
				t.Errorf("--progress %s: lines in place: %v", way, painted)
			}
		}
	}
	median := func(way string) time.Duration {
		all := slices.Sorted(slices.Values(costs[way]))
		return all[len(all)/2]
	}
	none := median("none")
	for _, way := range ways {
		t.Logf("%d instances × 2, --progress %-5s: median of %d builds: user+sys %v (%+.2f %%) of %v", n, way, rounds, median(way),
			100*(float64(median(way))/float64(none)-1), costs[way])
	}
}

// timedOnTerminal builds on a terminal, and returns the processor time that took and whether there were lines in place.
func timedOnTerminal(t *testing.T, binary, dir string, env []string, way string) (cost time.Duration, painted bool) {
	master, slave, err := pty.Open()
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals: %v", err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "report", "--progress", way)
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append([]string{"TERM=xterm"}, env...), slave
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	slave.Close()
	shown, _ := io.ReadAll(master) // until nobody holds the other end
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), strings.Contains(string(shown), "\x1b[J")
}
