package softwire

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// AppendData appends the data of option 94.
func (m MAPE) AppendData(dst []byte) []byte {
	for _, r := range m.Rules {
		dst = r.append(dst)
	}
	return appendRelays(dst, m.BorderRelays)
}

// AppendData appends the data of option 95.
func (m MAPT) AppendData(dst []byte) []byte {
	for _, r := range m.Rules {
		dst = r.append(dst)
	}
	return within(dst, dhcp6.OptS46DMR, func(b []byte) []byte { return appendPrefix(b, m.Default) })
}

// AppendData appends the data of option 96.
func (l LW4o6) AppendData(dst []byte) []byte {
	dst = appendRelays(dst, l.BorderRelays)
	if b := l.Binding; b != nil {
		dst = within(dst, dhcp6.OptS46V4V6Bind, func(o []byte) []byte {
			o = append(o, b.IPv4.AsSlice()...)
			return b.Ports.append(appendPrefix(o, b.IPv6))
		})
	}
	return dst
}

// AppendPriority appends the data of option 111 (RFC 8026 section 1.4.1).
func AppendPriority(dst []byte, order []Mechanism) []byte {
	for _, m := range order {
		dst = binary.BigEndian.AppendUint16(dst, uint16(m))
	}
	return dst
}

// AppendName appends a domain name without compression (RFC 9915 section 10), which is the data of
// option 64 (RFC 6334 section 3). The name is valid.
func AppendName(dst []byte, name string) []byte {
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		dst = append(dst, byte(len(label)))
		dst = append(dst, label...)
	}
	return append(dst, 0)
}

// AppendBindPrefix appends the data of option 137 (RFC 8539 section 6.1).
func AppendBindPrefix(dst []byte, p netip.Prefix) []byte { return appendPrefix(dst, p) }

func (r Rule) append(dst []byte) []byte {
	return within(dst, dhcp6.OptS46Rule, func(b []byte) []byte {
		flags := byte(0)
		if r.Forwarding {
			flags = forwarding
		}
		b = append(b, flags, r.EABits, byte(r.IPv4.Bits()))
		b = append(b, r.IPv4.Addr().AsSlice()...)
		return r.Ports.append(appendPrefix(b, r.IPv6))
	})
}

// forwarding is the flag F of a rule.
const forwarding = 0x01

func (p Ports) append(dst []byte) []byte {
	if !p.Given {
		return dst
	}
	return within(dst, dhcp6.OptS46PortParams, func(b []byte) []byte {
		return binary.BigEndian.AppendUint16(append(b, p.Offset, p.Length), p.PSID<<(16-p.Length))
	})
}

func appendRelays(dst []byte, relays []netip.Addr) []byte {
	for _, a := range relays {
		dst = dhcp6.AppendOption(dst, dhcp6.OptS46BR, a.AsSlice())
	}
	return dst
}

func appendPrefix(dst []byte, p netip.Prefix) []byte {
	a := p.Addr().As16()
	dst = append(dst, byte(p.Bits()))
	return append(dst, a[:(p.Bits()+7)/8]...)
}

// within appends an option whose data are short.
func within(dst []byte, code dhcp6.Code, data func([]byte) []byte) []byte {
	dst, mark := dhcp6.BeginOption(dst, code)
	dst = data(dst)
	_ = dhcp6.EndOption(dst, mark) // fits: a rule has at most 32 octets
	return dst
}
