package buildfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/Masterminds/semver/v3"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// maxFile is the largest BUILD.hcl in bytes, maxDepth how deep brackets may nest, and maxChain how long an expression may be in
// operators: what lies beyond is no build file but an attempt to exhaust the parser.
const (
	maxFile  = 16 << 20
	maxDepth = 500
	maxChain = 20000
)

var (
	errTooLarge = errors.New("the file is larger than 16 MiB")
	errNoFile   = errors.New("it is a pipe or a device")
)

// readBounded reads a file of at most maxFile bytes.
func readBounded(name string) ([]byte, error) {
	// A file that is given by name may be a pipe; one that was only found must not make us wait for whoever writes to it.
	if found := strings.TrimSuffix(filepath.Base(name), ".json") == FileName; found {
		if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
			return nil, errNoFile
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		return nil, errTooLarge
	}
	return data, err
}

// hasCbuildBlock reports whether data has a cbuild block at its top level. It does not mind mistakes elsewhere.
func hasCbuildBlock(data []byte) bool {
	if !bytes.Contains(data, []byte("cbuild")) || tooDeep(data) != "" {
		return false
	}
	f, _ := hclsyntax.ParseConfig(data, FileName, hcl.InitialPos)
	if f == nil {
		return false
	}
	body, ok := f.Body.(*hclsyntax.Body)
	return ok && slices.ContainsFunc(body.Blocks, func(b *hclsyntax.Block) bool { return b.Type == "cbuild" })
}

// tooDeep says why parsing data would take unbounded memory, or "".
func tooDeep(data []byte) string {
	// Counting bytes is enough for nearly every file: strings only make the counts larger.
	openers, operators := 0, 0
	for _, b := range data {
		switch b {
		case '(', '[', '{':
			openers++
		case '?', '!', '-', '+', '*', '/', '%', '.', '&', '|', '<', '>', '=':
			operators++
		}
	}
	if openers <= maxDepth && operators <= maxChain {
		return ""
	}
	tokens, _ := hclsyntax.LexConfig(data, FileName, hcl.InitialPos)
	return tooDeepTokens(tokens)
}

func tooDeepTokens(tokens hclsyntax.Tokens) string {
	depth, chain := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrack, hclsyntax.TokenOBrace, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			depth++
			chain++
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrack, hclsyntax.TokenCBrace, hclsyntax.TokenTemplateSeqEnd:
			depth = max(0, depth-1)
		case hclsyntax.TokenNewline:
			if depth <= 1 {
				chain = 0
			}
		case hclsyntax.TokenComma:
			chain = 0
		case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenStringLit, hclsyntax.TokenQuotedLit:
		default:
			chain++
		}
		if depth > maxDepth {
			return fmt.Sprintf("Brackets are nested more than %d deep in line %d.", maxDepth, t.Range.Start.Line)
		}
		if chain > maxChain {
			return fmt.Sprintf("The expression in line %d has more than %d operators.", t.Range.Start.Line, maxChain)
		}
	}
	return ""
}

// readPackage reads the package dir from the file name, or else from name.json, if there is one.
func (w *Workspace) readPackage(dir, name string, diags *Diagnostics) {
	data, err := readBounded(name)
	rel := path.Join(dir, path.Base(filepath.ToSlash(name)))
	if other, jerr := readBounded(name + ".json"); !errors.Is(jerr, fs.ErrNotExist) && !strings.HasSuffix(name, ".json") {
		if !errors.Is(err, fs.ErrNotExist) {
			diags.plain("Two build files in //"+dir, fmt.Sprintf("There is %s and %s.json: remove one.", rel, rel))
			return
		}
		data, err, rel = other, jerr, rel+".json"
	}
	if errors.Is(err, fs.ErrNotExist) {
		if w.opts.File != "" && dir == w.Package {
			diags.plain("Cannot read "+rel, sentence(errors.Unwrap(errAsPath(err))))
		}
		return
	}
	p := &pkg{
		ws: w, dir: dir, diags: diags, src: &source{name: rel, data: data, files: w.sources},
		variables: make(map[string]*variable), locals: make(map[string]*local), secrets: make(map[string]*secret), pools: make(map[string]*pool),
		functions: make(map[string]*userFunction), imports: make(map[string]*importBlock), rules: make(map[string]*userRule), importedRules: make(map[string]*userRule),
		missingRules: make(map[string]bool), targets: make(map[string]*target),
	}
	w.packages[dir], w.sources[rel] = p, p.src
	start := hcl.Range{Filename: rel, Start: hcl.InitialPos, End: hcl.InitialPos}
	switch {
	case err != nil:
		diags.plain("Cannot read "+rel, sentence(errAsPath(err)))
		return
	case !utf8.Valid(data):
		diags.plain(rel+" is not UTF-8", "Save it in UTF-8.")
		return
	case hasMarks(string(data)):
		diags.add(p.src, markRange(p.src), "Reserved character", sentence(errForeignMark))
		return
	}
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		data = append([]byte("   "), data[3:]...) // a byte order mark says nothing in UTF-8
	}
	if strings.HasSuffix(rel, ".json") {
		p.declareJSON(data)
		return
	}
	if why := tooDeep(data); why != "" {
		diags.add(p.src, start, "Too deeply nested", why)
		return
	}
	f, parseDiags := hclsyntax.ParseConfig(data, rel, hcl.InitialPos)
	p.broken = slices.ContainsFunc(parseDiags, func(d *hcl.Diagnostic) bool { return d.Severity == hcl.DiagError && d.Summary != redefined })
	diags.hcl(p.src, parseDiags)
	if f != nil {
		if body, ok := f.Body.(*hclsyntax.Body); ok {
			p.declare(body)
		}
	}
}

