package ipc

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// clientPort is where clients listen (RFC 9915 section 7.2), serverPort where
// relays do unless they say otherwise.
const (
	clientPort = 546
	serverPort = 547
)

// Mark is an unfinished response, see [BeginResponse].
type Mark struct {
	chain  dhcp6.Chain
	dhcpv4 int
}

// BeginResponse appends all of a response that stands before the DHCPv4 reply:
// the query's chain as Relay-reply levels, DHCPV4-RESPONSE with zero flags,
// the query's context as it came, and the header of option 87. The caller
// appends the DHCPv4 message and calls End.
func BeginResponse(dst []byte, q *Query) ([]byte, Mark) {
	var m Mark
	dst, m.chain = dhcp6.BeginReply(dst, &q.packet, false)
	dst = dhcp6.AppendMessage(dst, dhcp6.DHCPv4Response, [3]byte{})
	dst = q.context.appendOption(dst)
	dst, m.dhcpv4 = dhcp6.BeginOption(dst, dhcp6.OptDHCPv4Msg)
	return dst, m
}

// End sets the lengths. When the response exceeds a UDP datagram it is taken
// back and the reason is [drop.ReplyTooBig].
func (m *Mark) End(dst []byte) ([]byte, drop.Reason) {
	dst, why := m.chain.End(dst)
	if why == drop.None {
		_ = dhcp6.EndOption(dst, m.dhcpv4) // fits: the datagram does
	}
	return dst, why
}

// Response is a datagram of dhcp4d as dhcp6d sees it. It is large; reuse one.
// It is valid until the bytes it has parsed change.
type Response struct {
	packet  dhcp6.Packet
	context Context
	dhcpv4  []byte
}

// Parse reads a datagram from which the signature, if any, is off. It must be
// a DHCPV4-RESPONSE inside nothing but Relay-reply levels ([drop.IPCType]),
// hold a complete context ([drop.Context]) and one DHCPv4 message (the reasons
// of [dhcp6.Message.DHCPv4]).
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

// DHCPv4 is the DHCPv4 message that the response carries.
func (r *Response) DHCPv4() []byte { return r.dhcpv4 }

// Packet is the response's relay chain and DHCPv6 message, the context
// included.
func (r *Response) Packet() *dhcp6.Packet { return &r.packet }

// Context is what dhcp6d once sent along with the query. Its Interface lies in
// the bytes that Strip overwrites: look it up before.
func (r *Response) Context() *Context { return &r.context }

// Relayed tells whether the answer goes to a relay.
func (r *Response) Relayed() bool { return r.packet.Relays() > 0 }

// Destination is where the answer goes: to the source of the query, a client
// always at port 546, a relay at port 547 or, if its level carries the Relay
// Port option, at the port it used (RFC 8357 section 5.2). The reason is
// [drop.IPCDestination] for an address that no client or relay has:
// unspecified, multicast, loopback, IPv4; and for port 0.
func (r *Response) Destination() (netip.AddrPort, drop.Reason) {
	a, port := r.context.Source.Addr(), uint16(clientPort)
	switch {
	case r.packet.HasRelayPort():
		port = r.context.Source.Port()
	case r.Relayed():
		port = serverPort
	}
	if a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() || a.Is4In6() || port == 0 {
		return netip.AddrPort{}, drop.IPCDestination
	}
	return netip.AddrPortFrom(a, port), drop.None
}

// Strip removes the context in place, sets the flags to zero (RFC 7341 section
// 6.4) and returns the datagram for the client or relay. The rest of the
// buffer and r itself, but for the addresses in its context, are no longer
// valid.
func (r *Response) Strip() []byte {
	m := r.packet.Message().Bytes()
	m[1], m[2], m[3] = 0, 0, 0
	return strip(&r.packet)
}

// span is a piece of the datagram, by offsets.
type span struct{ from, to int }

// strip removes the context's suboptions, and an option 17 that holds nothing
// else, by moving what stands before them: relay headers and the message's
// own, a few octets; the DHCPv4 message stays where it is. Since no suboption
// is there twice, at most four pieces go.
func strip(p *dhcp6.Packet) []byte {
	b, m := p.Bytes(), p.Message()
	var gone [4]span
	pieces, removed := 0, 0
	end := m.Offset() + len(m.Bytes())
	for options := m.Options(); len(options) > 0; {
		at := end - len(options)
		code, option, rest, _ := cut(options)
		options = rest
		if code != uint16(dhcp6.OptVendorOpts) || !isISC(option) {
			continue
		}
		first, less := pieces, 0
		for subs := option[header+enterprise:]; len(subs) > 0; {
			from := at + len(option) - len(subs)
			code, sub, rest, _ := cut(subs)
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
		to -= copy(b[to-(gone[i].from-from):to], b[from:gone[i].from])
	}
	return b[to:]
}
