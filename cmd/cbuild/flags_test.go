package main

import (
	"slices"
	"strings"
	"testing"

	"cbuild/cas/local"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "12B": 12, "300GB": 300e9, "300 GB": 300e9, "4GiB": 4 << 30, "1.5GiB": 3 << 29, "2K": 2000, "7TiB": 7 << 40, "0.5M": 5e5, "1gb": 1e9,
	} {
		var n int64
		if err := (&size{&n}).Set(text); err != nil || n != want {
			t.Errorf("%s is %d, %v, want %d", text, n, err, want)
		}
	}
	for _, text := range []string{"", "many", "-1", "1.25G", "GB", "1 2", "999999999999T", "5PB", "0x10", "1\n"} {
		n := int64(7)
		if err := (&size{&n}).Set(text); err == nil || n != 7 {
			t.Errorf("%q is %d", text, n)
		}
	}
}

func TestJoinJobs(t *testing.T) {
	for line, want := range map[string]string{
		"-j": "-j", "-j 4": "-j=4", "-j4": "-j=4", "-j 4 report": "-j=4 report", "-j report": "-j report", "report -j": "report -j",
		"--jobs 4": "--jobs=4", "--jobs report": "--jobs report", "--jobs=4": "--jobs=4", "-kj 4": "-kj=4", "-Skj4 x": "-Skj=4 x",
		"-j -1": "-j=-1", "-j -- 4": "-j -- 4", "exec t -- -j 4": "exec t -- -j 4", "-C j 4": "-C j 4", "--fail-on=j 4": "--fail-on=j 4",
	} {
		if got := strings.Join(joinJobs(strings.Fields(line)), " "); got != want {
			t.Errorf("%q becomes %q, want %q", line, got, want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	words := []string{"auto", "tty", "plain", "json", "none"}
	for given, want := range map[string]string{"jsn": "json", "plian": "plain", "atuo": "auto", "xyzzy": "", "": ""} {
		got := didYouMean(given, words, "")
		if want != "" {
			want = `Did you mean "` + want + `"?`
		}
		if got != want {
			t.Errorf("%q: %s", given, got)
		}
	}
}

// Every setting has a flag, and its words are those that the documentation names.
func TestSettingsAreFlags(t *testing.T) {
	c := &cli{}
	c.machineFlags()
	for _, name := range settingNames {
		if c.setting(name) == nil {
			t.Errorf("the setting %s has no flag", name)
		}
	}
	if c.durability() != local.Group || c.setting("durability").Value.Set("none") != nil || c.durability() != local.None {
		t.Error("durability does not reach the store")
	}
	if !slices.Contains(settingNames, "disk_ahead") || c.setting("disk_ahead").Name != "disk-ahead" {
		t.Error("disk_ahead is not --disk-ahead")
	}
}
