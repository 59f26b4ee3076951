// Package dhcp4 reads and writes DHCPv4 messages (RFC 2131).
//
// It owns the layout of the message and of its options: the view that [Parse]
// returns, and the Append functions that build a message. It never decides
// what to answer, never allocates and never changes the octets that it reads.
//
//	offset size field               offset size field
//	     0    1 op                      16    4 yiaddr
//	     1    1 htype                   20    4 siaddr
//	     2    1 hlen                    24    4 giaddr
//	     3    1 hops                    28   16 chaddr
//	     4    4 xid                     44   64 sname
//	     8    2 secs                   108  128 file
//	    10    2 flags, B = 0x8000      236    4 cookie 63 82 53 63
//	    12    4 ciaddr                 240    … options
//
// Options are code, length, value; 0 is a pad without a length, 255 ends a
// field. Option 52 says that sname or file hold options too. Instances of one
// code are pieces of one value (RFC 3396).
package dhcp4

import (
	"encoding/binary"
	"math"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// HeaderLen is the length of the fixed part with the cookie: no message is
// shorter.
const HeaderLen = 240

// MaxOptions bounds the option instances of a message. Every defined code
// fits with room to spare; a message that has more is made to cost time.
const MaxOptions = 512

// FlagBroadcast is the B bit of the flags (RFC 2131 §2).
const FlagBroadcast = 0x8000

const (
	cookie = 0x63825363

	offHType  = 1
	offHLen   = 2
	offHops   = 3
	offXid    = 4
	offSecs   = 8
	offFlags  = 10
	offCIAddr = 12
	offYIAddr = 16
	offSIAddr = 20
	offGIAddr = 24
	offCHAddr = 28
	offSName  = 44
	offFile   = 108
	offCookie = 236

	maxHLen = 16

	overloadFile  = 1
	overloadSName = 2
)

// Xid is the transaction id.
type Xid uint32

// Message is a view of a DHCPv4 message. It is valid as long as the octets
// that it was parsed from are left alone. The zero Message is not one: only
// [Parse] makes them.
//
// Parse remembers where options lie, so that a look-up is two loads instead
// of a walk over the message. (For thirteen look-ups, a bitmap with a short
// list to search took half as long again, no index ten times as long.)
type Message struct {
	b []byte
	// slot leads from a code to its place in at: 0 is an absent option, walk
	// one that is in several pieces or that at had no place for.
	slot [256]uint8
	at   [32]uint16 // offsets of length octets; at[0] is not used
	used uint8      // of at

	overload uint8 // which fields hold options, bits as in option 52
	typ      MessageType
}

// walk is the slot of an option that has to be collected from the message.
const walk = 0xff

// Parse checks b once and returns a view of it; after that no accessor can
// fail for want of octets. Requests and replies are both taken.
//
// The reasons: ShortMessage, NoCookie, and NotDHCPv4 for an op that is
// neither request nor reply, an hlen above 16, an option that runs past its
// field, more than [MaxOptions] options, and for an option 50, 53 or 54 of
// the wrong length, which includes a 53 that is there twice. A message
// without option 53 is parsed; its Type is zero.
func Parse(b []byte) (Message, drop.Reason) {
	switch {
	case len(b) < HeaderLen:
		return Message{}, drop.ShortMessage
	case binary.BigEndian.Uint32(b[offCookie:]) != cookie:
		return Message{}, drop.NoCookie
	case b[0] != BootRequest && b[0] != BootReply, b[offHLen] > maxHLen, len(b) > math.MaxUint16:
		return Message{}, drop.NotDHCPv4
	}
	m := Message{b: b}
	left, ok := m.index(HeaderLen, len(b), MaxOptions)
	if !ok {
		return Message{}, drop.NotDHCPv4
	}
	// RFC 2131 §4.1: options first, then file, then sname. A value of option
	// 52 that RFC 2132 §9.3 does not define says nothing.
	if v, n := m.short(OptOverload); n == 1 && v[0] <= overloadFile|overloadSName {
		m.overload = v[0]
	}
	if m.overload&overloadFile != 0 {
		left, ok = m.index(offFile, offCookie, left)
	}
	if ok && m.overload&overloadSName != 0 {
		_, ok = m.index(offSName, offFile, left)
	}
	if !ok || !m.checkFixed() {
		return Message{}, drop.NotDHCPv4
	}
	return m, drop.None
}

// index notes the options in b[at:end], at most left of them. It returns how
// many more there may be, and false if there are too many or one runs past
// the end.
func (m *Message) index(at, end, left int) (int, bool) {
	b := m.b[:end]
	for at < len(b) {
		code := b[at]
		at++
		if code == OptPad {
			continue
		}
		if code == OptEnd {
			break
		}
		if at == len(b) || int(b[at]) >= len(b)-at || left == 0 {
			return 0, false
		}
		left--
		m.note(code, at)
		at += 1 + int(b[at])
	}
	return left, true
}

// note remembers an instance of an option by the offset of its length.
func (m *Message) note(code byte, at int) {
	if m.slot[code] != 0 || int(m.used) == len(m.at)-1 {
		m.slot[code] = walk
		return
	}
	m.used++
	m.slot[code] = m.used
	m.at[m.used%uint8(len(m.at))] = uint16(at)
}

// checkFixed says whether the options without which nothing can be decided
// have the length that they must have, and sets the type.
func (m *Message) checkFixed() bool {
	if m.Has(OptMessageType) {
		pieces := 0
		for v := range m.Pieces(OptMessageType) {
			if pieces++; pieces > 1 || len(v) != 1 {
				return false
			}
			m.typ = MessageType(v[0])
		}
	}
	for _, code := range [...]byte{OptRequestedAddress, OptServerIdentifier} {
		if _, n := m.short(code); m.Has(code) && n != 4 {
			return false
		}
	}
	return true
}

// CheckRequest says whether a server may look at the message (RFC 2131 §2,
// §3): NotForServer if it is a reply or of a type that servers do not take,
// NoMessageType if it is plain BOOTP.
func (m *Message) CheckRequest() drop.Reason {
	switch {
	case m.b[0] != BootRequest:
		return drop.NotForServer
	case !m.Has(OptMessageType):
		return drop.NoMessageType
	case !m.typ.FromClient():
		return drop.NotForServer
	}
	return drop.None
}

// Bytes is the whole message.
func (m *Message) Bytes() []byte { return m.b }

// Type is the value of option 53, zero if there is none.
func (m *Message) Type() MessageType { return m.typ }

// Header returns the fixed part as it can be appended again. Its SName and
// File alias the message.
func (m *Message) Header() Header {
	return Header{
		Op: m.Op(), HType: m.HType(), HLen: m.HLen(), Hops: m.Hops(),
		Xid: m.Xid(), Secs: m.Secs(), Flags: m.Flags(),
		CIAddr: m.CIAddr(), YIAddr: m.YIAddr(), SIAddr: m.SIAddr(), GIAddr: m.GIAddr(),
		CHAddr: [16]byte(m.b[offCHAddr:]), SName: m.SName(), File: m.File(),
	}
}

// Op is [BootRequest] or [BootReply].
func (m *Message) Op() byte { return m.b[0] }

// HType is the hardware type.
func (m *Message) HType() byte { return m.b[offHType] }

// HLen is the length of the hardware address, at most 16.
func (m *Message) HLen() byte { return m.b[offHLen] }

// Hops is the number of DHCPv4 relays, as they claim.
func (m *Message) Hops() byte { return m.b[offHops] }

// Xid is the transaction id.
func (m *Message) Xid() Xid { return Xid(binary.BigEndian.Uint32(m.b[offXid:])) }

// Secs is the time in seconds since the client began, as it claims.
func (m *Message) Secs() uint16 { return binary.BigEndian.Uint16(m.b[offSecs:]) }

// Flags holds [FlagBroadcast] and fifteen reserved bits.
func (m *Message) Flags() uint16 { return binary.BigEndian.Uint16(m.b[offFlags:]) }

// CHAddr is the hardware address: the first hlen octets of chaddr.
func (m *Message) CHAddr() []byte {
	n := offCHAddr + int(m.b[offHLen])
	return m.b[offCHAddr:n:n]
}

// CIAddr is the address that the client uses already, or 0.0.0.0.
func (m *Message) CIAddr() netip.Addr { return addr(m.b[offCIAddr:]) }

// YIAddr is the address that the server gives, or 0.0.0.0.
func (m *Message) YIAddr() netip.Addr { return addr(m.b[offYIAddr:]) }

// SIAddr is the address of the next server of a boot, or 0.0.0.0.
func (m *Message) SIAddr() netip.Addr { return addr(m.b[offSIAddr:]) }

// GIAddr is the address of the first DHCPv4 relay, or 0.0.0.0.
func (m *Message) GIAddr() netip.Addr { return addr(m.b[offGIAddr:]) }

// SName is the sname field, all 64 octets of it.
func (m *Message) SName() []byte { return m.b[offSName:offFile:offFile] }

// File is the file field, all 128 octets of it.
func (m *Message) File() []byte { return m.b[offFile:offCookie:offCookie] }

func addr(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }
