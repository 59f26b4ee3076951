package pass

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Context is what travels with a message to a server and comes back with its answer.
type Context struct {
	// Interface is the name of the interface that received the message: 1 to 15 octets.
	Interface []byte
	// Relayed says that a relay agent sent the message, not a client.
	Relayed bool
	// Source is where the message came from, with the port that its answer goes to. The address
	// travels as peer-address, the port in the Interface-Id.
	Source netip.AddrPort
	// Local is the unicast address of ours that the message was sent to. The zero Addr says that
	// there is none.
	Local netip.Addr
}

const (
	flagRelayed = 1

	macLength = 8
	// tail is what follows the name in a context: a zero octet, flags, port, address, MAC.
	tail    = 1 + 1 + 2 + 16 + macLength
	maxName = 15 // of an interface
)

// Codec writes Relay-forwards and reads the contexts of Relay-replies. It allocates nothing for a
// message. One goroutine owns it.
type Codec struct {
	key  Key
	hash hash.Hash
	// These are fields, because what is passed to a hash.Hash would escape from the stack.
	options []byte
	peer    [16]byte
	sum     [sha256.Size]byte
}

// AppendForward appends the Relay-forward of a message. own are the addresses of the interface that
// received it. supplied is an option to add, encoded, or nil. The reasons are [drop.HopLimit] and
// [drop.RelayDepth] for a message that has passed as many relays as it may, and [drop.Oversize].
func (c *Codec) AppendForward(dst []byte, s *Servers, p *dhcp6.Packet, own []netip.Addr, back Context,
	supplied []byte) ([]byte, drop.Reason) {
	link, hops := s.linkAddress(back.Interface, own), uint8(0)
	if back.Relayed {
		hops = p.Relay(0).HopCount() + 1
		if hops > dhcp6.HopCountLimit {
			return dst, drop.HopLimit
		}
		if p.Relays() == dhcp6.MaxRelays {
			return dst, drop.RelayDepth
		}
		if !back.Source.Addr().IsLinkLocalUnicast() {
			link = netip.IPv6Unspecified() // the relay has named the link (RFC 9915 section 19.1.2)
		}
	}
	c.options = append(c.appendContext(c.options[:0], s.key, back), supplied...)
	// A server answers to port 547 unless this option is there (RFC 8357 section 4.2). Its value is
	// the port of the relay below.
	var below uint16
	if back.Relayed && back.Source.Port() != dhcp6.ServerPort {
		below = back.Source.Port()
	}
	if s.port != dhcp6.ServerPort || below != 0 {
		value := [2]byte{byte(below >> 8), byte(below)}
		c.options = dhcp6.AppendOption(c.options, dhcp6.OptRelayPort, value[:])
	}
	const header = 34 + 4 // of the level, and of the Relay Message
	if header+len(c.options)+len(p.Bytes()) > dhcp6.MaxDatagram {
		return dst, drop.Oversize
	}
	return dhcp6.AppendRelayForward(dst, hops, link, back.Source.Addr(), c.options, p.Bytes()), drop.None
}

// appendContext appends the Interface-Id option with a context.
func (c *Codec) appendContext(dst []byte, key Key, back Context) []byte {
	dst, mark := dhcp6.BeginOption(dst, dhcp6.OptInterfaceID)
	start := len(dst)
	dst = append(dst, back.Interface...)
	flags := byte(0)
	if back.Relayed {
		flags = flagRelayed
	}
	dst = append(dst, 0, flags)
	dst = binary.BigEndian.AppendUint16(dst, back.Source.Port())
	local := netip.IPv6Unspecified().As16()
	if back.Local.IsValid() {
		local = back.Local.As16()
	}
	dst = append(dst, local[:]...)
	dst = append(dst, c.mac(key, dst[start:], back.Source.Addr())...)
	_ = dhcp6.EndOption(dst, mark) // fits: an interface name and 28 octets
	return dst
}

// Context returns the context of a Relay-reply, or [drop.ReplyContext] if we did not make it. Its
// Interface aliases the datagram.
func (c *Codec) Context(s *Servers, p *dhcp6.Packet) (back Context, why drop.Reason) {
	level := p.Relay(0)
	id, peer := level.InterfaceID(), level.PeerAddress()
	name := len(id) - tail
	if name < 1 || name > maxName {
		return back, drop.ReplyContext
	}
	text, mac := id[:len(id)-macLength], id[len(id)-macLength:]
	if subtle.ConstantTimeCompare(c.mac(s.key, text, peer), mac) != 1 || bytes.IndexByte(text, 0) != name {
		return back, drop.ReplyContext
	}
	back.Interface = text[:name]
	rest := text[name+1:]
	back.Relayed = rest[0]&flagRelayed != 0
	back.Source = netip.AddrPortFrom(peer, binary.BigEndian.Uint16(rest[1:]))
	if local := netip.AddrFrom16([16]byte(rest[3:])); !local.IsUnspecified() {
		back.Local = local
	}
	return back, drop.None
}

// mac returns the MAC of a context and the peer-address. It is valid until the next call.
func (c *Codec) mac(key Key, text []byte, peer netip.Addr) []byte {
	if c.hash == nil || c.key != key {
		c.key = key
		c.hash = hmac.New(sha256.New, c.key[:]) // of c, so that the parameter stays on the stack
	}
	c.peer = peer.As16()
	c.hash.Reset()
	c.hash.Write(text)
	c.hash.Write(c.peer[:])
	return c.hash.Sum(c.sum[:0])[:macLength]
}
