package buildfile

import (
	"fmt"
	"slices"
	"strings"
)

// A functionDoc documents a function: its group, how it is called, and what it returns.
type functionDoc struct{ group, call, meaning string }

// functionDocs document the functions by name.
var functionDocs = map[string]functionDoc{
	"abs":      {"numbers", "abs(n)", "n without its sign"},
	"ceil":     {"numbers", "ceil(n)", "the least integer that is not below n"},
	"floor":    {"numbers", "floor(n)", "the greatest integer that is not above n"},
	"int":      {"numbers", "int(n)", "n without what is behind its point"},
	"log":      {"numbers", "log(n, base)", "the logarithm"},
	"max":      {"numbers", "max(n, …)", "the greatest"},
	"min":      {"numbers", "min(n, …)", "the least"},
	"parseint": {"numbers", "parseint(text, base)", "the integer that text writes in that base"},
	"pow":      {"numbers", "pow(n, exponent)", "the power"},
	"signum":   {"numbers", "signum(n)", "-1, 0 or 1"},

	"chomp":         {"text", "chomp(text)", "text without the line ends at its end"},
	"endswith":      {"text", "endswith(text, part)", "whether text ends with part"},
	"format":        {"text", "format(format, value, …)", "the values written as the format says, as in printf"},
	"formatlist":    {"text", "formatlist(format, value or list, …)", "format() for each element of the lists"},
	"indent":        {"text", "indent(n, text)", "text with all lines but the first indented by n blanks"},
	"join":          {"text", "join(separator, list, …)", "the elements with the separator between them"},
	"lines":         {"text", "lines(text)", "the lines, without the blank ones and without blanks around them"},
	"lower":         {"text", "lower(text)", "text in lower case"},
	"regex":         {"text", "regex(pattern, text)", "the first match: a string, or what its groups hold"},
	"regexall":      {"text", "regexall(pattern, text)", "a list of all matches"},
	"regex_replace": {"text", "regex_replace(text, pattern, replacement)", "text with every match replaced; $1 is what the first group holds"},
	"replace":       {"text", "replace(text, part, replacement)", "text with every occurrence of part replaced"},
	"shellquote":    {"text", "shellquote(text or list)", "words that a shell takes as they are"},
	"split":         {"text", "split(separator, text)", "the list of what stands between the separators"},
	"startswith":    {"text", "startswith(text, part)", "whether text begins with part"},
	"strcontains":   {"text", "strcontains(text, part)", "whether part stands in text"},
	"strlen":        {"text", "strlen(text)", "how many characters there are"},
	"strrev":        {"text", "strrev(text)", "the characters in reverse"},
	"substr":        {"text", "substr(text, offset, length)", "a part, counted in characters; -1 is to the end"},
	"title":         {"text", "title(text)", "text with each word beginning in upper case"},
	"trim":          {"text", "trim(text, characters)", "text without these characters at its ends"},
	"trimprefix":    {"text", "trimprefix(text, prefix)", "text without the prefix"},
	"trimspace":     {"text", "trimspace(text)", "text without blanks at its ends"},
	"trimsuffix":    {"text", "trimsuffix(text, suffix)", "text without the suffix"},
	"upper":         {"text", "upper(text)", "text in upper case"},
	"urlencode":     {"text", "urlencode(text)", "text as it stands in the query of an address"},
	"gomod_escape":  {"text", "gomod_escape(path)", "a module path as a Go proxy writes it: !x for X"},

	"chunklist":              {"collections", "chunklist(list, n)", "lists of n elements each"},
	"coalesce":               {"collections", "coalesce(value, …)", "the first that is not null"},
	"coalescelist":           {"collections", "coalescelist(list, …)", "the first that is not empty"},
	"compact":                {"collections", "compact(list)", "the strings that are neither null nor empty"},
	"concat":                 {"collections", "concat(list, …)", "the lists one behind the other"},
	"contains":               {"collections", "contains(list, value)", "whether value is an element"},
	"distinct":               {"collections", "distinct(list)", "each element once"},
	"element":                {"collections", "element(list, index)", "the element at index, which wraps around"},
	"flatten":                {"collections", "flatten(list)", "the elements of the lists in list, at any depth"},
	"hasindex":               {"collections", "hasindex(collection, key)", "whether there is an element at key"},
	"index":                  {"collections", "index(collection, key)", "the element at key"},
	"sethaselement":          {"collections", "sethaselement(set, value)", "whether value is an element"},
	"keys":                   {"collections", "keys(map)", "the keys, sorted"},
	"length":                 {"collections", "length(list, map or object)", "how many elements there are"},
	"lookup":                 {"collections", "lookup(map, key, default)", "the element at key, or default"},
	"merge":                  {"collections", "merge(map, …)", "all elements; of equal keys the last counts"},
	"range":                  {"collections", "range(limit), range(start, limit, step)", "a list of numbers, at most 1024"},
	"reverse":                {"collections", "reverse(list)", "the elements in reverse"},
	"sample":                 {"collections", "sample(collection, n, seed)", "n elements, or for n below 1 that share of them; the same for the same seed"},
	"setintersection":        {"collections", "setintersection(set, …)", "the elements of all"},
	"setproduct":             {"collections", "setproduct(list, …)", "every combination of an element of each"},
	"setsubtract":            {"collections", "setsubtract(a, b)", "the elements of a that are not in b"},
	"setsymmetricdifference": {"collections", "setsymmetricdifference(set, …)", "the elements of an odd number of them"},
	"setunion":               {"collections", "setunion(set, …)", "the elements of any"},
	"slice":                  {"collections", "slice(list, start, end)", "the elements from start to before end"},
	"sort":                   {"collections", "sort(list)", "the strings in order"},
	"values":                 {"collections", "values(map)", "the elements in the order of their keys"},
	"zipmap":                 {"collections", "zipmap(keys, values)", "a map of them"},

	"formatdate": {"data", "formatdate(format, time)", "a time in RFC 3339, written as in \"YYYY-MM-DD hh:mm\""},
	"timeadd":    {"data", "timeadd(time, duration)", "the time a duration such as \"24h\" later"},
	"csvdecode":  {"data", "csvdecode(text)", "a list of objects, by the names in the first line"},
	"hash":       {"data", "hash(value)", "32 hexadecimal digits that depend on all of it"},
	"jsondecode": {"data", "jsondecode(text)", "the value of a JSON text"},
	"jsonencode": {"data", "jsonencode(value)", "the value as JSON"},
	"tobool":     {"data", "tobool(value)", "the value as a bool"},
	"tolist":     {"data", "tolist(value)", "the value as a list"},
	"tomap":      {"data", "tomap(value)", "the value as a map"},
	"tomldecode": {"data", "tomldecode(text)", "the value of a TOML text"},
	"tonumber":   {"data", "tonumber(value)", "the value as a number"},
	"toset":      {"data", "toset(value)", "the value as a set"},
	"tostring":   {"data", "tostring(value)", "the value as a string"},
	"yamldecode": {"data", "yamldecode(text)", "the value of a YAML text"},

	"semver_compare": {"versions", "semver_compare(a, b)", "-1, 0 or 1"},
	"semver_key":     {"versions", "semver_key(version)", "a string that sorts as the version does"},
	"semver_match":   {"versions", "semver_match(version, range)", "whether the version is in a range such as \">= 1.2, < 2\""},
	"semver_max":     {"versions", "semver_max(list)", "the highest; null of none"},

	"basename": {"files", "basename(path)", "the last element of a path, also of an artifact"},
	"dirname":  {"files", "dirname(path)", "a path without its last element; of an artifact a directory that holds it alone"},
	"exists":   {"files", "exists(path)", "whether the package has the file"},
	"file":     {"files", "file(path or artifact)", "the text of a file"},
	"filehash": {"files", "filehash(path or artifact)", "the digest of a file, as in b3:…"},
	"files":    {"files", "files(artifact)", "the files in a directory: a map from path to artifact"},
	"filesize": {"files", "filesize(path or artifact)", "how many bytes a file has"},
	"glob":     {"files", "glob(pattern, exclude…)", "the files of the package that match, sorted; ** crosses directories"},
	"optional": {"files", "optional(path)", "in out: a path that may be missing"},

	"can":        {"outcomes", "can(expression)", "whether it has a value"},
	"try":        {"outcomes", "try(expression, …)", "the first that has a value. Trouble is not caught"},
	"regression": {"outcomes", "regression(before, after)", "same-pass, same-fail, regressed, fixed or error, of two instances or outcomes"},
}

// functionNames returns the names of all functions, sorted.
func functionNames() []string {
	names := slices.Concat(sortedKeys(allFunctions), sortedKeys(scopeFunctions), []string{"can", "try"})
	slices.Sort(names)
	return names
}

// functionsTable lists the functions for the documentation, group by group.
func functionsTable() string {
	var b strings.Builder
	for i, group := range []string{"text", "collections", "numbers", "data", "versions", "files", "outcomes"} {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "| %s | |\n|---|---|\n", group)
		for _, name := range functionNames() {
			if d := functionDocs[name]; d.group == group {
				fmt.Fprintf(&b, "| `%s` | %s |\n", d.call, cell0(d.meaning))
			}
		}
	}
	return b.String()
}

// cell0 writes text as a cell of a table.
func cell0(text string) string { return strings.ReplaceAll(text, "|", "\\|") }
