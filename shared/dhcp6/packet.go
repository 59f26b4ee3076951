// Package dhcp6 reads and writes DHCPv6 datagrams: relay chains and the message inside (RFC 9915,
// RFC 7341).
//
// It owns the format of the octets. It never decides whether a well-formed message may be served.
// It never looks into the DHCPv4 message of option 87 beyond its length and its cookie, and it
// never allocates.
//
// A client/server message. In the types 20 and 21 of RFC 7341 flags take the place of the
// transaction id:
//
//	0  1  type
//	1  3  transaction id, or flags
//	4  …  options
//
// A relay level, types 12 and 13:
//
//	0   1   type
//	1   1   hop-count
//	2   16  link-address
//	18  16  peer-address
//	34  …   options, one of them the Relay Message with the next level inside
//
// An option:
//
//	0  2  code
//	2  2  length n of the data
//	4  n  data
//
// [Packet] is a view: it remembers where things lie in the octets that it has parsed, and it is
// valid until they change. Everything that appends takes the caller's buffer and returns it.
package dhcp6

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	// HopCountLimit is the highest hop-count on the wire (RFC 9915 section 7.6).
	HopCountLimit = 8
	// MaxRelays is the deepest chain: hop-counts 8 to 0, the limit included.
	MaxRelays = HopCountLimit + 1
	// MaxDatagram is the length in octets of the longest datagram that is parsed or written: the
	// payload of an IPv6 UDP datagram. Every offset and length fits 16 bits.
	MaxDatagram = 65535 - 8

	messageHeader = 4
	relayHeader   = 34
	optionHeader  = 4
)

// Packet is a parsed datagram: the relay chain, if any, and the message that it carries. It is
// large: use one again and again, and hand on its address.
type Packet struct {
	data    []byte
	levels  [MaxRelays]level
	depth   int
	message Message
}

// level remembers one relay level. The offsets count from the start of the datagram. An offset of
// zero says that the option is absent.
type level struct {
	start, end   uint16
	relayMsg     uint16
	interfaceID  uint16
	remoteID     uint16
	subscriberID uint16
	linkLayer    uint16
	ero          uint16
	relayPort    uint16
}

// Parse reads a datagram that travels towards the server: a client's message, in as many
// Relay-forward levels as the chain has. It checks every length of every level and of the message's
// own options in one pass. Afterwards the accessors cannot fail. p keeps b. After any reason but
// [drop.None], p must not be used.
//
// It does not check which types and options the message has, except that it refuses Relay-reply at
// any level (RFC 9915 section 16.14).
func (p *Packet) Parse(b []byte) drop.Reason { return p.parse(b, RelayForward) }

// ParseReply is [Packet.Parse] for a datagram that travels towards the client, where every level
// is a Relay-reply.
func (p *Packet) ParseReply(b []byte) drop.Reason { return p.parse(b, RelayReply) }

func (p *Packet) parse(b []byte, relay Type) drop.Reason {
	*p = Packet{}
	if len(b) > MaxDatagram {
		return drop.Malformed
	}
	p.data = b
	start, end := 0, len(b)
	short := drop.Malformed // the reason if the outermost level is too short
	for {
		if end-start < messageHeader {
			return short
		}
		switch t := Type(b[start]); t {
		case RelayForward, RelayReply:
			switch {
			case t != relay && t == RelayReply:
				return drop.ServerMessage
			case t != relay:
				return drop.IPCType
			case end-start < relayHeader:
				return short
			case b[start+1] > HopCountLimit:
				return drop.HopLimit
			case p.depth == MaxRelays:
				return drop.RelayDepth
			}
			l := &p.levels[p.depth]
			p.depth++
			if why := l.parse(b, start, end); why != drop.None {
				return why
			}
			start = int(l.relayMsg) + optionHeader
			end = start + optionLength(b, int(l.relayMsg))
			short = drop.RelayMessage
		default:
			return p.message.parse(b, start, end)
		}
	}
}

func (l *level) parse(b []byte, start, end int) drop.Reason {
	l.start, l.end = uint16(start), uint16(end)
	b = b[:end]
	at, count := start+relayHeader, 0
	for at < len(b) {
		budget.Spend(1)
		next := optionEnd(b, at)
		if next == 0 {
			return drop.Malformed
		}
		if count++; count > MaxOptions {
			return drop.ManyOptions
		}
		switch optionCode(b, at) {
		case OptRelayMsg:
			if l.relayMsg != 0 {
				return drop.RelayMessage
			}
			l.relayMsg = uint16(at)
		case OptInterfaceID:
			note(&l.interfaceID, at)
		case OptRemoteID:
			note(&l.remoteID, at)
		case OptSubscriberID:
			note(&l.subscriberID, at)
		case OptERO:
			note(&l.ero, at)
		case OptClientLinkLayer:
			note(&l.linkLayer, at)
		case OptRelayPort:
			note(&l.relayPort, at)
		}
		at = next
	}
	if l.relayMsg == 0 {
		return drop.RelayMessage
	}
	return drop.None
}

