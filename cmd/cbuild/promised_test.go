package main

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cbuild/engine"
	"cbuild/internal/buildfile"
	"cbuild/rules"
	"cbuild/rules/report"
)

// A promise is something that the code can list, and the word by which a story speaks of it.
type promise struct {
	name string
	word *regexp.Regexp
}

// promised lists everything that the code can list.
func promised(t *testing.T) (all []promise) {
	add := func(name, word string) { all = append(all, promise{name, regexp.MustCompile("(?m)" + word)}) }
	promisedBlocks(t, add)
	promisedAttributes(add)
	promisedReferences(add)
	promisedFunctions(t, add)
	promisedOutcomes(add)
	promisedCommands(add)
	return all
}

// promisedBlocks lists the attributes of the blocks that are no targets, from the chapter on them.
func promisedBlocks(t *testing.T, add func(name, word string)) {
	n := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `(cbuild|variable|function|import|rule|param|output)\\b.*$").FindAllStringSubmatch(docChapter(t, "blocks"), -1) {
		_, cells, _ := strings.Cut(row[0], " | ")
		for _, m := range regexp.MustCompile("(?:^|[,;] )`([a-z]+)`").FindAllStringSubmatch(cells, -1) {
			add("block "+row[1]+"."+m[1], `^ *`+row[1]+` [^\n]*\{(?:\n[^}\n][^\n]*)*?\s+`+m[1]+`\s*=`)
			n++
		}
	}
	if n < 10 {
		t.Fatalf("the chapter on blocks lists %d attributes", n)
	}
}

// promisedAttributes lists the attributes of targets, and what can be read of them.
func promisedAttributes(add func(name, word string)) {
	common := map[string]bool{"for_each": true, "matrix": true, "where": true, "description": true, "tags": true, "private": true}
	shared := attributeNames(reflect.TypeFor[rules.Common]())
	for _, k := range rules.Kinds() {
		for _, name := range attributeNames(reflect.TypeOf(k.New()).Elem()) {
			if slices.Contains(shared, name) {
				common[name] = true
				continue
			}
			add("attribute "+k.Name+"."+name, `^`+k.Name+` "[^\n]*\{(?:\n?[^}\n][^\n]*\n|\n)*?\s+`+name+`\s*=|^`+k.Name+` "[^\n]*\{\s+`+name+`\s*=`)
		}
		for _, name := range k.Reads {
			add("read "+k.Name+"."+name, `\b(`+k.Name+`\.|each\.value\.|matrix\.|\br\.|\bt\.)[^\n]*\b`+name+`\b`)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(common)) {
		add("attribute "+name, `^\s+`+name+`\s*=`)
	}
}

// attributeNames lists the attributes of a struct of them.
func attributeNames(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if tag, ok := f.Tag.Lookup("hcl"); ok {
			names = append(names, strings.Split(tag, ",")[0])
		}
	}
	return names
}

// promisedReferences lists what an expression may begin with, but for targets.
func promisedReferences(add func(name, word string)) {
	for _, name := range strings.Fields("each.key each.value matrix axis page.url page.key page.index page.status page.headers page.text page.json " +
		"self.name self.out path.package path.work host.os host.arch var local import param rule.name") {
		word := `\b` + regexp.QuoteMeta(name)
		if !strings.Contains(name, ".") {
			word += `\.[a-z]`
		}
		add("reference "+name, word+`\b`)
	}
}

// promisedFunctions lists the functions, from the chapter on them.
func promisedFunctions(t *testing.T, add func(name, word string)) {
	found := regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)\\(").FindAllStringSubmatch(docChapter(t, "functions"), -1)
	if len(found) < 80 {
		t.Fatalf("the chapter on functions lists %d", len(found))
	}
	for _, m := range found {
		add("function "+m[1], `\b`+m[1]+`\(`)
	}
}

func docChapter(t *testing.T, name string) string {
	text, ok := buildfile.Doc(name)
	if !ok {
		t.Fatalf("there is no chapter %s", name)
	}
	return text
}

// promisedOutcomes lists the outcomes of instances, the classes of comparisons, the statuses of the command, and the events.
func promisedOutcomes(add func(name, word string)) {
	for _, c := range []engine.Class{
		engine.ClassPass, "fail", "crash", "timeout", "oom", engine.ClassUnavailable, engine.ClassError, engine.ClassInvalid, engine.ClassSkipped, engine.ClassCancelled,
	} {
		add("outcome "+string(c), `outcome=`+string(c)+`\b|"`+string(c)+`"`)
	}
	for _, c := range report.Classes(true) {
		add("class "+string(c), `[,0-9] ?`+string(c)+`\b|"`+string(c)+`"`)
	}
	for _, code := range []int{0, 1, 2, 3, 70, 130, 143} {
		add(fmt.Sprintf("exit %d", code), fmt.Sprintf(`^exits %d |\bwait\(\).*\b%[1]d\b|status.*\b%[1]d\b`, code))
	}
	for _, e := range []engine.EventType{
		engine.EventBuildStarted, engine.EventTarget, engine.EventQueryPage, engine.EventStarted, engine.EventProgress, engine.EventFinished,
		engine.EventDiagnostic, engine.EventBuildFinished,
	} {
		add("event "+string(e), `"`+string(e)+`"`)
	}
}

// promisedCommands lists the verbs, their flags, hidden ones too, and the settings of a machine.
func promisedCommands(add func(name, word string)) {
	root := (&cli{stdout: &output{to: os.Stdout}, env: os.LookupEnv}).root()
	var visit func(cmd *cobra.Command, words string)
	visit = func(cmd *cobra.Command, words string) {
		if words != "" {
			add("verb "+words, `^[^#\n]*\bcbuild (?:[^\n]* )?`+words+`\b`)
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			// These have the flags of cbuild, so one story tells of all of them.
			same := slices.Contains([]string{"build", "exec", "repro", "watch"}, words) && root.LocalFlags().Lookup(f.Name) != nil
			if f.Name != "help" && !same {
				add(strings.Join(strings.Fields("flag "+words+" --"+f.Name), " "), flagWord(words, f))
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub, strings.TrimSpace(words+" "+sub.Name()))
		}
	}
	visit(root, "")
	for _, name := range settingNames {
		add("setting "+name, `^`+name+`\s+= |\bCBUILD_`+strings.ToUpper(name)+`=`)
	}
}

// flagWord matches a call of the verb with the flag.
func flagWord(verb string, f *pflag.Flag) string {
	word := `^[^#\n]*\bcbuild\b[^\n]*` + strings.TrimSuffix(` `+verb, ` `) + `\b[^\n]* --` + f.Name + `\b`
	if f.Shorthand != "" {
		word += `|` + strings.Replace(word, ` --`+f.Name+`\b`, ` -[a-zA-Z]*`+f.Shorthand, 1)
	}
	return word
}
