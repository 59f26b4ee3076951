package kea

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// class is a client class of Kea's.
//
// Of the classes that a client is in, in Kea the first one that says something decides, and here
// the last. So where two say something of the same, all are defined first, and what they give comes
// after that, in the contrary order (topClasses). In Kea what a subnet or a pool says of an option
// goes before what a class says, and here after it. So where both do, the subnet has a class that
// all its clients are in, which has the subnet's option (subnet.over).
type class struct {
	at      *value
	name    string
	test    string
	testAt  *value
	late    bool // evaluated where a subnet or a pool says so
	gives   *yaml.Node
	options *optionList
	members []string // tests of the clients that reservations put into it
	asked   bool     // others name it
	used    bool
}

// gift names what a class gives, for comparing.
func (k *class) gifts() (all []string) {
	for _, o := range k.options.all {
		all = append(all, fmt.Sprint(o.code))
	}
	for i := 0; i < len(k.gives.Content); i += 2 {
		switch key := k.gives.Content[i].Value; key {
		case "options", "always-send", "no-options":
		case "min-lease-time", "max-lease-time": // lease-time stands beside them
		default:
			all = append(all, key)
		}
	}
	return all
}

// Names of classes that Kea defines itself.
const (
	dropClass     = "DROP"
	vendorClasses = "VENDOR_CLASS_"
)

func builtIn(name string) bool {
	return name == "ALL" || name == "KNOWN" || name == "UNKNOWN" || strings.HasPrefix(name, vendorClasses)
}

func (c *converter) readClasses(v *value) {
	for _, item := range items(v) {
		name := content(item.get("name"))
		if name == "" {
			c.left(item, "a class needs a name")
			continue
		}
		k := &class{at: item, name: name, gives: mapping(), testAt: item.get("test"), test: content(item.get("test"))}
		if t := item.get("template-test"); t != nil {
			c.left(item,
				"its template-test makes classes of what clients send, and there are only classes that are defined")
			continue
		}
		for _, key := range []string{"only-if-required", "only-in-additional-list"} {
			if x := item.get(key); x != nil {
				k.late = k.late || isTrue(x)
				c.taken(x, "by where the class stands")
			}
		}
		c.taken(item.get("name"), "as the name of a class")
		defs := newDefinitions(c.definitions(item.get("option-def")), c.defs)
		if name == dropClass {
			c.put(k.gives, "refuse", scalar("silent"), item)
		}
		c.carried(k.gives, item)
		k.options = c.noTagged(c.options(item.get("option-data"), defs))
		c.writeOptions(k.gives, k.options)
		c.classes = append(c.classes, k)
		if c.byName[name] == nil {
			c.byName[name] = k
		}
	}
	for _, k := range c.classes {
		for _, m := range memberOf.FindAllStringSubmatch(k.test, -1) {
			if other := c.class(m[1]); other != nil {
				other.asked = true
			}
		}
	}
}

var memberOf = regexp.MustCompile(`member\(\s*'([^']*)'\s*\)`)

// carried converts what classes and reservations have in common but for options.
func (c *converter) carried(m *yaml.Node, v *value) {
	c.ownTimes(m, v)
	c.boot(m, []*value{v})
}

// class returns the class with a name, nil if there is none.
func (c *converter) class(name string) *class { return c.byName[name] }

// named is the name by which pools and match entries ask for a class. For a class that Kea defines
// itself there is one here that has a name of its own.
func (c *converter) named(name string, by *value) (string, bool) {
	if k := c.class(name); k != nil && (k.test != "" || len(k.members) > 0 || !builtIn(name)) {
		k.asked = true
		return name, true
	}
	if !builtIn(name) {
		c.left(by, "no class %s is defined", name)
		return "", false
	}
	own := "kea " + strings.ToLower(name)
	test := "member('" + name + "')"
	if len(c.known) > 0 && (name == "KNOWN" || name == "UNKNOWN") {
		if test = c.reserved(by); name == "UNKNOWN" {
			test = "not " + test
		} else {
			return keaKnown, true
		}
	}
	if !slices.ContainsFunc(c.helpers, func(n *yaml.Node) bool { return n.Content[1].Value == own }) {
		m := mapping()
		c.put(m, "name", str(own), by)
		c.put(m, "test", str(test), by)
		c.helpers = append(c.helpers, m)
	}
	return own, true
}

// keaKnown is the class of the clients that have a reservation in Kea. There one need not give its
// client anything.
const keaKnown = "kea known"

// reserved is the test of the class keaKnown. It defines the class if it is not yet.
func (c *converter) reserved(by *value) string {
	if !slices.ContainsFunc(c.helpers, func(n *yaml.Node) bool { return n.Content[1].Value == keaKnown }) {
		m := mapping()
		c.put(m, "name", str(keaKnown), by)
		c.put(m, "test", str("member('KNOWN') or "+strings.Join(c.known, " or ")), by)
		c.helpers = slices.Insert(c.helpers, 0, m)
	}
	return "member('" + keaKnown + "')"
}

