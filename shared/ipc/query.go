package ipc

import (
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// AppendQuery appends the datagram that dhcp6d sends to dhcp4d: the one that p has parsed, with
// the context c in the innermost message. It corrects the lengths of the options around. In an ISC
// option 17 of the client's it removes suboptions of the context's codes, which the client may
// have sent to choose where its answer goes, and suboptions that run past the option. Everything
// else stays as it is.
//
// The message must be a DHCPV4-QUERY ([drop.IPCType]) with one option 87 that holds a DHCPv4
// message (the reasons of [dhcp6.Message.DHCPv4]). [drop.Interface] is for a name that Linux could
// not have given, and [drop.Oversize] for a result that exceeds a UDP datagram. With a reason
// AppendQuery returns dst as it came.
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
	if at, merge := contextOffset(m); merge {
		dst = appendMerged(dst, p, &c)
	} else {
		dst = append(dst, b[:at]...)
		dst = c.appendOption(dst)
		dst = append(dst, b[at:]...)
	}
	if len(dst)-start > dhcp6.MaxDatagram {
		return dst[:start], drop.Oversize
	}
	budget.Spend(len(dst) - start)
	p.ResizeMessage(dst[start:], len(dst)-start-len(b))
	return dst, drop.None
}

// contextOffset returns where the context goes: into the ISC instance of option 17 when there is
// one (merge), else to an offset of the datagram, before the first option of a higher code.
func contextOffset(m *dhcp6.Message) (at int, merge bool) {
	row, end := m.Options(), m.Offset()+len(m.Bytes())
	for range m.Count(dhcp6.OptVendorOpts) {
		var option []byte
		if option, row = cutVendor(row); isISC(option) {
			return 0, true
		}
	}
	for row = m.Options(); len(row) > 0; {
		budget.Spend(1)
		code, _, rest, _ := dhcp6.Cut(row)
		if code > dhcp6.OptVendorOpts {
			break
		}
		row = rest
	}
	return end - len(row), false
}

// optionsAt returns where the options of a message begin in the datagram.
func optionsAt(m *dhcp6.Message) int { return m.Offset() + len(m.Bytes()) - len(m.Options()) }

// appendMerged appends the datagram with the context in the first ISC instance of option 17. From
// all instances it removes the context's suboptions and those that run past their option.
func appendMerged(dst []byte, p *dhcp6.Packet, c *Context) []byte {
	b, m := p.Bytes(), p.Message()
	done := optionsAt(m) // how much of b is appended
	dst = append(dst, b[:done]...)
	written := false
	row, end := m.Options(), m.Offset()+len(m.Bytes())
	for range m.Count(dhcp6.OptVendorOpts) {
		var option []byte
		option, row = cutVendor(row)
		if !isISC(option) {
			continue
		}
		from := end - len(row) - len(option)
		dst = append(dst, b[done:from]...)
		done = end - len(row)
		mark := len(dst)
		dst = append(dst, option[:header+enterprise]...)
		for subs := option[header+enterprise:]; len(subs) > 0; {
			budget.Spend(1)
			code, sub, rest, _ := dhcp6.Cut(subs)
			subs = rest
			if sub == nil || isContext(code) {
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
	return append(dst, b[done:]...)
}

// Query is a datagram of dhcp6d as dhcp4d sees it. It is large: use one again and again. It is
// valid until the octets that it has parsed change.
type Query struct {
	packet  dhcp6.Packet
	context Context
	dhcpv4  []byte
}

// Parse reads a datagram without its signature. It must be a DHCPV4-QUERY inside nothing but
// Relay-forward levels ([drop.IPCType]), with a complete context ([drop.Context]) and one DHCPv4
// message (the reasons of [dhcp6.Message.DHCPv4]).
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

// Packet returns the query's relay chain and DHCPv6 message, the context included.
func (q *Query) Packet() *dhcp6.Packet { return &q.packet }

// Context returns what [BeginResponse] will send back.
func (q *Query) Context() *Context { return &q.context }

// DHCPv4 returns the carried message.
func (q *Query) DHCPv4() []byte { return q.dhcpv4 }

// Strip removes the context in place and returns the datagram as the client or relay sent it, but
// for suboptions that it may not send. The rest of the buffer and q itself are no longer valid.
func (q *Query) Strip() []byte { return strip(&q.packet) }
