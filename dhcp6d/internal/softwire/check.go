package softwire

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Problem is what cannot be right in a value, and what to do.
type Problem struct {
	Field Field
	Text  string
}

// Field is the part of a value that a problem is about.
type Field int

// The fields.
const (
	Whole Field = iota
	EABits
	IPv4Prefix
	IPv6Prefix
	PSIDOffset
	PSIDLength
	PSID
)

// Check returns what cannot be right in a rule, whose prefixes are valid.
func (r Rule) Check() (wrong []Problem) {
	fail := func(f Field, format string, args ...any) {
		wrong = append(wrong, Problem{f, fmt.Sprintf(format, args...)})
	}
	if r.EABits > maxEA {
		fail(EABits, "%d EA bits are more than the %d that a rule can have", r.EABits, maxEA)
		return wrong
	}
	if end := r.IPv6.Bits() + int(r.EABits); end > 128 {
		fail(EABits, "%v and %d EA bits make an end-user prefix of %d bits; give at most %d EA bits", r.IPv6, r.EABits,
			end, 128-r.IPv6.Bits())
	}
	k := r.psidLength()
	if k > 16 {
		fail(EABits, "%d EA bits behind %v leave %d bits for the PSID; give at most %d, or a shorter IPv4 prefix",
			r.EABits, r.IPv4, k, 32-r.IPv4.Bits()+16)
		return wrong
	}
	if r.Ports.Given && r.Ports.Offset > 15 {
		fail(PSIDOffset, "a PSID offset of %d leaves no bit of a port; give 0 to 15", r.Ports.Offset)
		return wrong
	}
	shared := k > 0 || r.Ports.Length > 0
	switch {
	case k > 0 && int(r.offset())+k > 16:
		fail(PSIDOffset, "an offset of %d and the %d bits of PSID that %d EA bits leave are more than the 16 bits of "+
			"a port; give an offset of at most %d", r.offset(), k, r.EABits, 16-k)
	case k > 0 && r.Ports.Length > 0 && int(r.Ports.Length) != k:
		fail(PSIDLength, "%d EA bits behind %v leave %d bits for the PSID, not %d; correct one of them, or leave "+
			"psid-length out", r.EABits, r.IPv4, k, r.Ports.Length)
	case k > 0 && r.Ports.PSID != 0:
		fail(PSID, "the PSID of each CE comes from the EA bits; leave psid out")
	case k == 0 && r.Ports.Length > 0 && r.EABits > 0:
		fail(PSIDLength, "%d EA bits make no shared address of %v; give at least %d, or leave psid-length out",
			r.EABits, r.IPv4, 32-r.IPv4.Bits()+1)
	case k == 0 && r.Ports.Length > 0 && r.IPv4.Bits() < 32:
		fail(IPv4Prefix, "%v is no single address, and a PSID that is given belongs to one; give an IPv4 prefix of "+
			"32 bits", r.IPv4)
	case k == 0 && shared:
		wrong = append(wrong, r.Ports.check()...)
	}
	return wrong
}

// Check returns what cannot be right in a binding, whose prefix is valid.
func (b Binding) Check() []Problem { return b.Ports.check() }

// check returns what cannot be right in port parameters that have a PSID.
func (p Ports) check() (wrong []Problem) {
	fail := func(f Field, format string, args ...any) {
		wrong = append(wrong, Problem{f, fmt.Sprintf(format, args...)})
	}
	switch {
	case p.Offset > 15:
		fail(PSIDOffset, "a PSID offset of %d leaves no bit of a port; give 0 to 15", p.Offset)
	case int(p.Offset)+int(p.Length) > 16:
		fail(PSIDLength, "an offset of %d and a PSID of %d bits are more than the 16 bits of a port; give a PSID of "+
			"at most %d bits", p.Offset, p.Length, 16-p.Offset)
	case p.Length == 0 && p.PSID != 0:
		fail(PSID, "a PSID needs psid-length")
	case int(p.PSID) >= 1<<p.Length:
		fail(PSID, "PSID %d does not fit into %d bits; give at most %d", p.PSID, p.Length, 1<<p.Length-1)
	}
	return wrong
}

// WellKnown reports whether the ports of some CE are below 1024 (RFC 7597 section 5.1).
func (r Rule) WellKnown() bool {
	return r.psidLength() > 0 && r.offset() > DefaultOffset
}

