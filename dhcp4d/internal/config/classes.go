package config

import (
	"cmp"
	"errors"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// testKind is how a test is written.
const testKind = "expression, see expressions.md"

func classFields() []field[classDoc] {
	return []field[classDoc]{
		{"name", "text", "name of the class, by which the tests of later classes and match entries ask for it", func(r *reader, v *value, c *classDoc) { r.text(v, 63, &c.Name) }},
		{"test", testKind, "what is true of these clients' queries", func(_ *reader, v *value, c *classDoc) { c.testAt = v }},
		{"marked", "true or false", "only rules put queries into the class (hook rules), and it needs no test", func(r *reader, v *value, c *classDoc) { r.boolean(v, &c.marked) }},
		{"vendor-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 60", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.VendorClass, false) }},
		{"user-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 77, or an element of it (RFC 3004)", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.UserClass, false) }},
		{"hw-address", "hex; a * at the end stands for any more", "the client's hardware address, such as 00:1b:21:*", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.traits.HWAddr, true) }},
		{"options", "mapping of option name or code to value", "options of these clients", func(r *reader, v *value, c *classDoc) {
			r.options(v, &c.builder, true)
		}},
		{"lease-time", "duration or infinite", "lease time of these clients if they do not ask for one", func(r *reader, v *value, c *classDoc) {
			r.leaseTime(v, &c.Times.Default)
			c.timesAt = v
		}},
		{"min-lease-time", "duration", "least lease time of those that ask for one; lease-time if not given", func(r *reader, v *value, c *classDoc) {
			r.leaseTime(v, &c.Times.Min)
			c.timesAt = v
		}},
		{"max-lease-time", "duration or infinite", "greatest lease time of those that ask for one; lease-time if not given", func(r *reader, v *value, c *classDoc) {
			r.leaseTime(v, &c.Times.Max)
			c.timesAt = v
		}},
		{"next-server", "IPv4 address", "address of their boot server (siaddr)", func(r *reader, v *value, c *classDoc) { r.addr4(v, &c.NextServer) }},
		{"server-hostname", "text", "name of their boot server (sname), at most 63 octets", func(r *reader, v *value, c *classDoc) { r.octets(v, 63, &c.ServerHostname) }},
		{"boot-file-name", "text", "their boot file (file), at most 127 octets", func(r *reader, v *value, c *classDoc) { r.octets(v, 127, &c.BootFileName) }},
		{"refuse", "silent or nak", "these clients are not served: no message gets an answer, or with nak each REQUEST gets a NAK; counted as class_refused", func(r *reader, v *value, c *classDoc) {
			var nak bool
			r.either(v, "nak", "silent", &nak)
			if c.Refused = network.RefusedSilent; nak {
				c.Refused = network.RefusedNak
			}
		}},
		{"always-send", "list of option names or codes", "options that are sent to these clients, where they are configured, also if they do not ask for them", func(r *reader, v *value, c *classDoc) { r.alwaysSend(v, &c.builder) }},
	}
}

type classDoc struct {
	network.Class
	testAt  *value
	timesAt *value
	traits  network.Traits
	marked  bool
	builder optionsDoc
}

// classes reads the classes of a level. A class can be asked for by those after it: in the level,
// and in the subnets of the top.
func (r *reader) classes(v *value, l *level) {
	var all []network.Class
	first := l.scope.Count()
	for _, item := range r.list(v, "classes") {
		var c classDoc
		before := len(r.mistakes)
		if !mapping(r, item, "a class", classFields(), &c) {
			continue
		}
		var test *expression.Test
		if c.testAt != nil {
			test = r.test(c.testAt, l.scope)
		}
		r.classTimes(&c)
		if len(r.mistakes) > before {
			continue
		}
		var fits func(*expression.Evaluator) bool
		if c.traits.IsSet() {
			traits := c.traits
			fits = traits.Fit
		}
		switch {
		case c.marked && (fits != nil || test != nil):
			r.fail(item, "is marked by rules, and has a condition beside that; leave one of them out")
			continue
		case c.marked && (l.marked == nil || c.Name == ""):
			r.fail(item, "is marked by rules, which know classes of the document's top by their names; define it there, with a name")
			continue
		case c.marked:
			fits = func(*expression.Evaluator) bool { return false }
		case fits == nil && test == nil:
			r.fail(item, "says of no client that it is in the class; give test, vendor-class, user-class or hw-address, or marked: true if rules do")
			continue
		}
		number, err := l.scope.Add(c.Name, test, fits)
		if err != nil {
			r.fail(item, "%v", err)
			continue
		}
		if c.marked {
			l.marked[c.Name] = number
		}
		c.Number, c.Options = number, c.builder.Set()
		if test != nil {
			c.Value, c.Is, _ = test.Key()
		}
		if c.Gives() {
			all = append(all, c.Class)
		}
		if c.builder.isSet() {
			l.routing = append(l.routing, c.builder.routing)
		}
	}
	l.classes = network.NewClassList(all, first, l.scope.Count())
}

// classTimes completes and checks the lease times of a class.
func (r *reader) classTimes(c *classDoc) {
	t := &c.Times
	if c.timesAt == nil {
		return
	}
	if t.Default == 0 {
		r.fail(c.timesAt, "needs lease-time beside it: what a class says of lease times replaces all that its subnet says")
		return
	}
	t.Min, t.Max = cmp.Or(t.Min, t.Default), cmp.Or(t.Max, t.Default)
	if t.Min > t.Default || t.Default > t.Max {
		r.fail(c.timesAt, "min-lease-time %s, lease-time %s and max-lease-time %s must not descend", showSeconds(t.Min), showSeconds(t.Default), showSeconds(t.Max))
	}
}

// octets reads text as octets.
func (r *reader) octets(v *value, most int, into *[]byte) {
	var s string
	if r.text(v, most, &s); s != "" {
		*into = []byte(s)
	}
}

// vocabulary is what expressions in the document may say.
func vocabulary(scope *expression.Scope) *expression.Vocabulary {
	return &expression.Vocabulary{Option: encode.CodeOf, OptionNames: encode.Names, Classes: scope}
}

// test reads an expression that is true or false, nil if it is none.
func (r *reader) test(v *value, scope *expression.Scope) *expression.Test {
	s, ok := r.scalar(v, testKind)
	if !ok {
		return nil
	}
	test, err := expression.CompileTest(s, vocabulary(scope))
	r.inside(v, err)
	return test
}

// inside reports a mistake inside an expression, where it stands in the document.
func (r *reader) inside(v *value, err error) {
	var e *expression.Error
	if !errors.As(err, &e) {
		return
	}
	line, column := r.source.position(v.Node, e.Offset)
	r.mistakes = append(r.mistakes, Mistake{line, column, v.path(), e.Problem})
}

func (r *reader) pattern(v *value, into *network.Pattern, isHex bool) {
	s, ok := r.scalar(v, octetsKind)
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
