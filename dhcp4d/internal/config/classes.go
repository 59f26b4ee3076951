package config

import (
	"errors"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// testKind is how a test is written.
const testKind = "expression, see expressions.md"

func classFields() []field[classDoc] {
	return append([]field[classDoc]{
		{"name", "text", "name of the class, by which the tests of later classes and match entries ask for it",
			func(r *reader, v *value, c *classDoc) { r.text(v, 63, &c.Name) }},
		{"test", testKind, "what is true of these clients' queries", func(_ *reader, v *value, c *classDoc) { c.testAt = v }},
		{"marked", "true or false", "only rules put queries into the class (hook rules), and it needs no test",
			func(r *reader, v *value, c *classDoc) { r.Boolean(v, &c.marked) }},
		{"vendor-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 60",
			func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.VendorClass, false) }},
		{"user-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 77, " +
			"or an element of it (RFC 3004)",
			func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.UserClass, false) }},
		{"hw-address", "hex; a * at the end stands for any more", "the client's hardware address, such as 00:1b:21:*",
			func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.HWAddr, true) }},
		{"ignore-client-id", "true or false", "the hardware address alone is the client, " +
			"whatever client identifier it sends", func(r *reader, v *value, c *classDoc) {
			r.Boolean(v, &c.IgnoreID)
			c.ignoreAt = v
		}},
		{"refuse", "silent or nak", refusalMeaning, func(r *reader, v *value, c *classDoc) { r.refusal(v, &c.Refused) }},
		{"pools", "list of texts", "names of the pools that these clients get new addresses of, " +
			"in subnets that have a pool of such a name", func(r *reader, v *value, c *classDoc) {
			c.Pools = []string{}
			c.poolsAt = v
			r.names(v, &c.Pools)
		}},
	}, carriedFields(func(c *classDoc) *carriedDoc { return &c.carriedDoc })...)
}

type classDoc struct {
	carriedDoc
	Name     string
	Refused  network.Refusal
	Pools    []string
	poolsAt  *value
	IgnoreID bool
	ignoreAt *value
	testAt   *value
	traits   network.Traits
	marked   bool
}

// classList is the classes of a level.
type classList struct {
	all        []network.Class
	options    []optionsDoc // of each
	pools      []*value     // where each names the pools of its clients
	first, end int          // numbers of the classes: first to end-1
}

// compile keeps the classes that make a difference: those that give something, and those that pools
// ask for. Expressions of their options may ask for all classes of a scope.
func (l *classList) compile(r *reader, asked map[int]bool, scope *expression.Scope) *network.ClassList {
	var all []network.Class
	for i := range l.all {
		l.all[i].Options = r.set(&l.options[i], scope)
		if c := &l.all[i]; c.Gives() || asked[c.Number] {
			all = append(all, *c)
		}
	}
	return network.NewClassList(all, l.first, l.end)
}

// classes reads the classes of a level. Tests of later classes of the same level may ask for a
// class, and if the level is the top, tests of subnets may too.
func (r *reader) classes(v *value, l *level) {
	l.classes = classList{first: l.scope.Count()}
	for _, item := range r.List(v, "classes") {
		var c classDoc
		before := len(r.Mistakes)
		if !mapping(r, item, "a class", classFields(), &c) {
			continue
		}
		var test *expression.Test
		if c.testAt != nil {
			test = r.test(c.testAt, l.scope)
		}
		r.complete(&c.carriedDoc)
		if len(r.Mistakes) > before {
			continue
		}
		var fits func(*expression.Evaluator) bool
		if c.traits.IsSet() {
			traits := c.traits
			fits = traits.Fit
		}
		switch {
		case c.marked && (fits != nil || test != nil):
			r.Fail(item, "is marked by rules, and has a condition beside that; leave one of them out")
			continue
		case c.marked && (l.marked == nil || c.Name == ""):
			r.Fail(item, "is marked by rules, which know classes of the document's top by their names; define it "+
				"there, with a name")
			continue
		case c.marked:
			fits = func(*expression.Evaluator) bool { return false }
		case fits == nil && test == nil:
			r.Fail(item, "says of no client that it is in the class; give test, vendor-class, user-class or "+
				"hw-address, or marked: true if rules do")
			continue
		}
		number, err := l.scope.Add(c.Name, test, fits)
		if err != nil {
			r.Fail(item, "%v", err)
			continue
		}
		if c.IgnoreID && l.scope.UsesKnown(number) {
			r.Fail(c.ignoreAt, "depends here on whether the client has a reservation, and that depends on who the "+
				"client is; give a test without known, unknown, KNOWN and UNKNOWN")
			continue
		}
		if c.marked {
			l.marked[c.Name] = number
		}
		class := network.Class{Number: number, Name: c.Name, Carried: c.Carried, Refused: c.Refused, Pools: c.Pools,
			IgnoreID: c.IgnoreID}
		if test != nil {
			class.Value, class.Is, _ = test.Key()
		}
		if text, ok := c.traits.Key(); ok && class.Value == nil {
			if key, err := expression.CompileTest(text, nil); err == nil {
				class.Value, class.Is, _ = key.Key()
			}
		}
		l.classes.all, l.classes.pools = append(l.classes.all, class), append(l.classes.pools, c.poolsAt)
		l.classes.options = append(l.classes.options, c.options)
		if c.options.isSet() {
			l.routing = append(l.routing, c.options.routing)
		}
	}
	l.classes.end = l.scope.Count()
}

// names reads a list of names.
func (r *reader) names(v *value, into *[]string) {
	for _, item := range r.List(v, "names") {
		var name string
		if r.text(item, 63, &name); name != "" {
			*into = append(*into, name)
		}
	}
}

// octets reads text as octets.
func (r *reader) octets(v *value, most int, into *[]byte) {
	var s string
	if r.text(v, most, &s); s != "" {
		*into = []byte(s)
	}
}

// vocabulary returns the words of expressions in the document.
func vocabulary(scope *expression.Scope) *expression.Vocabulary {
	return &expression.Vocabulary{Option: encode.CodeOf, OptionNames: encode.Names, Classes: scope}
}

// test reads an expression that is true or false, nil if it is none.
func (r *reader) test(v *value, scope *expression.Scope) *expression.Test {
	s, ok := r.Scalar(v, testKind)
	if !ok {
		return nil
	}
	test, err := expression.CompileTest(s, vocabulary(scope))
	r.inside(v, err)
	return test
}

// inside reports a mistake in an expression, at its position in the document.
func (r *reader) inside(v *value, err error) {
	if e, ok := errors.AsType[*expression.Error](err); ok {
		r.FailInside(v, e.Offset, e.Problem)
	}
}

func (r *reader) pattern(v *value, into *network.Pattern, isHex bool) {
	s, ok := r.Scalar(v, octetsKind)
	if !ok {
		return
	}
	text, prefix := strings.CutSuffix(s, "*")
	var value []byte
	hexText := strings.HasPrefix(text, "0x")
	switch {
	case text == "":
	case isHex || hexText:
		if prefix {
			text = strings.TrimRight(text, ":-.") // 02:00:5e:*
		}
		if value, ok = r.parsed(v, text, octets.ParseHex); !ok {
			return
		}
	default:
		value = []byte(text)
	}
	*into = network.NewPattern(value, prefix)
}
