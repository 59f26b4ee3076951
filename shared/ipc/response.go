package ipc

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Mark is an unfinished response, see [BeginResponse].
type Mark struct {
	// Around is the octets of the Relay-reply levels around the response, and of the options beside
	// its DHCPv4 message.
	Around int

	chain  dhcp6.Chain
	dhcpv4 int
	beside []byte // of the query
}

// BeginResponse appends all of a response that stands before the DHCPv4 reply: the query's chain
// as Relay-reply levels, DHCPV4-RESPONSE with zero flags, the query's context as it came but for
// Beside, and the header of option 87. The caller appends the DHCPv4 message and calls End.
func BeginResponse(dst []byte, q *Query) ([]byte, Mark) {
	var m Mark
	start := len(dst)
	dst, m.chain = dhcp6.BeginReply(dst, &q.packet)
	back := q.context
	m.beside, back.Beside = back.Beside, nil
	m.Around = len(dst) - start + len(m.beside)
	dst = dhcp6.AppendMessage(dst, dhcp6.DHCPv4Response, [3]byte{})
	dst = back.appendOption(dst)
	dst, m.dhcpv4 = dhcp6.BeginOption(dst, dhcp6.OptDHCPv4Msg)
	return dst, m
}

// End appends the options beside the DHCPv4 message, and sets the lengths. A response that exceeds
// a UDP datagram is taken back, and the reason is [drop.ReplyTooBig].
func (m *Mark) End(dst []byte) ([]byte, drop.Reason) {
	_ = dhcp6.EndOption(dst, m.dhcpv4) // fits if the datagram does
	return m.chain.End(append(dst, m.beside...))
}

// Response is a datagram of dhcp4d as dhcp6d sees it. It is large: use one again and again. It is
// valid until the octets that it has parsed change.
type Response struct {
	packet  dhcp6.Packet
	context Context
	dhcpv4  []byte
}

// Parse reads a datagram without its signature. It must be a DHCPV4-RESPONSE inside nothing but
// Relay-reply levels ([drop.IPCType]), with a complete context ([drop.Context]) and one DHCPv4
// message (the reasons of [dhcp6.Message.DHCPv4]).
func (r *Response) Parse(b []byte) drop.Reason {
	if why := r.packet.ParseReply(b); why != drop.None {
		return why
	}
	m := r.packet.Message()
	if m.Type() != dhcp6.DHCPv4Response {
		return drop.IPCType
	}
	if why := r.context.parse(m); why != drop.None {
		return why
	}
	var why drop.Reason
	r.dhcpv4, why = m.DHCPv4()
	return why
}

// DHCPv4 returns the DHCPv4 message that the response carries.
func (r *Response) DHCPv4() []byte { return r.dhcpv4 }

// Packet returns the response's relay chain and DHCPv6 message, the context included.
func (r *Response) Packet() *dhcp6.Packet { return &r.packet }

// Context returns what dhcp6d once sent along with the query. Its Interface lies in the octets that
// Strip overwrites: look it up before.
func (r *Response) Context() *Context { return &r.context }

// Relayed reports whether the answer goes to a relay.
func (r *Response) Relayed() bool { return r.packet.Relays() > 0 }

// Destination returns where the answer goes: to the source of the query. A client is always at
// port 546. A relay is at port 547 or, if its level carries the Relay Port option, at the port
// that it used (RFC 8357 section 5.2). The reason is [drop.IPCDestination] for port 0, and for an
// address that no client or relay has: unspecified, multicast, IPv4, or loopback unless a relay on
// this host has a port of its own.
func (r *Response) Destination() (netip.AddrPort, drop.Reason) {
	a, port := r.context.Source.Addr(), uint16(dhcp6.ClientPort)
	switch {
	case r.packet.HasRelayPort():
		port = r.context.Source.Port()
	case r.Relayed():
		port = dhcp6.ServerPort
	}
	unreachable := a.IsLoopback() && !r.packet.HasRelayPort()
	if a.IsUnspecified() || a.IsMulticast() || unreachable || a.Is4In6() || port == 0 {
		return netip.AddrPort{}, drop.IPCDestination
	}
	return netip.AddrPortFrom(a, port), drop.None
}

// Strip removes the context in place, sets the flags to zero (RFC 7341 section 6.4) and returns
// the datagram for the client or relay. The rest of the buffer and r itself, but for the addresses
// in its context, are no longer valid.
func (r *Response) Strip() []byte {
	m := r.packet.Message().Bytes()
	m[1], m[2], m[3] = 0, 0, 0
	return strip(&r.packet)
}

// span is a piece of the datagram, by offsets.
type span struct{ from, to int }

// strip removes the context's suboptions, and an option 17 that holds nothing else. It moves what
// stands before them: relay headers and the message's own, a few octets. The DHCPv4 message stays
// where it is. No suboption is there twice (parse), so at most contextSubs pieces go.
func strip(p *dhcp6.Packet) []byte {
	b, m := p.Bytes(), p.Message()
	var gone [contextSubs]span
	pieces, removed := 0, 0
	row, end := m.Options(), m.Offset()+len(m.Bytes())
	for range m.Count(dhcp6.OptVendorOpts) {
		var option []byte
		option, row = cutVendor(row)
		at := end - len(row) - len(option)
		first, less := pieces, 0
		for subs := suboptions(option); len(subs) > 0; {
			budget.Spend(1)
			code, sub, rest, _ := dhcp6.Cut(subs)
			from := at + len(option) - len(subs)
			subs = rest
			if !isContext(code) {
				continue
			}
			less += len(sub)
			if pieces > first && gone[pieces-1].to == from {
				gone[pieces-1].to += len(sub)
				continue
			}
			gone[pieces] = span{from, from + len(sub)}
			pieces++
		}
		switch left := len(option) - less; {
		case less == 0:
		case left == header+enterprise:
			gone[first].from = at
			removed += len(option)
		default:
			binary.BigEndian.PutUint16(option[2:], uint16(left-header))
			removed += less
		}
	}
	p.ResizeMessage(b, -removed)
	to := gone[max(pieces-1, 0)].to
	for i := pieces - 1; i >= 0; i-- {
		from := 0
		if i > 0 {
			from = gone[i-1].to
		}
		budget.Spend(gone[i].from - from)
		to -= copy(b[to-(gone[i].from-from):to], b[from:gone[i].from])
	}
	return b[to:]
}
