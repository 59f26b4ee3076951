package network

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Class is a class of clients: those whose queries its condition holds for. Its subnets apply what
// it gives.
type Class struct {
	Number int // in Subnets.Classes, which has the condition
	Name   string
	Carried

	Refused Refusal
	// IgnoreID: the hardware address alone is the client. Such a class does not depend on whether
	// the client has a reservation.
	IgnoreID bool
	Pools    []string // names of the pools that these clients get addresses of; nil says nothing

	// Value, unless it is nil, evaluates to the octets Is for every client of the class.
	Value *expression.Value
	Is    []byte
}

// Carried is what a class, a pool or a reservation gives its clients. Zero values change nothing.
type Carried struct {
	Options                      *option.Set
	Times                        lease.Times // all three, or none
	NextServer                   netip.Addr
	ServerHostname, BootFileName []byte
}

// IsSet reports whether anything is given.
func (c *Carried) IsSet() bool {
	return c.Options != nil || c.Times != lease.Times{} || c.NextServer.IsValid() || c.ServerHostname != nil ||
		c.BootFileName != nil
}

// Gives reports whether being in the class makes a difference by itself.
func (c *Class) Gives() bool {
	return c.IsSet() || c.Refused != NotRefused || c.Pools != nil || c.IgnoreID
}

// Refusal is the way in which clients are refused.
type Refusal uint8

// The ways.
const (
	NotRefused    Refusal = iota
	RefusedSilent         // by silence
	RefusedNak            // a REQUEST by a NAK, other messages by silence
)

// ClassList is the classes of one level of the document, in its order. Nil has none.
type ClassList struct {
	All []Class // those that give anything
	// First and End bound the numbers of all classes of the level.
	First, End int

	ignoring *ClassList // of classes with IgnoreID; nil if there are none

	keyed []keyed // those with a value
	rest  []int32 // those without
}

// keyed are the classes that compare the same value, by the octets that it must have.
type keyed struct {
	value *expression.Value
	by    map[string][]int32
}

// NewClassList makes the indexes over the classes of a level that give anything. It keeps all. The
// numbers of its classes are from first to before end.
func NewClassList(all []Class, first, end int) *ClassList {
	l := newClassList(all, first, end)
	ignoring := slices.DeleteFunc(slices.Clone(all), func(c Class) bool { return !c.IgnoreID })
	if len(ignoring) > 0 {
		l.ignoring = newClassList(ignoring, first, end)
	}
	return l
}

func newClassList(all []Class, first, end int) *ClassList {
	l := &ClassList{All: all, First: first, End: end}
	values := map[string]int{}
	for i := range all {
		c := &all[i]
		if c.Value == nil {
			l.rest = append(l.rest, int32(i))
			continue
		}
		at, known := values[c.Value.String()]
		if !known {
			at = len(l.keyed)
			values[c.Value.String()] = at
			l.keyed = append(l.keyed, keyed{c.Value, map[string][]int32{}})
		}
		k := &l.keyed[at]
		k.by[string(c.Is)] = append(k.by[string(c.Is)], int32(i))
	}
	return l
}

// Longest returns the longest lease time that a class gives, 0 if none gives any.
func (l *ClassList) Longest() (longest uint32) {
	if l != nil {
		for i := range l.All {
			longest = max(longest, l.All[i].Times.Max)
		}
	}
	return longest
}

// ignores reports whether the query of e is in a class with IgnoreID.
func (l *ClassList) ignores(e *expression.Evaluator) bool {
	if l == nil || l.ignoring == nil {
		return false
	}
	return l.ignoring.last(e) != nil
}

// last returns the last class of the list that the query of e is in, nil if it is in none.
func (l *ClassList) last(e *expression.Evaluator) (last *Class) {
	take := func(i int32) {
		if c := &l.All[i]; (last == nil || c.Number > last.Number) && e.Member(c.Number) {
			last = c
		}
	}
	for _, i := range l.rest {
		take(i)
	}
	for k := range l.keyed {
		if octets, ok := l.keyed[k].value.Octets(e); ok {
			for _, i := range l.keyed[k].by[string(octets)] {
				take(i)
			}
		}
	}
	return last
}

