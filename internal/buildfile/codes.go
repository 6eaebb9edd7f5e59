package buildfile

import (
	"fmt"
	"slices"
	"strings"
)

// A codeRow is a kind of mistake: its code, which never changes, how its summaries read (* stands for what differs), and what it means.
type codeRow struct{ code, summary, meaning string }

// codeTable lists the kinds of mistakes. The first row that matches a summary counts. What HCL itself finds is E100 in the syntax and E300
// in a value.
var codeTable = []codeRow{
	{"E100", "", "The text is no HCL: the parser says what it expected."},
	{"E101", "Invalid JSON", "The text is no JSON."},
	{"E102", "Invalid build file", "A BUILD.hcl.json is an object of blocks."},
	{"E103", "* is not UTF-8", "Build files are text in UTF-8."},
	{"E104", "Reserved character", "Two noncharacters of Unicode mark artifacts in strings; no text may hold them."},
	{"E105", "Too deeply nested", "Brackets, operators or blocks beyond every use would exhaust the parser."},
	{"E314", "Cannot read \"*\"", "The attribute of an instance can't be read."},
	{"E106", "Cannot read *", "A file or directory could not be read."},
	{"E106", "Cannot use the directory *", "A file or directory could not be read."},
	{"E106", "Cannot tell what * is", "The history or the store, which a pattern such as @failed asks, could not be read."},
	{"E107", "No BUILD.hcl", "Neither the directory nor one above it is a package."},
	{"E107", "No package here", "Neither the directory nor one above it is a package."},
	{"E108", "Two build files in *", "A package has either BUILD.hcl or BUILD.hcl.json."},
	{"E111", "Merge conflict in *", "The lock file holds both sides of a merge."},
	{"E112", "Damaged *", "The lock file is not what cbuild wrote."},

	{"E120", "Unknown block *", "There is no such block."},
	{"E121", "Unexpected block *", "A block has attributes only."},
	{"E122", "Attribute outside a block", "Attributes belong into blocks."},
	{"E123", "* has one name", "Blocks of this type are named once: TYPE \"NAME\" {."},
	{"E123", "* has no name", "Blocks of this type have no name."},
	{"E128", "A secret has one source", "A secret is found in the environment, in a file, or by a command."},
	{"E124", "Invalid name*", "A name begins with a letter and holds letters, digits, _ and -."},
	{"E125", "Duplicate *", "Names are unique: of targets in a package, of axes, keys, variables and locals."},
	{"E125", "Attribute redefined", "An attribute is set once."},
	{"E126", "cbuild block outside the root", "The block cbuild belongs into the root of the workspace."},

	{"E200", "Unknown attribute *", "A block, an instance, an item or a word such as host has no such attribute."},
	{"E201", "Unknown target *", "No target has this name, or one of another rule has it."},
	{"E202", "Unknown instance *", "The target has no instance with this key."},
	{"E203", "Unknown variable *", "The package declares no such variable."},
	{"E221", "Unknown pool *", "The package declares no such pool."},
	{"E129", "A pool bounds something", "A pool has a limit, a rate, or both."},
	{"E129", "burst without rate", "burst says how many may begin at once where a rate bounds them."},
	{"E222", "Unknown import *", "The package declares no such import."},
	{"E223", "Unknown rule *", "The package declares no such rule."},
	{"E224", "Unknown parameter *", "The rule declares no such parameter."},
	{"E130", "Too many calls", "Rules that call others many times over would exhaust the memory."},
	{"E220", "Unknown secret *", "The package declares no such secret."},
	{"E204", "Unknown local *", "The package has no such local."},
	{"E205", "Unknown function *", "There is no such function."},
	{"E206", "Unknown axis *", "The matrix has no such axis."},
	{"E207", "Unknown key *", "The axis has no such key."},
	{"E208", "Unknown package *", "There is no package in this directory."},
	{"E209", "Unknown name *", "No reference begins with this word."},
	{"E210", "Private target *", "Only its own package may refer to it."},
	{"E211", "Missing instance key", "A collection has no attributes of an instance: choose one, or loop."},
	{"E212", "* is repeated for a matrix", "An instance of a matrix is chosen by the keys of its axes."},
	{"E213", "Incomplete reference", "The reference ends too early."},
	{"E214", "No * here", "The word means nothing in this place, or not yet."},
	{"E214", "No * in locals", "The word means nothing in this place, or not yet."},
	{"E215", "There is no *() function", "Expressions are pure: the same files mean the same build."},
	{"E216", "* refers to itself", "A target can't read its own instances, nor a local itself."},
	{"E217", "Dependency cycle", "Targets wait for one another."},
	{"E219", "Unknown setting *", "A file of settings has no such setting."},
	{"E218", "Nothing to build", "The command line asks for nothing."},

	{"E301", "Invalid call of *", "A function does not take these arguments."},
	{"E302", "Missing *", "Something that is needed is absent or null."},
	{"E303", "Only one of *", "Attributes exclude one another."},
	{"E304", "\"*\" without \"*\"", "An attribute means something only beside another."},
	{"E305", "Invalid value for variable *", "The value has the wrong type, or the variable does not allow it."},
	{"E306", "No value for variable *", "A variable without default needs a value."},
	{"E306", "var.* has no value yet", "A variable can't be read before it has its value."},
	{"E307", "Nothing to filter", "where drops instances, and there is only one."},
	{"E308", "Cannot be repeated", "The value is no list, map, object or collection, or its elements have no usable keys."},
	{"E309", "Elements without keys", "Every instance needs a key of its own."},
	{"E310", "Empty axis", "Without a value on an axis there is no instance."},
	{"E311", "Invalid *", "The value is not what is wanted there."},
	{"E312", "No usable result", "An input ended in a way that leaves nothing to read: the instance is skipped."},
	{"E312", "No such instance", "An input ended in a way that leaves nothing to read: the instance is skipped."},
	{"E313", "No attribute *", "The value has no such member."},
	{"E313", "No element *", "The value has no such member."},
	{"E315", "Unreadable *", "The instance can't be part of a value."},
	{"E315", "Unus* *", "The value can't be used in an expression."},
	{"E320", "Not a literal", "A file of settings holds literals only."},
	{"E316", "Unknown value", "The expression has no definite value."},
	{"E317", "Nothing to try", "No argument of try() has a value."},
	{"E318", "Cancelled", "The build was stopped."},
	{"E319", "* is too large", "The value would fill the memory."},
	{"E300", "", "A value is not what HCL can work with there."},

	{"E401", "Input file does not exist", "A source is a file or directory of the package."},
	{"E402", "Input of another package", "A file belongs to the nearest package above it."},

	{"W101", "A script with foreign text in it", "Whoever names an item writes a part of the script."},
	{"W102", "The target * is named like a command", "On the command line the command wins."},
}

// Code returns the code of the kind of mistake that d is.
func (d *Diagnostic) Code() string {
	if d.syntax {
		return "E100"
	}
	for _, row := range codeTable {
		if row.summary != "" && globMatch(row.summary, d.Summary) {
			return row.code
		}
	}
	return "E300"
}

// codeDoc explains a code.
func codeDoc(code string) (text string, ok bool) {
	i := slices.IndexFunc(codeTable, func(r codeRow) bool { return r.code == strings.ToUpper(code) })
	if i < 0 {
		return "", false
	}
	return "# " + codeTable[i].code + "\n\n" + codeTable[i].meaning + "\n", true
}

// codesTable lists the codes for the documentation.
func codesTable() string {
	var b strings.Builder
	b.WriteString("| code | reads | meaning |\n|---|---|---|\n")
	rows := slices.SortedStableFunc(slices.Values(codeTable), func(x, y codeRow) int { return strings.Compare(x.code, y.code) })
	for _, r := range rows {
		summary := strings.ReplaceAll(r.summary, "*", "…")
		if summary == "" {
			summary = "(what HCL says)"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.code, summary, r.meaning)
	}
	return b.String()
}
