package config

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// span is a range of addresses as numbers, both ends included.
type span struct{ first, last uint32 }

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func addr4(n uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

func prefixSpan(p netip.Prefix) span {
	first := number4(p.Addr())
	return span{first, first | ^uint32(0)>>p.Bits()}
}

func (s span) String() string {
	if s.first == s.last {
		return addr4(s.first).String()
	}
	return fmt.Sprintf("%s-%s", addr4(s.first), addr4(s.last))
}

func (s span) overlaps(t span) bool { return s.first <= t.last && t.first <= s.last }
func (s span) within(t span) bool   { return t.first <= s.first && s.last <= t.last }

// without returns spans without the addresses of cut.
func without(spans []span, cut span) []span {
	var left []span
	for _, s := range spans {
		if !s.overlaps(cut) {
			left = append(left, s)
			continue
		}
		if s.first < cut.first {
			left = append(left, span{s.first, cut.first - 1})
		}
		if s.last > cut.last {
			left = append(left, span{cut.last + 1, s.last})
		}
	}
	return left
}

// withoutEnds returns spans without the addresses that end in .0 or .255.
func withoutEnds(spans []span) []span {
	var left []span
	for _, s := range spans {
		for first := uint64(s.first); first <= uint64(s.last); first = (first | 255) + 1 {
			begin, end := max(first, first&^255+1), min(uint64(s.last), (first|255)-1)
			if begin <= end {
				left = append(left, span{uint32(begin), uint32(end)})
			}
		}
	}
	return left
}

// span reads a range: first-last, a prefix, or an address.
func (r *reader) span(v *value) (s span, isPrefix, ok bool) {
	text, ok := r.Scalar(v, rangeKind)
	if !ok {
		return span{}, false, false
	}
	if p, err := netip.ParsePrefix(text); err == nil && p.Addr().Is4() {
		if p != p.Masked() {
			r.Fail(v, "%s has bits set behind the prefix; did you mean %s?", p, p.Masked())
			return span{}, false, false
		}
		return prefixSpan(p), true, true
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	first, err1 := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	if err1 != nil || err2 != nil || !first.Is4() || !last.Is4() {
		r.Fail(v, "%q must be %s", text, rangeKind)
		return span{}, false, false
	}
	if last.Less(first) {
		r.Fail(v, "ends before it begins; did you mean %s-%s?", last, first)
		return span{}, false, false
	}
	return span{number4(first), number4(last)}, false, true
}

const rangeKind = "a range such as 192.0.2.10-192.0.2.250, or an IPv4 prefix"

// poolDoc is a pool as it stands in the document.
type poolDoc struct {
	at       *value
	span     span
	isPrefix bool
	ok       bool
	exclude  []span
	name     string
	onlyAt   *value
	refused  network.Refusal
	carriedDoc
}

func poolFields() []field[poolDoc] {
	return append([]field[poolDoc]{
		{"range", "range or IPv4 prefix", "addresses to hand out; of a prefix that is the whole subnet all but its " +
			"first and last", func(r *reader, v *value, p *poolDoc) {
			p.span, p.isPrefix, p.ok = r.span(v)
			p.at = v
		}},
		{"exclude", "list of ranges", "addresses of the range that are not handed out",
			func(r *reader, v *value, p *poolDoc) {
				for _, item := range r.List(v, "ranges") {
					if s, _, ok := r.span(item); ok {
						p.exclude = append(p.exclude, s)
					}
				}
			}},
		{"name", "text", "name of the pool, by which classes say that their clients get addresses of it; " +
			"several may have the same", func(r *reader, v *value, p *poolDoc) { r.text(v, 63, &p.name) }},
		{"only", "list of texts", "names of classes; only their clients get new addresses of the pool",
			func(r *reader, v *value, p *poolDoc) {
				p.onlyAt = v
			}},
		{"refuse", "silent or nak", "nobody gets an address of the pool, and a REQUEST for one, also a renewal, " +
			"gets no answer, or with nak a NAK; counted as class_refused; reservations count before",
			func(r *reader, v *value, p *poolDoc) { r.refusal(v, &p.refused) }},
	}, carriedFields(func(p *poolDoc) *carriedDoc { return &p.carriedDoc })...)
}

// only finds the classes that a pool is for.
func (r *reader) only(p *poolDoc, scope *expression.Scope) []int {
	if p.onlyAt == nil {
		return nil
	}
	numbers := []int{}
	for _, item := range r.List(p.onlyAt, "names of classes") {
		var name string
		if r.text(item, 63, &name); name == "" {
			continue
		}
		number, ok := scope.Lookup(name)
		if !ok {
			r.Fail(item, "no class %s is defined here; %s", name, expression.Suggest(name, scope.Names()))
			continue
		}
		numbers = append(numbers, number)
	}
	if len(numbers) == 0 && len(p.onlyAt.Content) == 0 {
		r.Fail(p.onlyAt, "names no class; nobody would get an address of the pool; use exclude")
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

func (r *reader) pools(v *value) []poolDoc {
	var pools []poolDoc
	for _, item := range r.List(v, "pools") {
		p := poolDoc{at: item}
		p.late = true
		switch {
		case item.Kind != yaml.MappingNode:
			p.span, p.isPrefix, p.ok = r.span(item)
		case mapping(r, item, "a pool", poolFields(), &p) && p.at == item:
			r.Fail(item, "has no range; give it one")
		}
		r.complete(&p.carriedDoc)
		if p.ok {
			pools = append(pools, p)
		}
	}
	return pools
}

// compilePools checks the pools of a subnet, and takes out the addresses that are not given to
// clients: exclusions, and those in never.
func (r *reader) compilePools(s *subnetDoc, pools []poolDoc, never []netip.Addr, in *interner) []network.Pool {
	subnet := prefixSpan(s.prefix)
	var compiled []network.Pool
	var sound []poolDoc
	for _, p := range pools {
		if !p.span.within(subnet) {
			r.Fail(p.at, "%s is not within the subnet %s", p.span, s.prefix)
			continue
		}
		if s.prefix.Bits() <= 30 && !p.isPrefix {
			if p.span.first == subnet.first {
				r.Fail(p.at, "begins with the address of the network itself; begin at %s", addr4(subnet.first+1))
			}
			if p.span.last == subnet.last {
				r.Fail(p.at, "ends with the broadcast address; end at %s", addr4(subnet.last-1))
			}
		}
		for _, e := range p.exclude {
			if !e.overlaps(p.span) {
				r.Fail(p.at, "the exclusion %s is not in the pool %s", e, p.span)
			}
		}
		sound = append(sound, p)
		if pool, ok := r.carve(s, &p, subnet, never); ok {
			pool.Carried, pool.Name, pool.Only = p.Carried, p.name, r.only(&p, s.scope)
			pool.Refused = p.refused
			pool.Options = in.set(r.set(&p.options, s.scope))
			r.checkRouting(p.options.over(s.options.routing))
			compiled = append(compiled, pool)
		}
	}
	slices.SortStableFunc(sound, func(a, b poolDoc) int { return cmp.Compare(a.span.first, b.span.first) })
	for i := 1; i < len(sound); i++ {
		a, b := &sound[i-1], &sound[i]
		if a.span.overlaps(b.span) {
			if a.at.Line > b.at.Line || (a.at.Line == b.at.Line && a.at.Column > b.at.Column) {
				a, b = b, a
			}
			r.Fail(b.at, "%s overlaps the pool %s in line %d", b.span, a.span, a.at.Line)
			if sound[i-1].span.last > sound[i].span.last {
				sound[i] = sound[i-1] // the longer one, which the next may overlap too
			}
		}
	}
	return compiled
}

func (r *reader) carve(s *subnetDoc, p *poolDoc, subnet span, never []netip.Addr) (network.Pool, bool) {
	left := []span{p.span}
	if s.prefix.Bits() <= 30 {
		left = without(without(left, span{subnet.first, subnet.first}), span{subnet.last, subnet.last})
	}
	for _, e := range append(slices.Clone(s.exclude), p.exclude...) {
		left = without(left, e)
	}
	for _, a := range never {
		left = without(left, span{number4(a), number4(a)})
	}
	if s.SkipEnds {
		left = withoutEnds(left)
	}
	if len(left) == 0 {
		r.Fail(p.at, "has no address left: %s is excluded, or the server's own", p.span)
		return network.Pool{}, false
	}
	pool := network.Pool{Ranges: make([]network.Range, 0, len(left))}
	for _, s := range left {
		pool.Ranges = append(pool.Ranges, network.Range{First: addr4(s.first), Last: addr4(s.last)})
		pool.Size += uint64(s.last-s.first) + 1
	}
	return pool, true
}
