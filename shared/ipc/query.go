package ipc

import (
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// AppendQuery appends the datagram that dhcp6d sends to dhcp4d: the one that p
// has parsed, with the context c in the innermost message. Everything else
// stays as it is, but for the lengths of the options around, and suboptions of
// the context's codes that the client sent to choose where its answer goes:
// they are removed.
//
// The message must be a DHCPV4-QUERY with one option 87 that holds a DHCPv4
// message; the reason is that of [dhcp6.Message.DHCPv4] otherwise, or
// [drop.IPCType]. [drop.Interface] is for a name that Linux could not have
// given, [drop.Malformed] for an ISC option 17 whose suboptions run past it,
// [drop.Oversize] for a result that exceeds a UDP datagram. With a reason dst
// is returned as it came.
func AppendQuery(dst []byte, p *dhcp6.Packet, c Context) ([]byte, drop.Reason) {
	m := p.Message()
	if m.Type() != dhcp6.DHCPv4Query {
		return dst, drop.IPCType
	}
	if _, why := m.DHCPv4(); why != drop.None {
		return dst, why
	}
	if n := len(c.Interface); n < 1 || n > maxInterface {
		return dst, drop.Interface
	}
	b := p.Bytes()
	start := len(dst)
	if at, merge := place(m); merge {
		var ok bool
		if dst, ok = appendMerged(dst, p, &c); !ok {
			return dst[:start], drop.Malformed
		}
	} else {
		dst = append(dst, b[:at]...)
		dst = c.appendOption(dst)
		dst = append(dst, b[at:]...)
	}
	if len(dst)-start > dhcp6.MaxDatagram {
		return dst[:start], drop.Oversize
	}
	p.ResizeMessage(dst[start:], len(dst)-start-len(b))
	return dst, drop.None
}

// place is where the context goes: into the ISC instance of option 17 when
// there is one (merge), else at an offset of the datagram, before the first
// option of a higher code.
func place(m *dhcp6.Message) (at int, merge bool) {
	b := m.Bytes()
	at = m.Offset() + len(b)
	higher := false
	for options := m.Options(); len(options) > 0; {
		code, option, rest, _ := cut(options)
		if code == uint16(dhcp6.OptVendorOpts) && isISC(option) {
			return 0, true
		}
		if code > uint16(dhcp6.OptVendorOpts) && !higher {
			at, higher = m.Offset()+len(b)-len(options), true
			if m.Count(dhcp6.OptVendorOpts) == 0 {
				break
			}
		}
		options = rest
	}
	return at, false
}

// appendMerged appends the datagram with the context in the first ISC instance
// of option 17, and with the context's suboptions removed from all of them. It
// is false where suboptions run past their option.
func appendMerged(dst []byte, p *dhcp6.Packet, c *Context) ([]byte, bool) {
	b, m := p.Bytes(), p.Message()
	end := m.Offset() + len(m.Bytes())
	dst = append(dst, b[:end-len(m.Options())]...)
	written := false
	for options := m.Options(); len(options) > 0; {
		code, option, rest, _ := cut(options)
		options = rest
		if code != uint16(dhcp6.OptVendorOpts) || !isISC(option) {
			dst = append(dst, option...)
			continue
		}
		mark := len(dst)
		dst = append(dst, option[:header+enterprise]...)
		for subs := option[header+enterprise:]; len(subs) > 0; {
			code, sub, rest, ok := cut(subs)
			if !ok {
				return dst, false
			}
			subs = rest
			if isContext(code) {
				continue
			}
			if code > subLocal && !written {
				dst, written = c.appendSuboptions(dst), true
			}
			dst = append(dst, sub...)
		}
		if !written {
			dst, written = c.appendSuboptions(dst), true
		}
		// Where it does not fit, neither does the datagram: the caller looks.
		_ = dhcp6.EndOption(dst, mark)
	}
	return append(dst, b[end:]...), true
}

// Query is a datagram of dhcp6d as dhcp4d sees it. It is large; reuse one. It
// is valid until the bytes it has parsed change.
type Query struct {
	packet  dhcp6.Packet
	context Context
	dhcpv4  []byte
}

// Parse reads a datagram from which the signature, if any, is off. It must be
// a DHCPV4-QUERY inside nothing but Relay-forward levels ([drop.IPCType]),
// hold a complete context ([drop.Context]) and one DHCPv4 message (the reasons
// of [dhcp6.Message.DHCPv4]).
func (q *Query) Parse(b []byte) drop.Reason {
	switch why := q.packet.Parse(b); why {
	case drop.None:
	case drop.ServerMessage:
		return drop.IPCType
	default:
		return why
	}
	m := q.packet.Message()
	if m.Type() != dhcp6.DHCPv4Query {
		return drop.IPCType
	}
	why := q.context.parse(m)
	if why != drop.None {
		return why
	}
	q.dhcpv4, why = m.DHCPv4()
	return why
}

// Packet is the query's relay chain and DHCPv6 message, the context included.
func (q *Query) Packet() *dhcp6.Packet { return &q.packet }

// Context is what [BeginResponse] will return.
func (q *Query) Context() *Context { return &q.context }

// DHCPv4 is the carried message.
func (q *Query) DHCPv4() []byte { return q.dhcpv4 }

// Strip removes the context in place and returns the datagram as the client
// or relay sent it (but for suboptions that it may not send). The rest of the
// buffer and q itself are no longer valid.
func (q *Query) Strip() []byte { return strip(&q.packet) }
