package softwire

import (
	"encoding/binary"
	"net/netip"
)

// PortSet is the ports of one CE of those that share an address: Length bits behind the first
// Offset bits of the port are PSID.
type PortSet struct {
	Offset, Length uint8
	PSID           uint16
}

// Range is the ports from First to Last.
type Range struct{ First, Last uint16 }

// Ranges returns the ports in ascending order (RFC 7597 section 5.1). A set without PSID has all
// ports.
func (s PortSet) Ranges() []Range {
	if s.Length == 0 {
		return []Range{{0, 65535}}
	}
	behind := 16 - s.Offset - s.Length // bits that count within a range
	var ranges []Range
	for a := range 1 << s.Offset {
		if a == 0 && s.Offset > 0 {
			continue // kept free, for the well-known ports
		}
		first := uint16(a<<(16-s.Offset)) | s.PSID<<behind
		ranges = append(ranges, Range{first, first + (1<<behind - 1)})
	}
	return ranges
}

// Overlaps reports whether two sets have a port in common.
func (s PortSet) Overlaps(t PortSet) bool {
	if s.Length == 0 || t.Length == 0 {
		return true
	}
	if t.Offset < s.Offset {
		s, t = t, s
	}
	// A port is in both if its bits from s.Offset on are the PSID of s, and those from t.Offset on
	// that of t. Where both say what a bit is, they must agree.
	fixed := func(p PortSet) (bits, mask uint16) {
		behind := 16 - p.Offset - p.Length
		return p.PSID << behind, (1<<p.Length - 1) << behind
	}
	a, inA := fixed(s)
	b, inB := fixed(t)
	if (a^b)&inA&inB != 0 {
		return false
	}
	// The first Offset bits must not all be zero either, in each set that has an offset. The bits
	// that nobody says anything of can be one.
	for _, p := range [...]PortSet{s, t} {
		head := ^uint16(0) << (16 - p.Offset)
		if p.Offset > 0 && head&^(inA|inB) == 0 && (a|b)&head == 0 {
			return false
		}
	}
	return true
}

// CE is what a rule or binding gives to one CE.
type CE struct {
	// IPv4 is an address, or a prefix of addresses that are all the CE's.
	IPv4 netip.Prefix
	// Ports are those of the address that the CE has. Of a prefix all are.
	Ports PortSet
	// Address is the CE's IPv6 address for the softwire: the interface identifier of RFC 7597
	// section 6 in the first /64 of its prefix.
	Address netip.Addr
}

// psidLength returns how many of the EA bits are PSID: those that the address has no room for (RFC
// 7597 section 5.2).
func (r Rule) psidLength() int { return max(0, int(r.EABits)-(32-r.IPv4.Bits())) }

// offset returns the PSID offset in effect.
func (r Rule) offset() uint8 {
	if r.Ports.Given {
		return r.Ports.Offset
	}
	return DefaultOffset
}

// Fits reports whether the rule is one for a CE with an end-user prefix: it is within the rule's,
// and has all EA bits.
func (r Rule) Fits(end netip.Prefix) bool {
	return r.IPv6.Contains(end.Addr()) && end.Bits() >= r.IPv6.Bits()+int(r.EABits)
}

// Basic returns which of the rules is the basic mapping rule of a CE: the one with the longest IPv6
// prefix (RFC 7597 section 5). It is -1 if none fits.
func Basic(rules []Rule, end netip.Prefix) int {
	best := -1
	for i, r := range rules {
		if r.Fits(end) && (best < 0 || r.IPv6.Bits() > rules[best].IPv6.Bits()) {
			best = i
		}
	}
	return best
}

// CE returns what the rule gives to the CE with an end-user prefix that it fits. The rule is
// without mistakes.
func (r Rule) CE(end netip.Prefix) CE {
	k := r.psidLength()
	suffix := int(r.EABits) - k // bits of the IPv4 address
	ea := bitsOf(end.Addr(), r.IPv6.Bits(), int(r.EABits))
	ipv4 := binary.BigEndian.Uint32(r.IPv4.Addr().AsSlice())
	ipv4 |= uint32(ea >> k << (32 - r.IPv4.Bits() - suffix))
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], ipv4)
	ce := CE{IPv4: netip.PrefixFrom(netip.AddrFrom4(b), r.IPv4.Bits()+suffix)}
	switch {
	case k > 0:
		ce.Ports = PortSet{r.offset(), uint8(k), uint16(ea & (1<<k - 1))}
	case r.Ports.Length > 0:
		ce.Ports = PortSet{r.Ports.Offset, r.Ports.Length, r.Ports.PSID}
	}
	ce.Address = softwireAddress(end, ce.IPv4.Addr(), ce.Ports.PSID)
	return ce
}

// CE returns what the binding gives to the CE with an end-user prefix.
func (b Binding) CE(end netip.Prefix) CE {
	ce := CE{IPv4: netip.PrefixFrom(b.IPv4, 32)}
	if b.Ports.Length > 0 {
		ce.Ports = PortSet{b.Ports.Offset, b.Ports.Length, b.Ports.PSID}
	}
	ce.Address = softwireAddress(end, b.IPv4, ce.Ports.PSID)
	return ce
}

// softwireAddress makes the address of a CE: 16 zero bits, the IPv4 address and the PSID behind the
// first /64 of its prefix. A longer prefix covers the left part of them (RFC 7597 section 6).
func softwireAddress(end netip.Prefix, ipv4 netip.Addr, psid uint16) netip.Addr {
	a := end.Masked().Addr().As16()
	var id [16]byte
	copy(id[10:], ipv4.AsSlice())
	binary.BigEndian.PutUint16(id[14:], psid)
	for i := end.Bits(); i < 128; i++ {
		a[i/8] |= id[i/8] & (0x80 >> (i % 8))
	}
	return netip.AddrFrom16(a)
}

// bitsOf returns n bits of an address from the bit at an offset on, at most 64.
func bitsOf(a netip.Addr, at, n int) (v uint64) {
	b := a.As16()
	for i := at; i < at+n; i++ {
		v = v<<1 | uint64(b[i/8]>>(7-i%8)&1)
	}
	return v
}