// declareJSON notes what the JSON text data declares.
func (p *pkg) declareJSON(data []byte) {
	n, diag := parseJSON(data, p.src.name)
	if diag != nil {
		p.broken = true
		diag.src = p.src
		p.diags.list = append(p.diags.list, diag)
		return
	}
	c := &jsonConverter{src: p.src, diags: p.diags, labels: p.ws.blockLabels, written: make(map[*hclsyntax.Block]writtenBlock)}
	p.json = c
	body := c.file(n)
	p.broken = c.broken
	p.declare(body)
}

// blockLabels returns how many labels a block type has.
func (w *Workspace) blockLabels(blockType string) (n int, known bool) {
	_, rule := w.kinds[blockType]
	switch {
	case blockType == "cbuild" || blockType == "locals":
		return 0, true
	case rule || slices.Contains([]string{"variable", "secret", "pool", "function", "import", "rule"}, blockType):
		return 1, true
	}
	return 0, false
}

func errAsPath(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe
	}
	return err
}

func markRange(s *source) hcl.Range {
	r := hcl.Range{Filename: s.name, Start: hcl.InitialPos}
	for i, line := range strings.Split(string(s.data), "\n") {
		if hasMarks(line) {
			r.Start = hcl.Pos{Line: i + 1, Column: 1, Byte: r.Start.Byte}
			return r
		}
		r.Start.Byte += len(line) + 1
	}
	return r
}

// declare notes what body declares.
func (p *pkg) declare(body *hclsyntax.Body) {
	for _, b := range body.Blocks {
		title := b.Type
		for _, l := range b.Labels {
			title += fmt.Sprintf(" %q", l)
		}
		p.src.blocks = append(p.src.blocks, span{b.Range().Start.Byte, b.CloseBraceRange.End.Byte, title})
	}
	for _, name := range sortedKeys(body.Attributes) {
		a := body.Attributes[name]
		p.diags.add(p.src, a.SrcRange, "Attribute outside a block", fmt.Sprintf("%q belongs into a block, such as locals { %s = … }.", name, name))
	}
	for _, b := range body.Blocks {
		p.declareBlock(b)
	}
}

func (p *pkg) declareBlock(b *hclsyntax.Block) {
	_, isRule := p.ws.kinds[b.Type]
	switch {
	case b.Type == "cbuild":
		p.declareRoot(b)
	case b.Type == "variable":
		p.declareVariable(b)
	case b.Type == "locals":
		p.declareLocals(b)
	case b.Type == "secret":
		p.declareSecret(b)
	case b.Type == "pool":
		p.declarePool(b)
	case b.Type == "import":
		p.declareImport(b)
	case b.Type == "function":
		p.declareFunction(b)
	case isRule:
		p.declareTarget(b)
	case b.Type == "rule":
		p.declareRule(b)
	default:
		p.pending = append(p.pending, b)
	}
}

// unknownBlock reports a block whose type is neither a word of the language nor a rule.
func (p *pkg) unknownBlock(b *hclsyntax.Block) {
	if p.missingRule(b.Type) {
		return
	}
	known := slices.Concat([]string{"cbuild", "variable", "locals", "function", "import", "rule", "secret", "pool"}, sortedKeys(p.ws.kinds), p.ruleNames())
	detail := didYouMean(b.Type, slices.Values(known), oneOf("A block is one of", known))
	for _, dir := range sortedKeys(p.ws.packages) {
		if p.ws.packages[dir].rules[b.Type] != nil {
			alias := strings.Trim(path.Base(dir), ".")
			detail = fmt.Sprintf("The package //%s declares this rule. Import it:\n  import %q {\n    from  = \"//%s\"\n    rules = [%q]\n  }", dir, cmpOr(alias, "root"), dir, b.Type)
		}
	}
	p.diags.add(p.src, b.TypeRange, fmt.Sprintf("Unknown block %q", b.Type), detail)
}

// labelled returns the one label of b, checked.
func (p *pkg) labelled(b *hclsyntax.Block) (name string, ok bool) {
	if len(b.Labels) != 1 {
		p.diags.add(p.src, b.DefRange(), article(b.Type)+" has one name", fmt.Sprintf("Write %s \"NAME\" {.", b.Type))
		return "", false
	}
	if !validName(b.Labels[0]) {
		p.diags.add(p.src, b.LabelRanges[0], fmt.Sprintf("Invalid name %q", b.Labels[0]), "A name begins with a letter and holds letters, digits, _ and -.")
		return "", false
	}
	return b.Labels[0], true
}