// knowing replaces what a test asks of reservations, if there are any that are not written.
func (c *converter) knowing(test string, by *value) string {
	if len(c.known) == 0 {
		return test
	}
	return askKnown.ReplaceAllStringFunc(test, func(word string) string {
		m := askKnown.FindStringSubmatch(word)
		switch {
		case m[1] == "KNOWN" || m[2] == "known":
			return c.reserved(by)
		case m[1] == "UNKNOWN" || m[2] == "unknown":
			return "not " + c.reserved(by)
		}
		return word // other text in quotes
	})
}

var askKnown = regexp.MustCompile(`member\(\s*'(KNOWN|UNKNOWN)'\s*\)|'[^']*'|\b(known|unknown)\b`)

// condition is the test of a class, and whether it has one.
func (c *converter) condition(k *class) (test string, ok bool) {
	test = c.knowing(k.test, k.at)
	switch {
	case test == "" && builtIn(k.name):
		test = "member('" + k.name + "')"
	case test == "" && k.late:
		test = "member('ALL')"
	}
	if len(k.members) == 0 {
		return test, test != ""
	}
	all := strings.Join(k.members, " or ")
	if test != "" {
		all = "(" + test + ") or " + all
	}
	return all, true
}

// define writes a class without what it gives. It returns nil if nobody can be in it.
func (c *converter) define(k *class) *yaml.Node {
	test, ok := c.condition(k)
	if !ok {
		c.left(k.at, "it has no test, and no reservation puts clients into it")
		return nil
	}
	m := mapping()
	if !builtIn(k.name) {
		c.put(m, "name", str(k.name), k.at.get("name"))
	}
	from := k.testAt
	if from == nil {
		from = k.at
	}
	c.put(m, "test", str(test), from)
	c.origin[m] = k.at
	switch {
	case k.testAt == nil:
	case len(k.members) > 0:
		c.changed(k.testAt, "as test, with the clients that reservations put into the class")
	default:
		c.taken(k.testAt, "as test")
	}
	return m
}

// topClasses writes the classes of the document's top.
func (c *converter) topClasses() (all []*yaml.Node) {
	first := map[string]bool{}
	conflict := len(c.tagged.tagged) > 0 // what is given at the top goes after what classes give
	for _, k := range c.classes {
		if k.late {
			continue
		}
		for _, g := range k.gifts() {
			conflict = conflict || first[g]
			first[g] = true
		}
	}
	var later []*yaml.Node
	for _, k := range c.classes {
		if k.late {
			if !k.used {
				c.left(k.at, "no subnet asks for it to be evaluated")
			}
			continue
		}
		m := c.define(k)
		if m == nil {
			continue
		}
		all = append(all, m)
		if conflict && len(k.gives.Content) > 0 && !builtIn(k.name) {
			by := mapping()
			c.put(by, "test", str("member('"+k.name+"')"), k.at)
			by.Content = append(by.Content, k.gives.Content...)
			c.origin[by] = k.at
			later = append(later, by)
			c.note(k.at, Changed, "what it gives stands behind all classes, in the contrary order: here the last "+
				"class decides, and in Kea the first")
			continue
		}
		m.Content = append(m.Content, k.gives.Content...)
	}
	slices.Reverse(later)
	some := c.forSome(c.tagged)
	return slices.Concat(c.helpers, all, some, later)
}

// note adds a line to the report beside the verdicts on what is in a value.
func (c *converter) note(v *value, verdict Verdict, format string, args ...any) {
	c.lines = append(c.lines, Line{v.at, v.path(), verdict, fmt.Sprintf(format, args...)})
}

// additional writes the classes that a subnet asks for.
func (c *converter) additional(from []*value) (all []*yaml.Node, codes []byte) {
	for _, f := range from {
		for _, key := range []string{"require-client-classes", "evaluate-additional-classes"} {
			v := f.get(key)
			for _, item := range items(v) {
				k := c.class(content(item))
				if k == nil {
					c.left(item, "no class %s is defined", content(item))
					continue
				}
				if !k.late {
					c.taken(item, "the class is evaluated for every subnet")
					continue
				}
				m := c.define(k)
				if m == nil {
					continue
				}
				k.used = true
				gives := copied(k.gives)
				m.Content = append(m.Content, gives.Content...)
				for i := range gives.Content {
					if from := c.origin[k.gives.Content[i]]; from != nil {
						c.origin[gives.Content[i]] = from
					}
				}
				all = append(all, m)
				for _, o := range k.options.all {
					codes = append(codes, o.code)
				}
				c.taken(item, "as a class of the subnet")
			}
		}
	}
	slices.Reverse(all) // the first decides
	return all, codes
}
