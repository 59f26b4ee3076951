// Package dhcp4 reads and writes DHCPv4 messages (RFC 2131).
//
// It owns the layout of the message and of its options: [Message] is the view of a message, and the
// Append functions build one. The package never decides what to answer, and it never changes the
// octets that it reads.
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
// An option is code, length and value. Code 0 is a pad without a length, and code 255 ends a field.
// Option 52 says that sname or file hold options too. Instances of one code are pieces of one value
// (RFC 3396).
package dhcp4

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// HeaderLen is the length in octets of the fixed part with the cookie. No message is shorter.
const HeaderLen = 240

// MaxLen is the length in octets of the longest message that is read. A client sends what fits the
// MTU of its link, so only a message that is made to cost time is longer.
const MaxLen = 4096

// MaxOptions bounds the option instances of a message. Every code fits once.
const MaxOptions = 255

// FlagBroadcast is the B bit of the flags (RFC 2131 section 2).
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

// Message is a view of a DHCPv4 message. [Message.Parse] makes it, and it is valid as long as the
// octets that it was parsed from are left alone. Use one Message again and again: it is large, and
// it keeps the memory in which it joins pieces.
//
// Parse walks the options once. It numbers the instances from 1 in the order in which pieces are
// joined: the options field, file, sname (RFC 3396 section 7). Each code leads to its last
// instance, and each instance to the one before it of the same code. Then Parse joins the values
// that came in pieces. So a look-up costs the same whatever the message holds, and copies nothing.
type Message struct {
	b    []byte
	last [256]uint8 // by code: the number of its last instance, 0 if there is none

	// By the number of an instance; element 0 is always 0.
	at       [MaxOptions + 1]uint16 // offset in b of the length octet, or index in joined
	previous [MaxOptions + 1]uint8  // the instance before it of the same code, 0 if it is the first
	used     uint8                  // the number of the last instance
	repeated uint8                  // not 0 if a code has several instances

	// joined holds the value of each code that came in pieces. It is nil until there is such a
	// code.
	//
	//	0  2  offset in b of the length octet of the last piece
	//	2  2  length n of the value
	//	4  n  value
	//
	// It is never longer than the message, since two pieces have four octets of code and length.
	joined []byte

	overload uint8 // the fields that hold options, bits as in option 52
	typ      MessageType
}

const (
	inJoined     = 0x8000 // in at: the other bits are an offset in joined
	joinedHeader = 4
)

// Parse checks the message b and makes m a view of it. Afterwards no accessor can fail for want of
// octets. Requests and replies are both taken. After any reason but [drop.None], m must not be
// used.
//
// The reasons are ShortMessage; LongMessage for more than [MaxLen] octets; NoCookie; and NotDHCPv4
// for an op that is neither request nor reply, an hlen above 16, an option that runs past its
// field, more than [MaxOptions] option instances, an option 53 of the wrong length or twice, and
// an option 50 or 54 of the wrong length in a message that means nothing without it. A message
// without option 53 is parsed; its Type is zero.
//
// An option of an impossible length that is not needed counts as absent. A last octet that is a
// code without a length is skipped.
func (m *Message) Parse(b []byte) drop.Reason {
	switch {
	case len(b) < HeaderLen:
		return drop.ShortMessage
	case len(b) > MaxLen:
		return drop.LongMessage
	case binary.BigEndian.Uint32(b[offCookie:]) != cookie:
		return drop.NoCookie
	case b[0] != BootRequest && b[0] != BootReply, b[offHLen] > maxHLen:
		return drop.NotDHCPv4
	}
	m.b, m.last, m.used, m.repeated, m.joined = b, [256]uint8{}, 0, 0, m.joined[:0]
	ok := m.index(HeaderLen, len(b))
	// RFC 2131 section 4.1: options first, then file, then sname.
	m.overload = m.readOverload()
	if m.overload&overloadFile != 0 {
		ok = ok && m.index(offFile, offCookie)
	}
	if m.overload&overloadSName != 0 {
		ok = ok && m.index(offSName, offFile)
	}
	if !ok {
		return drop.NotDHCPv4
	}
	if m.repeated != 0 {
		m.join()
	}
	if !m.checkFixed() {
		return drop.NotDHCPv4
	}
	return drop.None
}

