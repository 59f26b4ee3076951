// Package relay is the relaying side of DHCPv6, for tests and demonstrations. It has a relay agent
// (RFC 9915 §19), a Lightweight DHCPv6 Relay Agent on a bridge (LDRA, RFC 6221), and the agent that
// carries legacy DHCPv4 clients to a 4o6 server (RFC 9928). It also has the chain of levels that
// such agents build, so that relayed exchanges can be tested without a relay.
//
// It encodes and decodes with insomniacslk/dhcp, so that it does not repeat a mistake in the codecs
// of the daemons. It is small, not fast: a datagram is decoded, built anew and sent.
package relay

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// HopCountLimit is the hop count at which a relay forwards no more (RFC 9915 §7.6). So a chain has
// at most one level more.
const HopCountLimit = 8

// A Level is what one relay agent puts around a message.
type Level struct {
	HopCount uint8
	// LinkAddress and PeerAddress are written as :: if they are the zero Addr.
	LinkAddress netip.Addr
	PeerAddress netip.Addr
	// InterfaceID is option 18. Nil leaves it out; a slice of length 0 is an option without
	// content.
	InterfaceID []byte
	// RelayPort is option 135 (RFC 8357). Nil leaves it out.
	RelayPort *uint16
	// RemoteID is option 37. Nil leaves it out.
	RemoteID *dhcpv6.OptRemoteID
	// Options are added unchanged, after those above.
	Options []dhcpv6.Option
}

// Chain returns n levels around a client, outermost first, with the hop counts of RFC 9915 §19 and
// an Interface-Id each. The innermost level has the given link-address. The others have ::, because
// their peer used a global address.
func Chain(n int, link, client netip.Addr) []Level {
	levels := make([]Level, n)
	for i := range levels {
		hops := n - 1 - i
		levels[i] = Level{HopCount: uint8(hops), InterfaceID: fmt.Appendf(nil, "relay%d", hops)}
		if hops == 0 {
			levels[i].LinkAddress, levels[i].PeerAddress = link, client
		} else {
			levels[i].PeerAddress = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 14: 0xf, 15: byte(hops)})
		}
	}
	return levels
}

// Wrap returns the Relay-forward of all levels, outermost first, around a message. Without levels
// it returns the message itself.
func Wrap(levels []Level, message []byte) []byte {
	for _, l := range slices.Backward(levels) {
		message = l.wrap(dhcpv6.MessageTypeRelayForward, message)
	}
	return message
}

func (l Level) wrap(t dhcpv6.MessageType, message []byte) []byte {
	m := dhcpv6.RelayMessage{MessageType: t, HopCount: l.HopCount, LinkAddr: slice(l.LinkAddress),
		PeerAddr: slice(l.PeerAddress)}
	if l.InterfaceID != nil {
		m.AddOption(dhcpv6.OptInterfaceID(l.InterfaceID))
	}
	if l.RemoteID != nil {
		m.AddOption(l.RemoteID)
	}
	if l.RelayPort != nil {
		m.AddOption(dhcpv6.OptRelayPort(*l.RelayPort))
	}
	for _, o := range l.Options {
		m.AddOption(o)
	}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRelayMsg, OptionData: message})
	budget.Spend(len(message))
	return m.ToBytes()
}

func slice(a netip.Addr) []byte {
	if !a.IsValid() {
		a = netip.IPv6Unspecified()
	}
	return a.AsSlice()
}

// Unwrap removes the levels of a Relay-reply and returns the message inside. Each must mirror the
// level of the query (RFC 9915 §19.3, RFC 8357 §5.2): hop count, link-address and peer-address,
// Interface-Id and Relay Port octet for octet, one Relay Message, and nothing else.
func Unwrap(levels []Level, b []byte) ([]byte, error) {
	for i, want := range levels {
		m, err := ParseLevel(b)
		if err != nil {
			return nil, fmt.Errorf("level %d: %w", i, err)
		}
		if m.MessageType != dhcpv6.MessageTypeRelayReply {
			return nil, fmt.Errorf("level %d: type %d instead of Relay-reply", i, m.MessageType)
		}
		if err := m.mirrors(want); err != nil {
			return nil, fmt.Errorf("level %d: %w", i, err)
		}
		b = m.Message
	}
	return b, nil
}

// A Parsed level was read from a datagram. Its options are not decoded.
type Parsed struct {
	MessageType              dhcpv6.MessageType
	HopCount                 uint8
	LinkAddress, PeerAddress netip.Addr
	Options                  dhcpv6.Options // in their order, as OptionGeneric
	Message                  []byte         // the content of the one option 9
}

const levelHeader = 34

