package engine

import (
	"slices"
	"testing"

	"cbuild/cas"
)

func TestDifferencesNameTheComponent(t *testing.T) {
	command := func(edit func(*Command)) []byte {
		c := &Command{
			Argv: []string{"cc", "-O2"}, Env: []string{"EDITION=2021", "TZ=UTC"},
			Mounts: []Mount{{Path: "src/a.c", Artifact: Artifact{Digest: cas.Of([]byte("a"))}}},
		}
		system := []string{"os linux", "program cc b3:1234567890abcdef", "package libc6 u9"}
		if edit != nil {
			edit(c)
		} else {
			system[2] = "package libc6 u10"
		}
		return c.Key(system, nil).Preimage()
	}
	base := command(func(*Command) {})
	for want, after := range map[string][]byte{
		`system: libc6 u9 → u10`:      command(nil),
		`env.EDITION "2021" → "2024"`: command(func(c *Command) { c.Env[0] = "EDITION=2024" }),
		`env.NEW added: "1"`:          command(func(c *Command) { c.Env = append(c.Env, "NEW=1") }),
		`command[1] "-O2" → "-O3"`:    command(func(c *Command) { c.Argv[1] = "-O3" }),
		`command[1] removed: "-O2"`:   command(func(c *Command) { c.Argv = c.Argv[:1] }),
		`command[2] added: "$PWD/script /tools/12"`: command(func(c *Command) {
			c.Argv = append(c.Argv, WorkDir+"/"+ScriptPath+" "+ToolDir(12))
		}),
		`input src/a.c b3:17762fddd969… → b3:10e5cf3d3c8a…`: command(func(c *Command) { c.Mounts[0].Digest = cas.Of([]byte("b")) }),
	} {
		changes := Differences(base, after)
		if len(changes) != 1 || changes[0].String() != want {
			t.Errorf("got %v, want %s", changes, want)
		}
	}
	if changes := Differences(base, base); len(changes) > 0 {
		t.Errorf("equal keys differ in %v", changes)
	}
	two := Differences(base, command(func(c *Command) { c.Env = nil; c.Argv[1] = "-O3" }))
	var reasons []string
	for _, c := range two {
		reasons = append(reasons, c.Reason())
	}
	if want := []string{"command[1] changed", "env.EDITION removed", "env.TZ removed"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons %q, want %q", reasons, want)
	}
}
