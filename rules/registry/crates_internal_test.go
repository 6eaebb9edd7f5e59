package registry

import (
	"bytes"
	"strings"
	"testing"
)

// Whatever the index says about a crate, what comes of it are versions of that crate with a digest, in order.
func FuzzCrateIndex(f *testing.F) {
	sum := strings.Repeat("0", 64)
	for _, s := range []string{
		"", "{}\n", `{"name":"a","vers":"1.0.0","cksum":"` + sum + `","yanked":false}` + "\n" + `{"name":"A","vers":"1.0.0","cksum":"` + sum + `"}`,
		`{"name":"../a","vers":"1.0.0","cksum":"` + sum + `"}`, `{"name":"a","vers":"v1","cksum":"x"}`, "[]\nnull\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		all, err := parseCrate(body, "a")
		if err != nil {
			return
		}
		for i, v := range all {
			if !strings.EqualFold(v.Name, "a") || !isSHA256(v.Cksum) || i > 0 && all[i-1].parsed.Compare(v.parsed) > 0 {
				t.Errorf("%v", v)
			}
			if _, err := NewCrates(Options{}).Mirrors(t.Context(), crateAddress(v.Name, v.Vers)+"x"); err == nil {
				t.Errorf("an address with more behind it is one")
			}
		}
	})
}

// Whatever a dump holds, it is read or refused.
func FuzzDumpTable(f *testing.F) {
	for _, s := range []string{"", "id,name\n1,a\n", "crate_id,num,checksum,yanked\n1,1.0.0," + strings.Repeat("0", 64) + ",f\n1\n", "a\n\"", "id,name,downloads\n1,a,-5\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d := &cratesDump{crates: map[string]*dumpedCrate{}}
		for _, use := range []func(map[string]string) error{d.crate, d.counted, d.version} {
			_ = table(bytes.NewReader(text), use)
		}
		for item := range d.items(0, 0) {
			value := item.Value.(map[string]any)
			if !crateName.MatchString(value["name"].(string)) || !isSHA256(value["sha256"].(string)) {
				t.Errorf("%v", item)
			}
		}
	})
}