// article writes a word with its indefinite article, as the beginning of a sentence.
func article(word string) string {
	if word != "" && strings.Contains("aeiou", word[:1]) {
		return "An " + word
	}
	return "A " + word
}

func validName(s string) bool {
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r != '_' && r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}

// noBlocks reports the blocks inside b, which holds attributes only.
func (p *pkg) noBlocks(b *hclsyntax.Block) {
	if p.broken {
		return // the parser lost its way: the blocks may well be outside
	}
	for _, inner := range b.Body.Blocks {
		p.diags.addf(p.src, inner.TypeRange, fmt.Sprintf("Unexpected block %q", inner.Type), "%s has attributes only: write %s = { … }.", article(b.Type), inner.Type)
	}
}

// unknownAttr reports an attribute that what has not.
func (p *pkg) unknownAttr(a *hclsyntax.Attribute, what string, known []string) {
	p.diags.add(p.src, a.NameRange, fmt.Sprintf("Unknown attribute %q", a.Name), didYouMean(a.Name, slices.Values(known), oneOf(what+" has", known)))
}

func (p *pkg) declareRoot(b *hclsyntax.Block) {
	p.noBlocks(b)
	switch {
	case p.root != nil:
		p.diags.addf(p.src, b.DefRange(), "Duplicate block cbuild", "It is already at %s.", where(p.root.TypeRange))
		return
	case len(b.Labels) > 0:
		p.diags.add(p.src, b.LabelRanges[0], "cbuild has no name", "Write cbuild {.")
	}
	p.root = b
	if p.dir != "" {
		p.diags.add(p.src, b.DefRange(), "cbuild block outside the root", "It belongs into the "+FileName+" of the workspace's root.")
		return
	}
	known := []string{"default", "ignore", "requires"}
	for _, a := range attributes(b.Body) {
		switch a.Name {
		case "default":
		case "ignore":
			p.constAttr(a, unlessNull(func(v cty.Value) error { return decodeStrings(&p.ws.ignore, v) }))
		case "requires":
			p.constAttr(a, unlessNull(p.checkVersion))
		default:
			p.unknownAttr(a, "cbuild", known)
		}
	}
}

func (p *pkg) checkVersion(v cty.Value) error {
	var want string
	if err := decodeString(&want, v); err != nil {
		return err
	}
	c, err := semver.NewConstraint(want)
	if err != nil {
		return fmt.Errorf("%q is not a range of versions, such as \">= 0.2\"", want)
	}
	have, err := semver.NewVersion(p.ws.opts.Version)
	if p.ws.opts.Version == "" || err != nil || c.Check(have) {
		return nil //nolint:nilerr // a development version serves every range
	}
	return fmt.Errorf("this is cbuild %s, but the workspace wants %s", p.ws.opts.Version, want)
}

// attributes returns the attributes of body in the order in which they are written.
func attributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(body.Attributes), func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
}

// constAttr evaluates an attribute that may mention neither each nor targets, and gives its value to use.
func (p *pkg) constAttr(a *hclsyntax.Attribute, use func(cty.Value) error) {
	e := p.compile(a.Expr, nil, a.Name, allow{}, false)
	if e.bad || e.open || p.broken {
		return
	}
	v, eerr := newScope(noContext, p, nil, nil).eval(e)
	if eerr != nil {
		p.diags.list = append(p.diags.list, eerr.diagnostic())
		return
	}
	if err := use(v); err != nil {
		p.diags.add(p.src, a.Expr.Range(), "Invalid "+a.Name, sentence(err))
	}
}

// unlessNull leaves out use for null, which is as good as an absent attribute.
func unlessNull(use func(cty.Value) error) func(cty.Value) error {
	return func(v cty.Value) error {
		if v.IsNull() {
			return nil
		}
		return use(v)
	}
}

// verbs are the words that the command line takes for a command.
var verbs = []string{
	"build", "cas", "clean", "completion", "diff", "doctor", "eval", "exec", "explain", "fmt", "graph", "help", "history", "init", "list",
	"log", "repro", "serve", "show", "update", "validate", "version", "watch", "why",
}

func (p *pkg) declareTarget(b *hclsyntax.Block) {
	p.noBlocks(b)
	t := p.newTarget(b, "")
	if t != nil && slices.Contains(verbs, t.name) {
		p.diags.list = append(p.diags.list, &Diagnostic{
			Warning: true, Summary: fmt.Sprintf("The target %q is named like a command", t.name), src: p.src, rng: b.LabelRanges[0],
			Detail: fmt.Sprintf("On the command line write :%s for the target.", t.name),
		})
	}
}

// targetNamed returns the target that RULE.NAME is in p: in a rule, that of the rule, else that of its package.
func (p *pkg) targetNamed(name string) *target {
	for q := p; q != nil; q = q.outer {
		if t := q.targets[name]; t != nil {
			return t
		}
	}
	return nil
}
