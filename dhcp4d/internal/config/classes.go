package config

import (
	"bytes"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// Traits are what classes look at. Nil values are absent from the query.
type Traits struct {
	VendorClass []byte // option 60
	UserClass   []byte // option 77
	HWAddr      []byte // chaddr[:hlen]
}

// Class gives options to clients of a kind: all its patterns must fit.
type Class struct {
	Name    string
	vendor  pattern
	user    pattern
	hwAddr  pattern
	options *option.Set
}

// maxClasses bounds the classes of a subnet to the bits of option.Layers.
const maxClasses = 64

// pattern is a value, or the beginning of one. The zero pattern fits anything.
type pattern struct {
	octets []byte
	prefix bool
	set    bool
}

func (p *pattern) fits(b []byte) bool {
	switch {
	case !p.set:
		return true
	case b == nil:
		return false
	case p.prefix:
		return bytes.HasPrefix(b, p.octets)
	}
	return bytes.Equal(b, p.octets)
}

// fitsUserClass compares option 77: one text, as many clients send it, or the
// list of RFC 3004 section 4, of which one element must fit.
func (p *pattern) fitsUserClass(b []byte) bool {
	if p.fits(b) {
		return true
	}
	for rest := b; len(rest) > 0; {
		n := int(rest[0])
		if n == 0 || n >= len(rest) {
			return false
		}
		if p.fits(rest[1 : 1+n]) {
			return true
		}
		rest = rest[1+n:]
	}
	return false
}

// Matches reports whether a client is in the class.
func (c *Class) Matches(t *Traits) bool {
	return c.vendor.fits(t.VendorClass) && c.user.fitsUserClass(t.UserClass) && c.hwAddr.fits(t.HWAddr)
}

func classFields() []field[classDoc] {
	return []field[classDoc]{
		{"name", "text", "name of the class", func(r *reader, v *value, c *classDoc) { r.text(v, 63, &c.Name) }},
		{"vendor-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 60", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.vendor, false) }},
		{"user-class", "text, or 0x and hex; a * at the end stands for any more", "the client's option 77, or an element of it (RFC 3004)", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.user, false) }},
		{"hw-address", "hex; a * at the end stands for any more", "the client's hardware address, such as 00:1b:21:*", func(r *reader, v *value, c *classDoc) { r.pattern(v, &c.hwAddr, true) }},
		{"options", "mapping of option name or code to value", "options of these clients", func(r *reader, v *value, c *classDoc) {
			r.options(v, &c.builder, true)
		}},
	}
}

type classDoc struct {
	Class
	builder option.Builder
}

func (r *reader) classes(v *value, l *level) {
	l.classes = append([]Class(nil), l.classes...) // the level above keeps its own
	for _, item := range r.list(v, "classes") {
		var c classDoc
		before := len(r.mistakes)
		if !mapping(r, item, "a class", classFields(), &c) || len(r.mistakes) > before {
			continue
		}
		if !c.vendor.set && !c.user.set && !c.hwAddr.set {
			r.fail(item, "says of no client that it is in the class; give vendor-class, user-class or hw-address")
		}
		c.options = c.builder.Set()
		l.classes = append(l.classes, c.Class)
	}
	if len(l.classes) > maxClasses {
		r.fail(v, "makes %d classes with those at the top; at most %d are possible", len(l.classes), maxClasses)
	}
}

func (r *reader) pattern(v *value, into *pattern, isHex bool) {
	s, ok := r.scalar(v, "text, or 0x and hex")
	if !ok {
		return
	}
	text, prefix := strings.CutSuffix(s, "*")
	var octets []byte
	digits, hexText := strings.CutPrefix(text, "0x")
	switch {
	case text == "":
	case isHex || hexText:
		if !r.hex(v, s, digits, &octets) {
			return
		}
	default:
		octets = []byte(text)
	}
	*into = pattern{octets, prefix, true}
}
