package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"cbuild/cas"
	"cbuild/cas/castest"
	"cbuild/engine"
	"cbuild/internal/checkout"
)

func TestWhereControlGroupsCanBe(t *testing.T) {
	const (
		two    = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
		part   = "30 24 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
		memory = "31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
		cpu    = "32 24 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
		hybrid = "33 24 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	)
	for name, c := range map[string]struct {
		mounts, own string
		want        []*cgroups
	}{
		"none":                {"22 1 0:2 / / rw - ext4 /dev/vda rw\n", "0::/\n", nil},
		"version 2":           {two, "0::/user.slice/a.scope\n", []*cgroups{{v2: "/sys/fs/cgroup/user.slice/a.scope", home: "/sys/fs/cgroup/user.slice/a.scope"}, {v2: "/sys/fs/cgroup/user.slice", home: "/sys/fs/cgroup/user.slice/a.scope"}}},
		"version 2, the root": {two, "0::/\n", []*cgroups{{v2: "/sys/fs/cgroup", home: "/sys/fs/cgroup"}}},
		"part of version 2":   {part, "0::/docker/abc\n", []*cgroups{{v2: "/sys/fs/cgroup", home: "/sys/fs/cgroup"}}},
		"version 1": {memory + cpu, "4:memory:/a/b\n3:cpu,cpuacct:/\n", []*cgroups{
			{v1: map[string]string{"memory": "/sys/fs/cgroup/memory/a/b", "cpu": "/sys/fs/cgroup/cpu,cpuacct"}},
		}},
		"both": {memory + hybrid, "4:memory:/\n0::/x\n", []*cgroups{
			{v2: "/sys/fs/cgroup/unified/x", home: "/sys/fs/cgroup/unified/x"},
			{v2: "/sys/fs/cgroup/unified", home: "/sys/fs/cgroup/unified/x"},
			{v1: map[string]string{"memory": "/sys/fs/cgroup/memory"}},
		}},
		"no memory": {cpu, "3:cpu,cpuacct:/\n", nil},
		"rubbish":   {"x\n - \na b c d - cgroup2\n", "0\n::\n", nil},
	} {
		if got := candidates([]byte(c.mounts), []byte(c.own)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:", name)
			for _, g := range got {
				t.Errorf("  got  %q %q %v", g.v2, g.home, g.v1)
			}
		}
	}
}

// TestCommandsEnterGroups puts commands into groups of both versions, as far as the machine has them: the kernel tells where they are.
func TestCommandsEnterGroups(t *testing.T) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	entered := 0
	for _, c := range candidates(mounts, own) {
		g, err := c.open(0, 0)
		if err != nil {
			t.Logf("no group in %q %v: %v", c.v2, c.v1, err)
			continue
		}
		g.close()
		for _, class := range []engine.SandboxClass{engine.SandboxNone, engine.SandboxFull} {
			if where := groupOf(t, c, class); !strings.Contains(where, "/cbuild-") {
				t.Errorf("class %v, version 2: %v, groups %q", class, c.v2 != "", where)
			}
			entered++
		}
		for _, dir := range append([]string{c.v2}, c.v1[memoryController]) {
			ours := fmt.Sprintf("cbuild-%d-*", os.Getpid()) // others may be at work beside this test
			if left, _ := filepath.Glob(filepath.Join(dir, ours)); dir != "" && len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		}
	}
	if entered == 0 {
		t.Skip("SKIPPED: no group can be made on this machine")
	}
}

// groupOf returns what a command in a group of c sees of where it is.
func groupOf(t *testing.T, c *cgroups, class engine.SandboxClass) string {
	t.Helper()
	store, dir := castest.NewMemory(), t.TempDir()
	x := New(store, checkout.NewShared(store, filepath.Join(t.TempDir(), "trees")), dir)
	if class == engine.SandboxFull {
		var why error
		if x, why = Open(t.Context(), store, checkout.NewShared(store, filepath.Join(t.TempDir(), "trees")), dir); why != nil {
			t.Skipf("SKIPPED: class full: %v", why)
		}
	}
	defer x.Close()
	x.limits.find.Do(func() { x.limits.groups = c })
	r, err := x.Execute(t.Context(), &engine.Command{Argv: []string{"cat", "/proc/self/cgroup"}, Env: []string{"PATH=/usr/bin:/bin"}, CPU: 1})
	if err != nil || r.Status != engine.Pass {
		t.Fatalf("%+v, %v", r, err)
	}
	text, err := cas.ReadAll(t.Context(), store, r.Stdout, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