// ParseLevel reads the outermost level of a relayed datagram.
func ParseLevel(b []byte) (Parsed, error) {
	if len(b) < levelHeader {
		return Parsed{}, fmt.Errorf("relay message of %d octets", len(b))
	}
	p := Parsed{MessageType: dhcpv6.MessageType(b[0]), HopCount: b[1],
		LinkAddress: netip.AddrFrom16([16]byte(b[2:18])), PeerAddress: netip.AddrFrom16([16]byte(b[18:34]))}
	var err error
	if p.Options, err = ParseOptions(b[levelHeader:]); err != nil {
		return Parsed{}, err
	}
	budget.Spend(len(p.Options))
	messages := p.Options.Get(dhcpv6.OptionRelayMsg)
	if len(messages) != 1 {
		return Parsed{}, fmt.Errorf("%d Relay Message options", len(messages))
	}
	p.Message = messages[0].ToBytes()
	return p, nil
}

// Option returns the content of the level's first option with this code.
func (p *Parsed) Option(code dhcpv6.OptionCode) ([]byte, bool) {
	budget.Spend(len(p.Options))
	if o := p.Options.GetOne(code); o != nil {
		return o.ToBytes(), true
	}
	return nil, false
}

func (p *Parsed) mirrors(l Level) error {
	zero := netip.IPv6Unspecified()
	link, peer := l.LinkAddress, l.PeerAddress
	if !link.IsValid() {
		link = zero
	}
	if !peer.IsValid() {
		peer = zero
	}
	if p.HopCount != l.HopCount || p.LinkAddress != link || p.PeerAddress != peer {
		return fmt.Errorf("hop count %d, link-address %s, peer-address %s came back as %d, %s, %s",
			l.HopCount, link, peer, p.HopCount, p.LinkAddress, p.PeerAddress)
	}
	expected := 1
	if l.InterfaceID != nil {
		expected++
		if id, ok := p.Option(dhcpv6.OptionInterfaceID); !ok || !bytes.Equal(id, l.InterfaceID) {
			return fmt.Errorf("option Interface-Id %x came back as %x (present: %t)", l.InterfaceID, id, ok)
		}
	}
	if l.RelayPort != nil {
		expected++
		port := dhcpv6.OptRelayPort(*l.RelayPort).ToBytes()
		if got, ok := p.Option(dhcpv6.OptionRelayPort); !ok || !bytes.Equal(got, port) {
			return fmt.Errorf("option Relay Port %x came back as %x (present: %t)", port, got, ok)
		}
	}
	if len(p.Options) != expected {
		return fmt.Errorf("%d options came back where %d are expected: %v", len(p.Options), expected, p.Options)
	}
	return nil
}

// Codes returns the codes of options in their order.
func Codes(o dhcpv6.Options) []dhcpv6.OptionCode {
	codes := make([]dhcpv6.OptionCode, len(o))
	for i := range o {
		codes[i] = o[i].Code()
	}
	return codes
}

// ParseOptions reads DHCPv6 options without decoding them.
func ParseOptions(b []byte) (dhcpv6.Options, error) {
	var o dhcpv6.Options
	budget.Spend(len(b))
	err := o.FromBytesWithParser(b, func(code dhcpv6.OptionCode, data []byte) (dhcpv6.Option, error) {
		return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: bytes.Clone(data)}, nil
	})
	return o, err
}

// Innermost removes all relay levels, whatever they hold.
func Innermost(b []byte) ([]byte, error) {
	for range HopCountLimit + 2 {
		if len(b) == 0 {
			return nil, errors.New("empty message")
		}
		if t := dhcpv6.MessageType(b[0]); t != dhcpv6.MessageTypeRelayForward && t != dhcpv6.MessageTypeRelayReply {
			return b, nil
		}
		p, err := ParseLevel(b)
		if err != nil {
			return nil, err
		}
		b = p.Message
	}
	return nil, errors.New("too many relay levels")
}

// Payload returns the DHCPv4 message that a DHCPV4-QUERY or DHCPV4-RESPONSE carries, inside any
// relay levels. It returns false unless there is exactly one.
func Payload(b []byte) ([]byte, bool) {
	b, err := Innermost(b)
	if err != nil || len(b) < 4 {
		return nil, false
	}
	if t := dhcpv6.MessageType(b[0]); t != dhcpv6.MessageTypeDHCPv4Query && t != dhcpv6.MessageTypeDHCPv4Response {
		return nil, false
	}
	o, err := ParseOptions(b[4:])
	if err != nil {
		return nil, false
	}
	budget.Spend(len(o))
	carried := o.Get(dhcpv6.OptionDHCPv4Msg)
	if len(carried) != 1 {
		return nil, false
	}
	return carried[0].ToBytes(), true
}