// note remembers the offset of the first instance. If an option comes twice, the first counts.
func note(offset *uint16, at int) {
	if *offset == 0 {
		*offset = uint16(at)
	}
}

// Bytes returns the whole datagram as it was parsed.
func (p *Packet) Bytes() []byte { return p.data }

// Message returns the innermost message. It belongs to p.
func (p *Packet) Message() *Message { return &p.message }

// Relays returns the number of relay levels, 0 to [MaxRelays].
func (p *Packet) Relays() int { return p.depth }

// Relay returns one level. Level 0 is the outermost, of the relay that sent the datagram; level
// Relays()-1 is the innermost, next to the client.
func (p *Packet) Relay(i int) Relay { return Relay{p.data, &p.levels[:p.depth][i]} }

// LinkAddress returns the address that names the client's link: the innermost link-address that is
// not zero, since an LDRA leaves its own zero for the relay above it (RFC 6221 section 7). It is
// the zero Addr where the chain names no link.
func (p *Packet) LinkAddress() netip.Addr {
	for i := p.depth - 1; i >= 0; i-- {
		if a := p.Relay(i).LinkAddress(); !a.IsUnspecified() {
			return a
		}
	}
	return netip.Addr{}
}

// HasRelayPort reports whether the outermost level carries the Relay Port option. Then the answer
// goes to the source port of the datagram, not to 547 (RFC 8357 section 5.2).
func (p *Packet) HasRelayPort() bool { return p.depth > 0 && p.levels[0].relayPort != 0 }

// ClientLinkLayer returns the Client Link-Layer Address option of the innermost level: hardware
// type (2 octets) and address. It is nil when absent or too short. Other levels do not count: only
// the relay next to the client may add it (RFC 6939 section 5).
func (p *Packet) ClientLinkLayer() []byte {
	if p.depth == 0 {
		return nil
	}
	return p.option(p.levels[p.depth-1].linkLayer, 2)
}

func (p *Packet) option(at uint16, least int) []byte { return optionData(p.data, at, least) }

// ResizeMessage corrects the length fields of the Relay Message options around the innermost
// message after it has grown (or, negative, shrunk) by delta octets. head is a copy of the
// datagram's first octets, up to the message at least, or these octets themselves. The datagram
// with the new message must not exceed [MaxDatagram]; then all lengths fit their fields.
func (p *Packet) ResizeMessage(head []byte, delta int) {
	for i := range p.levels[:p.depth] {
		at := int(p.levels[i].relayMsg)
		binary.BigEndian.PutUint16(head[at+2:], uint16(optionLength(head, at)+delta))
	}
}

// Relay is a view of one relay level.
type Relay struct {
	data []byte
	*level
}

// HopCount returns the number of relays that the message passed before this one.
func (r Relay) HopCount() uint8 { return r.data[r.start+1] }

// LinkAddress returns the address by which the relay names the link, possibly ::.
func (r Relay) LinkAddress() netip.Addr { return addressAt(r.data, int(r.start)+2) }

// PeerAddress returns where the relay got the message from.
func (r Relay) PeerAddress() netip.Addr { return addressAt(r.data, int(r.start)+18) }

// InterfaceID returns the data of option 18, nil when absent. It may be empty (RFC 9915 section
// 21.18).
func (r Relay) InterfaceID() []byte { return optionData(r.data, r.interfaceID, 0) }

// RemoteID returns the data of option 37: the enterprise number (4 octets) and at least one octet.
// It is nil when absent or shorter (RFC 4649 section 3).
func (r Relay) RemoteID() []byte { return optionData(r.data, r.remoteID, 5) }

// SubscriberID returns the data of option 38, at least one octet. It is nil when absent or empty
// (RFC 4580 section 2).
func (r Relay) SubscriberID() []byte { return optionData(r.data, r.subscriberID, 1) }

// RelayPort returns the value of option 135 and whether the option is there. Its presence is what
// counts: the value concerns the relay alone (RFC 8357 section 4.2). It reads as 0 where the
// option has another length than 2.
func (r Relay) RelayPort() (port uint16, ok bool) {
	if r.relayPort == 0 {
		return 0, false
	}
	if d := optionData(r.data, r.relayPort, 2); len(d) == 2 {
		port = binary.BigEndian.Uint16(d)
	}
	return port, true
}

// Carried returns the data of the Relay Message option: the next level, or the message.
func (r Relay) Carried() []byte { return optionData(r.data, r.relayMsg, 0) }

// Options returns the options of this level as a row, see [Walk], in the order received, the Relay
// Message among them.
func (r Relay) Options() []byte { return r.data[int(r.start)+relayHeader : r.end] }

func addressAt(b []byte, at int) netip.Addr { return netip.AddrFrom16([16]byte(b[at : at+16])) }
