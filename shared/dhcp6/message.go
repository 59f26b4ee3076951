package dhcp6

import (
	"encoding/binary"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	minDHCPv4    = 240  // header and cookie, RFC 2131 section 2
	maxDHCPv4    = 4096 // no client sends a longer one
	cookieOffset = 236
	cookie       = 0x63825363
)

// Message is a view of the innermost message of a datagram, part of a [Packet].
type Message struct {
	data       []byte // of the message alone
	start      int    // of the message in the datagram
	clientID   noted
	serverID   noted
	oro        noted
	vendorOpts noted
	dhcpv4     noted
}

// noted remembers the first instance of an option, by its offset in the message, and how many
// instances there are.
type noted struct{ at, count uint16 }

func (n *noted) add(at int) {
	if n.count == 0 {
		n.at = uint16(at)
	}
	n.count++
}

func (m *Message) parse(b []byte, start, end int) drop.Reason {
	m.start = start
	m.data = b[start:end:end]
	b = m.data
	at, count := messageHeader, 0
	for at < len(b) {
		budget.Spend(1)
		next := optionEnd(b, at)
		if next == 0 {
			return drop.Malformed
		}
		if count++; count > MaxOptions {
			return drop.ManyOptions
		}
		if n := m.noted(optionCode(b, at)); n != nil {
			n.add(at)
		}
		at = next
	}
	return drop.None
}

// noted returns where m remembers a code, nil for a code that it does not remember.
func (m *Message) noted(c Code) *noted {
	switch c {
	case OptClientID:
		return &m.clientID
	case OptServerID:
		return &m.serverID
	case OptORO:
		return &m.oro
	case OptVendorOpts:
		return &m.vendorOpts
	case OptDHCPv4Msg:
		return &m.dhcpv4
	}
	return nil
}

// Type returns the message type.
func (m *Message) Type() Type { return Type(m.data[0]) }

// TransactionID returns octets 1 to 3 as the messages of RFC 9915 have them.
func (m *Message) TransactionID() [3]byte { return [3]byte(m.data[1:4]) }

// Flags returns octets 1 to 3 as the messages of RFC 7341 have them.
func (m *Message) Flags() Flags { return Flags(binary.BigEndian.Uint32(m.data) & 0xffffff) }

// Flags are the 24 flags of a DHCPV4-QUERY (RFC 7341 section 6.3).
type Flags uint32

// FlagUnicast says that the client would have sent the carried message to an IPv4 unicast address.
const FlagUnicast Flags = 0x800000

// Bytes returns the message: header and options.
func (m *Message) Bytes() []byte { return m.data }

// Offset returns where the message starts in the datagram.
func (m *Message) Offset() int { return m.start }

// Options returns the message's options as a row, see [Walk].
func (m *Message) Options() []byte { return m.data[messageHeader:] }

// Option returns the data of the first instance of an option and whether there is one. Instances
// are never joined (RFC 9915 section 21).
func (m *Message) Option(c Code) (data []byte, ok bool) {
	if n := m.noted(c); n != nil {
		return optionData(m.data, n.at, 0), n.count > 0
	}
	for at := messageHeader; at < len(m.data); at = optionEnd(m.data, at) {
		budget.Spend(1)
		if optionCode(m.data, at) == c {
			return optionData(m.data, uint16(at), 0), true
		}
	}
	return nil, false
}

// Count returns how many instances of an option there are.
func (m *Message) Count(c Code) int {
	if n := m.noted(c); n != nil {
		return int(n.count)
	}
	count := 0
	for at := messageHeader; at < len(m.data); at = optionEnd(m.data, at) {
		budget.Spend(1)
		if optionCode(m.data, at) == c {
			count++
		}
	}
	return count
}

// DHCPv4 returns the carried DHCPv4 message, or the reason why there is none to be served: option
// 87 is absent or repeated (RFC 7341 sections 6.2 and 11), what it holds lacks a DHCPv4 header
// (240 octets) or the cookie, or it is longer than 4096 octets.
func (m *Message) DHCPv4() ([]byte, drop.Reason) {
	switch m.dhcpv4.count {
	case 0:
		return nil, drop.NoMessage
	case 1:
	default:
		return nil, drop.ManyMessages
	}
	inner := optionData(m.data, m.dhcpv4.at, 0)
	switch {
	case len(inner) < minDHCPv4:
		return nil, drop.ShortMessage
	case len(inner) > maxDHCPv4:
		return nil, drop.LongMessage
	case binary.BigEndian.Uint32(inner[cookieOffset:]) != cookie:
		return nil, drop.NoCookie
	}
	return inner, drop.None
}

// Requests reports whether the first Option Request option lists a code.
func (m *Message) Requests(c Code) bool {
	oro, _ := m.Option(OptORO)
	for ; len(oro) >= 2; oro = oro[2:] {
		budget.Spend(1)
		if Code(binary.BigEndian.Uint16(oro)) == c {
			return true
		}
	}
	return false
}
