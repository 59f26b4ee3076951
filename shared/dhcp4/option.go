package dhcp4

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Option returns the value of an option and whether the message has it.
//
// A value in one piece is returned in place. One in several is put together
// in scratch, in the order options, file, sname (RFC 3396 §7): what scratch
// held is overwritten, and the result aliases it. A scratch as large as the
// message is never outgrown; a smaller one may be replaced by a new one.
func (m *Message) Option(code byte, scratch []byte) (value []byte, ok bool) {
	return nil, false
}

// Has says whether the message has an option.
func (m *Message) Has(code byte) bool { return m.seen.has(code) }

// All yields every instance of every option in the order options, file,
// sname, as the message has them: in pieces and with repeats, without pads.
// Option 52 is yielded only from where it counts, the options field.
func (m *Message) All() iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {}
}

// AppendEcho appends an option of the message as it has to be sent back: the
// same value, in as few pieces as it needs. Without the option dst is
// returned as it was.
func (m *Message) AppendEcho(dst []byte, code byte) []byte { return dst }

// EchoLen is the number of octets that [Message.AppendEcho] would append.
func (m *Message) EchoLen(code byte) int { return 0 }

// Addr returns an option that is one IPv4 address. One of another length
// counts as absent (RFC 2131 §4.1).
func (m *Message) Addr(code byte) (netip.Addr, bool) {
	v, ok := m.fixed(code)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(v), true
}

// Uint32 returns an option of four octets. One of another length counts as
// absent.
func (m *Message) Uint32(code byte) (uint32, bool) {
	v, ok := m.fixed(code)
	return binary.BigEndian.Uint32(v[:]), ok
}

// Uint16 returns an option of two octets. One of another length counts as
// absent.
func (m *Message) Uint16(code byte) (uint16, bool) { return 0, false }

func (m *Message) fixed(code byte) (v [4]byte, ok bool) { return v, false }

// Requested says whether the client's parameter request list (option 55) has
// a code.
func (m *Message) Requested(code byte) bool { return false }

// ParameterRequestList returns option 55, with scratch as in
// [Message.Option]; nil if there is none.
func (m *Message) ParameterRequestList(scratch []byte) []byte {
	v, _ := m.Option(OptParameterRequestList, scratch)
	return v
}

// The kinds of a client key.
const (
	KeyClientID = 0 // the key is option 61
	KeyHardware = 1 // the key is htype and chaddr
)

// AppendClientKey appends what identifies the client: the octet
// [KeyClientID] and the client identifier of any type and form (RFC 2131
// §4.2, RFC 4361 §6.3), else the octet [KeyHardware], htype and the hardware
// address. Keys of both kinds never compare equal.
//
// The reasons: NotDHCPv4 for an identifier shorter than two octets (RFC 2132
// §9.14), NoClient if there is neither identifier nor hardware address.
func (m *Message) AppendClientKey(dst []byte) ([]byte, drop.Reason) {
	return dst, drop.NoClient
}
