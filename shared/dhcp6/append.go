package dhcp6

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// AppendMessage appends the header of a client/server message. For the types of RFC 7341 id are the
// flags.
func AppendMessage(dst []byte, t Type, id [3]byte) []byte {
	return append(dst, byte(t), id[0], id[1], id[2])
}

// AppendOption appends an option. Its data must be shorter than 65536 octets; where it may be
// longer, use [BeginOption].
func AppendOption(dst []byte, c Code, data []byte) []byte {
	budget.Spend(len(data))
	if len(data) > 65535 {
		panic("dhcp6: option data longer than its length field")
	}
	return append(appendHeader(dst, c, len(data)), data...)
}

func appendHeader(dst []byte, c Code, length int) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(c))
	return binary.BigEndian.AppendUint16(dst, uint16(length))
}

// AppendUint32 appends an option that is one number of 32 bits, such as the Information Refresh
// Time.
func AppendUint32(dst []byte, c Code, v uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHeader(dst, c, 4), v)
}

// AppendAddresses appends an option that is a list of IPv6 addresses, possibly empty, such as
// options 23 and 88.
func AppendAddresses(dst []byte, c Code, addrs []netip.Addr) []byte {
	dst = appendHeader(dst, c, 16*len(addrs))
	for _, a := range addrs {
		a16 := a.As16()
		dst = append(dst, a16[:]...)
	}
	return dst
}

// BeginOption appends the header of an option whose data the caller appends next. [EndOption] with
// the mark that it returns then sets the length.
func BeginOption(dst []byte, c Code) (_ []byte, mark int) {
	return appendHeader(dst, c, 0), len(dst)
}

// EndOption ends the option that started at mark. The reason is [drop.ReplyTooBig] when its data
// exceeds 65535 octets.
func EndOption(dst []byte, mark int) drop.Reason {
	n := len(dst) - mark - optionHeader
	if n > 65535 {
		return drop.ReplyTooBig
	}
	binary.BigEndian.PutUint16(dst[mark+2:], uint16(n))
	return drop.None
}

// AppendRelayForward appends the Relay-forward that a relay makes of a message that it received
// (RFC 9915 section 19.1). options are the relay's own, encoded; the Relay Message follows them.
func AppendRelayForward(dst []byte, hops uint8, link, peer netip.Addr, options, message []byte) []byte {
	l, p := link.As16(), peer.As16()
	dst = append(dst, byte(RelayForward), hops)
	dst = append(dst, l[:]...)
	dst = append(dst, p[:]...)
	dst = append(dst, options...)
	return AppendOption(dst, OptRelayMsg, message)
}

// Chain is an unfinished answer to a query: the relay levels whose lengths [Chain.End] will set.
type Chain struct {
	start int
	depth int
	marks [MaxRelays]int
}

// BeginReply appends one Relay-reply level for every level of the query, with the same hop-count,
// link-address and peer-address (RFC 9915 section 19.3), Interface-Id (section 21.18) and Relay
// Port (RFC 8357 section 5.2) octet for octet, the options that the level's Echo Request option
// lists (RFC 4994), and the header of the Relay Message. The caller appends the message and calls
// End. For a query without relays nothing is appended.
func BeginReply(dst []byte, query *Packet) ([]byte, Chain) {
	c := Chain{start: len(dst), depth: query.depth}
	b := query.data
	for i := range query.levels[:query.depth] {
		l := &query.levels[i]
		dst = append(dst, byte(RelayReply))
		dst = append(dst, b[l.start+1:l.start+relayHeader]...)
		dst = appendCopy(dst, b, l.interfaceID)
		dst = appendCopy(dst, b, l.relayPort)
		if l.ero != 0 {
			dst = appendEcho(dst, query.Relay(i))
		}
		dst, c.marks[i] = BeginOption(dst, OptRelayMsg)
	}
	return dst, c
}

// End ends the answer that [BeginReply] began. When the datagram or a Relay Message in it is too
// long for its length field, the answer is taken back and the reason is [drop.ReplyTooBig].
func (c *Chain) End(dst []byte) ([]byte, drop.Reason) {
	if len(dst)-c.start > MaxDatagram {
		return dst[:c.start], drop.ReplyTooBig
	}
	for _, mark := range c.marks[:c.depth] {
		// Fits: the datagram does.
		_ = EndOption(dst, mark)
	}
	return dst, drop.None
}

// appendCopy appends the option whose header is at the offset, if any.
func appendCopy(dst, b []byte, at uint16) []byte {
	if at == 0 {
		return dst
	}
	budget.Spend(optionLength(b, int(at)))
	return append(dst, b[at:int(at)+optionHeader+optionLength(b, int(at))]...)
}

// maxEcho bounds the codes of an Echo Request option that count.
const maxEcho = 32

// appendEcho appends the options of a relay level that its Echo Request option lists, without those
// that come back anyway or never.
func appendEcho(dst []byte, r Relay) []byte {
	var codes [maxEcho]Code
	ero := optionData(r.data, r.ero, 0)
	n := min(len(ero)/2, maxEcho)
	for i := range codes[:n] {
		codes[i] = optionCode(ero, 2*i)
	}
	budget.Spend(5 * n)
	slices.Sort(codes[:n])
	for row := r.Options(); len(row) > 0; {
		code, option, rest, _ := Cut(row)
		row = rest
		switch code {
		case OptRelayMsg, OptERO, OptInterfaceID, OptRelayPort:
			continue
		}
		budget.Spend(5)
		if _, found := slices.BinarySearch(codes[:n], code); found {
			budget.Spend(len(option))
			dst = append(dst, option...)
		}
	}
	return dst
}