// index notes the options in b[at:end]. It returns false if there are too many, or if one runs past
// the end.
func (m *Message) index(at, end int) bool {
	b, used, repeated := m.b[:end], m.used, uint8(0)
	inField := at != HeaderLen
	for at < len(b) {
		budget.Spend(1)
		code := b[at]
		at++
		if code == OptPad {
			continue
		}
		if code == OptEnd {
			break
		}
		if at == len(b) {
			break // a stray octet
		}
		if int(b[at]) >= len(b)-at || used == MaxOptions {
			return false
		}
		used++
		m.at[used] = uint16(at)
		at += 1 + int(b[at])
		if inField && code == OptOverload {
			continue // option 52 counts in the options field only
		}
		m.previous[used] = m.last[code]
		repeated |= m.last[code]
		m.last[code] = used
	}
	m.used, m.repeated = used, m.repeated|repeated
	return true
}

// readOverload returns the value of option 52. A value that RFC 2132 section 9.3 does not define
// says nothing.
func (m *Message) readOverload() (v uint8) {
	n := 0
	for i := m.last[OptOverload]; i != 0; i = m.previous[i] {
		if piece := m.piece(int(m.at[i])); len(piece) > 0 {
			n += len(piece)
			v = piece[0]
		}
	}
	if n != 1 || v > overloadFile|overloadSName {
		return 0
	}
	return v
}

// piece returns the value of the instance whose length octet is at an offset in b.
func (m *Message) piece(at int) []byte {
	end := at + 1 + int(m.b[at])
	return m.b[at+1 : end : end]
}

// join puts the values together that came in pieces.
func (m *Message) join() {
	if m.joined == nil {
		m.joined = make([]byte, 0, MaxLen)
	}
	for i := 1; i <= int(m.used); i++ {
		budget.Spend(1)
		at := m.at[i]
		if m.previous[i] == 0 || m.last[m.b[at-1]] != uint8(i) {
			continue
		}
		n := 0
		for j := uint8(i); j != 0; j = m.previous[j] {
			n += int(m.b[m.at[j]])
		}
		start := len(m.joined)
		m.joined = m.joined[:start+joinedHeader+n]
		entry := m.joined[start:]
		binary.BigEndian.PutUint16(entry, at)
		binary.BigEndian.PutUint16(entry[2:], uint16(n))
		for j := uint8(i); j != 0; j = m.previous[j] { // from the last piece to the first
			v := m.piece(int(m.at[j]))
			budget.Spend(2 + len(v))
			n -= len(v)
			copy(entry[joinedHeader+n:], v)
		}
		m.at[i] = inJoined | uint16(start)
	}
}

// checkFixed reports whether the options without which nothing can be decided have the length that
// they must have. It sets the type, and forgets others that have an impossible length.
func (m *Message) checkFixed() bool {
	m.typ = 0
	if v, ok := m.Option(OptMessageType); ok {
		if len(v) != 1 || m.inPieces(OptMessageType) {
			return false
		}
		m.typ = MessageType(v[0])
	}
	// With ciaddr a REQUEST renews that, whatever the options say. Without, it chooses a server and
	// an address, or asks whether an address is right.
	chooses := m.typ == Request && m.CIAddr().IsUnspecified()
	if !m.keep(OptServerIdentifier, 4, 4) && chooses {
		return false
	}
	if !m.keep(OptRequestedAddress, 4, 4) && (chooses || m.typ == Decline) {
		return false
	}
	m.keep(OptClientIdentifier, 2, MaxLen) // RFC 2132 section 9.14
	m.keep(OptVendorClass, 1, MaxLen)      // section 9.13
	m.keep(OptUserClass, 1, MaxLen)        // RFC 3004 section 4
	return true
}

