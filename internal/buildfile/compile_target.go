package buildfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"cbuild/engine"
)

// check reports what steps read that a value of shape of does not have, and adds what they read to need.
func (c *compiler) check(of *shape, steps []step, what string, need *need) {
	if of == nil {
		if need != nil {
			need.all = true
		}
		return
	}
	if of.target != nil {
		c.checkSteps(of, steps, what, need)
		return
	}
	name, ok := firstWord(steps)
	if !ok {
		if need != nil {
			need.all = true
		}
		return
	}
	if need != nil {
		need.add(name)
	}
	if of.fields != nil && !slices.Contains(of.fields, name) {
		c.mistake(steps[0].rng, "Unknown attribute "+what+"."+name, didYouMean(name, slices.Values(of.fields), oneOf("Items have", of.fields)))
	}
}

// written writes st as in an expression.
func (st *step) written() string {
	switch w, ok := st.word(); {
	case !ok:
		return "[…]"
	case st.index:
		return fmt.Sprintf("[%q]", w)
	default:
		return "." + w
	}
}

// checkInstance checks what is read of an instance of t.
func (c *compiler) checkInstance(t *target, steps []step, what string, need *need) {
	name, ok := firstWord(steps)
	if !ok {
		if need != nil {
			need.all = true
		}
		return
	}
	if need != nil {
		need.add(name)
	}
	reads := c.pkg.ws.reads[t.rule]
	if !slices.Contains(reads, name) {
		c.mistake(steps[0].rng, "Unknown attribute "+what+"."+name,
			"It is an instance of "+t.ref()+". "+didYouMean(name, slices.Values(reads), oneOf("It has", reads)))
		return
	}
	if name == "value" && t.eachOf != nil && len(steps) > 1 {
		c.check(t.eachOf, steps[1:], what+".value", nil)
	}
}

// targetRef replaces a reference to a target.
func (c *compiler) targetRef(e hclsyntax.Expression, root hcl.TraverseRoot, steps []step, spine bool) hclsyntax.Expression {
	name, ok := firstWord(steps)
	if !ok || steps[0].index {
		c.mistake(root.SrcRange, "Incomplete reference", "Write "+root.Name+".NAME.")
		return e
	}
	full := root.Name + "." + name
	t := c.pkg.targetNamed(name)
	if t == nil || t.rule != root.Name {
		if c.pkg.missingRule(root.Name) {
			c.out.bad = true
			return e
		}
		c.mistake(hcl.RangeBetween(root.SrcRange, steps[0].rng), "Unknown target "+full, c.suggestTarget(full, t))
		return e
	}
	return c.target(e, root.SrcRange, t, full, steps[1:], spine)
}

// target makes e a reference to t, called full, and what steps lead to from there.
func (c *compiler) target(e hclsyntax.Expression, rng hcl.Range, t *target, full string, steps []step, spine bool) hclsyntax.Expression {
	if t.call != nil {
		return c.callRef(e, rng, t, full, steps, spine)
	}
	if !c.allow.targets {
		c.mistake(rng, "No targets here", fmt.Sprintf("%q is evaluated before any target is.", c.attr))
		return e
	}
	n := &targetNode{Expression: e, target: t, full: full, rng: rng, steps: steps, raw: c.raw}
	u := use{target: t, mode: engine.WholeMode, rng: rng, attr: c.attr}
	if len(n.steps) == 0 {
		u.spine = spine && (t.repeated || len(t.axes) > 0)
	}
	if !t.repeated {
		c.checkSteps(&shape{target: t}, n.steps, full, nil)
	} else if len(n.steps) > 0 && !c.instance(n, &u) {
		return e
	}
	if t == c.t {
		c.mistake(rng, full+" refers to itself", "A target cannot read its own instances: move what they share into another target.")
		return e
	}
	c.out.uses = append(c.out.uses, u)
	return n
}

// checkSteps checks what is read of an instance, or of several by the keys of axes, called what.
func (c *compiler) checkSteps(of *shape, steps []step, what string, need *need) {
	t := of.target
	axes := t.axes[of.peeled:]
	skip := min(len(steps), len(axes))
	for i := range steps[:skip] {
		word, ok := steps[i].word()
		switch axis := of.peeled + i; {
		case !ok || c.axisKeyKnown(t, axis, word):
			continue
		case !steps[i].index && slices.Contains(c.pkg.ws.reads[t.rule], word):
			c.mistake(steps[i].rng, what+" is repeated for a matrix", fmt.Sprintf("Write %s[KEY].%s with a key of the axis %q.", what, word, axes[i]))
			return
		case axis < len(t.axisKeys) && t.axisKeys[axis] != nil:
			c.mistake(steps[i].rng, fmt.Sprintf("Unknown key %q", word), fmt.Sprintf("It is no key of the axis %q of %s. ", axes[i], t.ref())+
				didYouMean(word, slices.Values(t.axisKeys[axis]), oneOf("The keys are", t.axisKeys[axis])))
			return
		}
	}
	for i := range steps[:skip] {
		what += steps[i].written()
	}
	c.checkInstance(t, steps[skip:], what, need)
}

func (c *compiler) axisKeyKnown(t *target, i int, key string) bool {
	return i < len(t.axisKeys) && slices.Contains(t.axisKeys[i], key)
}

// instance turns n, a reference into the collection of a repeated target, into one to a single row.
func (c *compiler) instance(n *targetNode, u *use) bool {
	t, first := n.target, n.steps[0]
	if !first.index {
		detail := fmt.Sprintf("Write %s[%q] for one instance.", n.full, first.name)
		if reads := c.pkg.ws.reads[t.rule]; slices.Contains(reads, first.name) {
			detail = fmt.Sprintf("Write %s[each.key].%s for the same instance, or [for r in %s : r.%s] for all of them.", n.full, first.name, n.full, first.name)
		}
		c.mistake(first.rng, "Missing instance key", detail)
		return false
	}
	u.mode = engine.InstanceMode
	n.key, n.steps = &first, n.steps[1:]
	what := n.full + "[…]"
	if w, ok := first.word(); ok {
		what = fmt.Sprintf("%s[%q]", n.full, w)
		if t.keys != nil && !t.keys[w] {
			c.mistake(first.rng, "Unknown instance "+what, didYouMean(w, mapKeys(t.keys), oneOf("The keys are", sortedKeys(t.keys))))
			return false
		}
	}
	if t.rule == "query" {
		c.check(t.elements(), n.steps, what, nil)
	} else {
		c.checkSteps(&shape{target: t}, n.steps, what, nil)
	}
	return true
}

// suggestTarget says what to write instead of full; sameName is the target of another rule with its name, if any.
func (c *compiler) suggestTarget(full string, sameName *target) string {
	if sameName != nil {
		return fmt.Sprintf("Did you mean %q, defined at %s?", sameName.ref(), where(sameName.rng))
	}
	rule, name, _ := strings.Cut(full, ".")
	for _, dir := range sortedKeys(c.pkg.ws.packages) {
		if t := c.pkg.ws.packages[dir].targets[name]; t != nil && t.rule == rule {
			return fmt.Sprintf("It is a target of //%s. %s", dir, c.pkg.imported(t))
		}
	}
	byRef := make(map[string]*target)
	for p := c.pkg; p != nil; p = p.outer {
		for name, t := range p.targets {
			if name == t.name {
				byRef[t.ref()] = t
			}
		}
	}
	if s := nearest(full, mapKeys(byRef)); s != "" {
		return fmt.Sprintf("Did you mean %q, defined at %s?", s, where(byRef[s].rng))
	}
	return fmt.Sprintf("Declare it: %s %q {}.", rule, name)
}
