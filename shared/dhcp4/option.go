package dhcp4

import (
	"bytes"
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Option returns the value of an option and whether the message has it. A value that came in pieces
// is whole (RFC 3396). It lies in the message or in m, and must not be changed.
func (m *Message) Option(code byte) (value []byte, ok bool) {
	budget.Spend(1)
	at := int(m.at[m.last[code]])
	if at == 0 {
		return nil, false
	}
	if at >= inJoined {
		return m.joinedValue(at - inJoined), true
	}
	return m.piece(at), true
}

// joinedValue returns the value at an offset in joined.
func (m *Message) joinedValue(at int) []byte {
	start := at + joinedHeader
	end := start + int(binary.BigEndian.Uint16(m.joined[at+2:]))
	return m.joined[start:end:end]
}

// Has reports whether the message has an option.
func (m *Message) Has(code byte) bool { return m.last[code] != 0 }

// All yields every instance of every option, also of those that count as absent, in the order
// options, file, sname, as the message has them: in pieces and with repeats, without pads. It
// yields option 52 only from where it counts, the options field.
func (m *Message) All() iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		for i := 1; i <= int(m.used); i++ {
			at := int(m.at[i])
			if at >= inJoined {
				at = int(binary.BigEndian.Uint16(m.joined[at-inJoined:]))
			}
			code := m.b[at-1]
			if (code == OptOverload && at < HeaderLen) || yield(code, m.piece(at)) {
				continue
			}
			return
		}
	}
}

// AppendEcho appends an option of the message as it has to be sent back: the same value, in as few
// pieces as it needs. Without the option it returns dst as it was.
func (m *Message) AppendEcho(dst []byte, code byte) []byte {
	v, ok := m.Option(code)
	if !ok {
		return dst
	}
	return AppendOption(dst, code, v)
}

// EchoLen returns the number of octets that [Message.AppendEcho] appends.
func (m *Message) EchoLen(code byte) int {
	v, ok := m.Option(code)
	if !ok {
		return 0
	}
	return OptionLen(len(v))
}

// Addr returns an option that is one IPv4 address. One of another length counts as absent (RFC 2131
// section 4.1).
func (m *Message) Addr(code byte) (netip.Addr, bool) {
	v, _ := m.Option(code)
	if len(v) != 4 {
		return netip.Addr{}, false
	}
	return addr(v), true
}

// Uint32 returns an option of four octets. One of another length counts as absent.
func (m *Message) Uint32(code byte) (uint32, bool) {
	v, _ := m.Option(code)
	if len(v) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v), true
}

// Uint16 returns an option of two octets. One of another length counts as absent.
func (m *Message) Uint16(code byte) (uint16, bool) {
	v, _ := m.Option(code)
	if len(v) != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(v), true
}

// Requested reports whether the client's parameter request list (option 55) has a code.
func (m *Message) Requested(code byte) bool {
	list := m.ParameterRequestList()
	budget.Spend(len(list))
	return bytes.IndexByte(list, code) >= 0
}

// ParameterRequestList returns option 55, nil if there is none.
func (m *Message) ParameterRequestList() []byte {
	v, _ := m.Option(OptParameterRequestList)
	return v
}

// The kinds of a client key.
const (
	KeyClientID = 0 // the key is option 61
	KeyHardware = 1 // the key is htype and chaddr
)

// AppendClientKey appends what identifies the client. That is the octet [KeyClientID] and the
// client identifier of any type and form (RFC 2131 section 4.2, RFC 4361 section 6.3). Without
// identifier it is the octet [KeyHardware], htype and the hardware address. Keys of both kinds are
// never equal.
//
// The reason is NoClient if there is neither identifier nor hardware address.
func (m *Message) AppendClientKey(dst []byte) ([]byte, drop.Reason) {
	if v, ok := m.Option(OptClientIdentifier); ok {
		budget.Spend(len(v))
		return append(append(dst, KeyClientID), v...), drop.None
	}
	if m.HLen() == 0 {
		return dst, drop.NoClient
	}
	dst = append(dst, KeyHardware, m.HType())
	return append(dst, m.CHAddr()...), drop.None
}