// AppendOf appends the classes that the query of e is in, in the order of the document. Its cost
// grows with the number of classes without a value, of values and of classes that the query may be
// in.
func (l *ClassList) AppendOf(in []*Class, e *expression.Evaluator) []*Class {
	if l == nil {
		return in
	}
	before := len(in)
	take := func(i int32) {
		if c := &l.All[i]; e.Member(c.Number) {
			in = append(in, c)
		}
	}
	for _, i := range l.rest {
		take(i)
	}
	for k := range l.keyed {
		if octets, ok := l.keyed[k].value.Octets(e); ok {
			for _, i := range l.keyed[k].by[string(octets)] {
				take(i)
			}
		}
	}
	slices.SortFunc(in[before:], func(a, b *Class) int { return a.Number - b.Number })
	return in
}

// Traits define the clients of a class without an expression: all patterns must fit.
type Traits struct {
	VendorClass Pattern // option 60
	UserClass   Pattern // option 77
	HWAddr      Pattern // chaddr[:hlen]
}

// IsSet reports whether any pattern is set.
func (t *Traits) IsSet() bool {
	return t.VendorClass.IsSet() || t.UserClass.IsSet() || t.HWAddr.IsSet()
}

// Pattern is a value, or the beginning of one. The zero Pattern fits every value.
type Pattern struct {
	octets []byte
	prefix bool
	set    bool
}

// NewPattern returns a pattern that fits octets or, with prefix, all values that begin with them.
func NewPattern(octets []byte, prefix bool) Pattern { return Pattern{octets, prefix, true} }

// IsSet reports whether the pattern is set.
func (p *Pattern) IsSet() bool { return p.set }

// Key returns a test that holds for every query with the traits, if they have a part that such a
// test can have. Of many classes with traits, few then need to be tried.
func (t *Traits) Key() (test string, ok bool) {
	if p := &t.HWAddr; p.set && len(p.octets) > 0 {
		return p.key("pkt4.mac"), true
	}
	// Octets that end with a zero octet fit also what the expression does not see.
	if p := &t.VendorClass; p.set && len(p.octets) > 0 && p.octets[len(p.octets)-1] != 0 {
		return p.key("option[60].hex"), true
	}
	return "", false
}

func (p *Pattern) key(of string) string {
	if p.prefix {
		of = fmt.Sprintf("substring(%s, 0, %d)", of, len(p.octets))
	}
	return fmt.Sprintf("%s == 0x%x", of, p.octets)
}

func (p *Pattern) fits(b []byte) bool {
	switch {
	case !p.set:
		return true
	case p.prefix:
		return bytes.HasPrefix(b, p.octets)
	}
	return bytes.Equal(b, p.octets)
}

// fitsText compares text that may end with NUL octets, which do not belong to
// it (RFC 2132 section 2).
func (p *Pattern) fitsText(b []byte) bool {
	return p.fits(b) || (len(b) > 0 && b[len(b)-1] == 0 && p.fits(bytes.TrimRight(b, "\x00")))
}

// fitsUserClass compares option 77: one text, as many clients send it, or the
// list of RFC 3004 section 4, of which one element must fit.
func (p *Pattern) fitsUserClass(b []byte) bool {
	if p.fitsText(b) {
		return true
	}
	for rest := b; len(rest) > 0; {
		n := int(rest[0])
		if n == 0 || n >= len(rest) {
			return false
		}
		if p.fitsText(rest[1 : 1+n]) {
			return true
		}
		rest = rest[1+n:]
	}
	return false
}

// Fit reports whether the query of e has the traits.
func (t *Traits) Fit(e *expression.Evaluator) bool {
	m := e.Query().Message
	if m == nil {
		return false
	}
	if t.HWAddr.set && !t.HWAddr.fits(m.CHAddr()) {
		return false
	}
	if t.VendorClass.set {
		if b, ok := m.Option(dhcp4.OptVendorClass); !ok || !t.VendorClass.fitsText(b) {
			return false
		}
	}
	if t.UserClass.set {
		if b, ok := m.Option(dhcp4.OptUserClass); !ok || !t.UserClass.fitsUserClass(b) {
			return false
		}
	}
	return true
}