// Claim is the IPv4 addresses, and their ports, that a rule or binding gives to CEs. Equal claims
// give the same to the same CEs.
type Claim struct {
	ipv4   netip.Prefix
	ipv6   netip.Prefix
	eaBits uint8
	ports  PortSet // of the one CE; of a rule that shares by EA bits, without PSID
}

// Claim returns what the rule gives to CEs.
func (r Rule) Claim() Claim {
	c := Claim{ipv4: r.IPv4, ipv6: r.IPv6, eaBits: r.EABits}
	if k := r.psidLength(); k > 0 {
		c.ports.Offset = r.offset() // CEs with other offsets overlap
	} else if r.Ports.Length > 0 {
		c.ports = PortSet{r.Ports.Offset, r.Ports.Length, r.Ports.PSID}
	}
	return c
}

// Claim returns what the binding gives to its CE.
func (b Binding) Claim() Claim {
	c := Claim{ipv4: netip.PrefixFrom(b.IPv4, 32), ipv6: b.IPv6}
	if b.Ports.Length > 0 {
		c.ports = PortSet{b.Ports.Offset, b.Ports.Length, b.Ports.PSID}
	}
	return c
}

// overlaps reports whether two different claims give a port of an address to two CEs.
func (c Claim) overlaps(o Claim) bool {
	return c != o && c.ipv4.Overlaps(o.ipv4) && c.ports.Overlaps(o.ports)
}

// IPv4 returns the addresses.
func (c Claim) IPv4() netip.Prefix { return c.ipv4 }

// Conflict says that two claims, by their indices, give a port of an address to two CEs.
type Conflict struct{ First, Second int }

// layout is where in a port the PSID is. Ports of one layout overlap only if the PSID is the same.
type layout struct{ offset, length uint8 }

// group is claims with the same addresses and ports: the first of them, and the first that differs
// from it in what else a claim says, -1 if there is none.
type group struct{ first, other int }

// conflict reports the first claim of the group that differs from a later one.
func (g *group) conflict(claims []Claim, later int, report func(earlier, later int)) {
	switch {
	case claims[g.first] != claims[later]:
		report(g.first, later)
	case g.other >= 0:
		report(g.other, later)
	}
}

// Conflicts returns, for each claim that overlaps with others before it, the first of these.
func Conflicts(claims []Claim) (all []Conflict) {
	order := make([]int, len(claims))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := claims[i].ipv4, claims[j].ipv4
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()), cmp.Compare(i, j))
	})
	// Prefixes overlap only if one is in the other. Open are those that the next one may be in, of
	// which each is in the one before it, or equal to it. Those behind begin are equal: they may be
	// very many, such as CEs that share an address, and are found by their ports.
	var open []int
	begin, alike := 0, map[layout]map[uint16]*group{}
	first := map[int]int{}
	conflict := func(earlier, later int) {
		if f, found := first[later]; !found || earlier < f {
			first[later] = earlier
		}
	}
	for _, i := range order {
		c := &claims[i]
		for len(open) > 0 && !claims[open[len(open)-1]].ipv4.Contains(c.ipv4.Addr()) {
			open = open[:len(open)-1]
		}
		if len(open) == 0 || claims[open[len(open)-1]].ipv4 != c.ipv4 {
			begin = len(open)
			clear(alike)
		}
		for _, j := range open[:begin] {
			budget.Spend(1)
			if c.overlaps(claims[j]) {
				conflict(min(i, j), max(i, j))
			}
		}
		own := layout{c.ports.Offset, c.ports.Length}
		for l, groups := range alike {
			budget.Spend(1)
			if l == own {
				if g := groups[c.ports.PSID]; g != nil {
					g.conflict(claims, i, conflict)
				}
				continue
			}
			for _, g := range groups {
				budget.Spend(1)
				if c.ports.Overlaps(claims[g.first].ports) {
					g.conflict(claims, i, conflict)
				}
			}
		}
		if alike[own] == nil {
			alike[own] = map[uint16]*group{}
		}
		switch g := alike[own][c.ports.PSID]; {
		case g == nil:
			alike[own][c.ports.PSID] = &group{i, -1}
		case g.other < 0 && claims[g.first] != *c:
			g.other = i
		}
		open = append(open, i)
	}
	for i := range claims {
		if f, found := first[i]; found {
			all = append(all, Conflict{f, i})
		}
	}
	return all
}