// keep reports whether an option, if it is there, has from least to most octets. One of another
// length counts as absent from then on.
func (m *Message) keep(code byte, least, most int) bool {
	if v, ok := m.Option(code); ok && (len(v) < least || len(v) > most) {
		m.last[code] = 0
		return false
	}
	return true
}

// inPieces reports whether an option has several instances.
func (m *Message) inPieces(code byte) bool { return m.at[m.last[code]]&inJoined != 0 }

// CheckRequest reports whether a server may look at the message (RFC 2131 sections 2 and 3). The
// reason is NotForServer for a reply and for a type that servers do not take, and NoMessageType for
// plain BOOTP.
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

// Bytes returns the whole message.
func (m *Message) Bytes() []byte { return m.b }

// Type returns the value of option 53, zero if there is none.
func (m *Message) Type() MessageType { return m.typ }

// Header returns the fixed part as it can be appended again. Its SName and File lie in the message.
func (m *Message) Header() Header {
	return Header{
		Op: m.Op(), HType: m.HType(), HLen: m.HLen(), Hops: m.Hops(),
		Xid: m.Xid(), Secs: m.Secs(), Flags: m.Flags(),
		CIAddr: m.CIAddr(), YIAddr: m.YIAddr(), SIAddr: m.SIAddr(), GIAddr: m.GIAddr(),
		CHAddr: [16]byte(m.b[offCHAddr:]), SName: m.SName(), File: m.File(),
	}
}

// Op returns the op: [BootRequest] or [BootReply].
func (m *Message) Op() byte { return m.b[0] }

// HType returns the hardware type.
func (m *Message) HType() byte { return m.b[offHType] }

// HLen returns the length of the hardware address, at most 16.
func (m *Message) HLen() byte { return m.b[offHLen] }

// Hops returns the number of DHCPv4 relays, as they claim.
func (m *Message) Hops() byte { return m.b[offHops] }

// Xid returns the transaction id.
func (m *Message) Xid() Xid { return Xid(binary.BigEndian.Uint32(m.b[offXid:])) }

// Secs returns the time in seconds since the client began, as it claims.
func (m *Message) Secs() uint16 { return binary.BigEndian.Uint16(m.b[offSecs:]) }

// Flags returns the flags: [FlagBroadcast] and fifteen reserved bits.
func (m *Message) Flags() uint16 { return binary.BigEndian.Uint16(m.b[offFlags:]) }

// CHAddr returns the hardware address: the first hlen octets of chaddr.
func (m *Message) CHAddr() []byte {
	n := offCHAddr + int(m.b[offHLen])
	return m.b[offCHAddr:n:n]
}

// CIAddr returns the address that the client uses already, or 0.0.0.0.
func (m *Message) CIAddr() netip.Addr { return addr(m.b[offCIAddr:]) }

// YIAddr returns the address that the server gives, or 0.0.0.0.
func (m *Message) YIAddr() netip.Addr { return addr(m.b[offYIAddr:]) }

// SIAddr returns the address of the next server of a boot, or 0.0.0.0.
func (m *Message) SIAddr() netip.Addr { return addr(m.b[offSIAddr:]) }

// GIAddr returns the address of the first DHCPv4 relay, or 0.0.0.0.
func (m *Message) GIAddr() netip.Addr { return addr(m.b[offGIAddr:]) }

// SName returns the sname field, all 64 octets of it.
func (m *Message) SName() []byte { return m.b[offSName:offFile:offFile] }

// File returns the file field, all 128 octets of it.
func (m *Message) File() []byte { return m.b[offFile:offCookie:offCookie] }

func addr(b []byte) netip.Addr { return netip.AddrFrom4([4]byte(b)) }
