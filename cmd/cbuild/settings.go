package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"cbuild/internal/buildfile"
)

// settingNames are what configuration files and the environment may set. Each is a flag of the same name, with - in place of _, which beats
// both; they say something of the machine, so nothing in them alters a key.
var settingNames = []string{"jobs", "cas", "durability", "keep", "window", "disk_ahead", "connections", "sandbox", "progress", "color"}

// setting returns the flag of a setting.
func (c *cli) setting(name string) *pflag.Flag {
	return c.machine.Lookup(strings.ReplaceAll(name, "_", "-"))
}

// configure gives the flags that are not on the command line the values of the environment (CBUILD_JOBS), of .cbuild.hcl in the
// workspace's root, and of config.hcl in the user's configuration directory, in this order.
func (c *cli) configure() error {
	if c.configured {
		return nil
	}
	c.configured = true
	if c.machine == nil {
		c.machineFlags()
	}
	given := make(map[string]string)
	for _, name := range settingNames {
		if f := c.setting(name); f.Changed {
			given[name] = f.Value.String()
		}
	}
	for _, file := range c.configFiles() {
		diags := buildfile.LoadConfig(relative(file), settingNames, func(s buildfile.Setting) error {
			if s.Name == "cas" && !filepath.IsAbs(s.Value) {
				s.Value = filepath.Join(filepath.Dir(file), s.Value)
			}
			return c.setting(s.Name).Value.Set(s.Value)
		})
		if err := c.report(diags); err != nil {
			return err
		}
	}
	for _, name := range settingNames {
		variable := "CBUILD_" + strings.ToUpper(name)
		if text, ok := c.env(variable); ok && text != "" {
			if err := c.setting(name).Value.Set(text); err != nil {
				return usagef("%s=%s: %w", variable, text, err)
			}
		}
	}
	for name, text := range given {
		if err := c.setting(name).Value.Set(text); err != nil {
			return usagef("--%s=%s: %w", name, text, err)
		}
	}
	return nil
}

// configFiles returns the configuration files, the weakest first.
func (c *cli) configFiles() (files []string) {
	if dir, err := c.xdg("XDG_CONFIG_HOME", ".config"); err == nil {
		files = append(files, filepath.Join(dir, "cbuild", "config.hcl"))
	}
	if root, ok := buildfile.FindRoot(".", c.flags.file); ok {
		files = append(files, filepath.Join(root, buildfile.ConfigName))
	}
	return files
}

// settingsTable documents the settings in Markdown.
func (c *cli) settingsTable() string {
	var b strings.Builder
	b.WriteString("What belongs to a machine can be set for all builds: flags beat the environment, that beats `.cbuild.hcl` in the workspace's root, that beats\n" +
		"`$XDG_CONFIG_HOME/cbuild/config.hcl`. Both files hold lines such as `jobs = 8`. Nothing in them alters a key.\n\n" +
		"| in a file | in the environment | flag | meaning |\n|---|---|---|---|\n")
	for _, name := range settingNames {
		f := c.setting(name)
		_, text := pflag.UnquoteUsage(f)
		fmt.Fprintf(&b, "| `%s` | `CBUILD_%s` | `--%s` | %s |\n", name, strings.ToUpper(name), f.Name, text)
	}
	return b.String()
}
