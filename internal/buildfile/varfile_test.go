package buildfile

import (
	"strings"
	"testing"
)

// TestVarFiles gives variables values from files: below the command line, above the environment.
func TestVarFiles(t *testing.T) {
	const text = `
variable "text" { default = "d" }
variable "num" { default = 3 }
variable "object" {
  type    = object({ a = string, b = optional(number, 4), c = optional(string) })
  default = { a = "x" }
}
run "r" {
  command = [var.text, var.num, jsonencode(var.object)]
}
`
	for name, c := range map[string]struct {
		files map[string]string
		args  []string
		env   map[string]string
		want  string
		err   string
	}{
		"defaults of members": {nil, nil, nil, `[d 3 {"a":"x","b":4,"c":null}]`, ""},
		"a file":              {map[string]string{"a.vars": "text = \"f\"\nobject = { a = \"y\", b = 5 }\n"}, nil, nil, `[f 3 {"a":"y","b":5,"c":null}]`, ""},
		"members by name":     {nil, []string{`object={ a = "z" }`}, nil, `[d 3 {"a":"z","b":4,"c":null}]`, ""},
		"the last file":       {map[string]string{"a.vars": "text = \"f\"\nnum = 7", "b.vars": "text = \"g\""}, nil, nil, `[g 7 {"a":"x","b":4,"c":null}]`, ""},
		"command line first":  {map[string]string{"a.vars": "text = \"f\""}, []string{"text=x"}, nil, `[x 3 {"a":"x","b":4,"c":null}]`, ""},
		"before env":          {map[string]string{"a.vars": "text = \"f\""}, nil, map[string]string{"CBUILD_VAR_text": "e"}, `[f 3 {"a":"x","b":4,"c":null}]`, ""},
		"a version":           {map[string]string{"a.vars": "text = 1.20"}, nil, nil, "", "a.vars:1 Invalid value for variable text: It is a string: 1.2 is not an integer: write a string"},
		"wrong type":          {map[string]string{"a.vars": "\nnum = \"many\""}, nil, nil, "", "a.vars:2 Invalid value for variable num: It is a number: a number is required."},
		"unknown":             {map[string]string{"a.vars": "txt = 1"}, nil, nil, "", `a.vars:1 Unknown variable txt: Did you mean "text"?`},
		"no expressions":      {map[string]string{"a.vars": "num = var.text"}, nil, nil, "", "a.vars:1 Not a literal"},
		"a block":             {map[string]string{"a.vars": "variable \"x\" {\n}\n"}, nil, nil, "", `a.vars:1 Unexpected block "variable"`},
		"syntax":              {map[string]string{"a.vars": "num = = 1"}, nil, nil, "", "a.vars:1 Invalid expression"},
		"no file":             {map[string]string{"-gone.vars": ""}, nil, nil, "", "Cannot read gone.vars"},
		"unfit by a file":     {map[string]string{"a.vars": "checked = \"x\""}, nil, nil, "", "BUILD.hcl:12 Invalid value for variable checked: a.vars:1 gives \"x\". Allowed are \"y\"."},
		"unfit by name":       {nil, []string{"checked=x"}, nil, "", "BUILD.hcl:12 Invalid value for variable checked: The command line gives \"x\". Allowed are \"y\"."},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{FileName: text + "variable \"checked\" {\n  allowed = [\"y\"]\n  default = \"y\"\n}\n"}
			opts := Options{}
			for _, file := range sortedKeys(c.files) {
				if gone, ok := strings.CutPrefix(file, "-"); ok {
					opts.VarFiles = append(opts.VarFiles, gone)
					continue
				}
				files[file] = c.files[file]
				opts.VarFiles = append(opts.VarFiles, file)
			}
			named := opts.VarFiles
			opts = testOptions(write(t, files))
			opts.VarFiles = named
			for _, a := range c.args {
				v, _ := ParseVar(a)
				opts.Vars = append(opts.Vars, v)
			}
			opts.LookupEnv = func(n string) (string, bool) { v, ok := c.env[n]; return v, ok }
			w, diags := Load(opts)
			if c.err != "" {
				var got []string
				for _, d := range diags.All() {
					got = append(got, strings.TrimSpace(d.Where()+" "+d.Summary+": "+d.Detail))
				}
				if len(got) != 1 || !strings.HasPrefix(got[0], c.err) {
					t.Errorf("got %q, want %q", got, c.err)
				}
				return
			}
			if diags.HasErrors() {
				t.Fatal(diags.Error())
			}
			want(t, "command", mustCommand(t, &fakeBuild{w: w}, "r"), c.want)
		})
	}
}
