package dhcp4

import (
	"bytes"
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
	if v, ok := m.single(code); ok {
		return v, true
	}
	pieces := 0
	for v := range m.Pieces(code) {
		switch pieces++; pieces {
		case 1:
			value = v
		case 2:
			value = append(append(scratch[:0], value...), v...)
		default:
			value = append(value, v...)
		}
	}
	return value, pieces > 0
}

// single finds an option that is there in one piece and indexed.
func (m *Message) single(code byte) ([]byte, bool) {
	slot := m.slot[code]
	if slot == 0 || slot == walk {
		return nil, false
	}
	at := int(m.at[slot%uint8(len(m.at))])
	return m.b[at+1 : at+1+int(m.b[at]) : at+1+int(m.b[at])], true
}

// short returns up to the first four octets of an option and its whole
// length, zero if it is not there.
func (m *Message) short(code byte) (v [4]byte, n int) {
	if one, ok := m.single(code); ok {
		copy(v[:], one)
		return v, len(one)
	}
	for piece := range m.Pieces(code) {
		copy(v[min(n, len(v)):], piece)
		n += len(piece)
	}
	return v, n
}

// Has says whether the message has an option.
func (m *Message) Has(code byte) bool { return m.slot[code] != 0 }

// Pieces yields the instances of an option in the order in which they are to
// be joined.
func (m *Message) Pieces(code byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { m.pieces(code, yield) }
}

func (m *Message) pieces(code byte, yield func([]byte) bool) {
	if v, ok := m.single(code); ok {
		yield(v)
		return
	}
	if !m.Has(code) {
		return
	}
	for w := m.walker(); w.next(); {
		if w.code == code && !yield(w.value) {
			return
		}
	}
}

// All yields every instance of every option in the order options, file,
// sname, as the message has them: in pieces and with repeats, without pads.
// Option 52 is yielded only from where it counts, the options field.
func (m *Message) All() iter.Seq2[byte, []byte] {
	return func(yield func(byte, []byte) bool) {
		for w := m.walker(); w.next(); {
			if !yield(w.code, w.value) {
				return
			}
		}
	}
}

// walker goes through the instances of a message that Parse has checked.
type walker struct {
	code  byte
	value []byte

	b        []byte
	at       int
	overload uint8 // the fields that are still to come
	inField  bool  // in file or sname
}

func (m *Message) walker() walker {
	return walker{b: m.b, at: HeaderLen, overload: m.overload}
}

// next moves to the next instance and says whether there is one.
func (w *walker) next() bool {
	for {
		if w.at >= len(w.b) || w.b[w.at] == OptEnd {
			if !w.nextField() {
				return false
			}
			continue
		}
		w.code = w.b[w.at]
		w.at++
		if w.code == OptPad {
			continue
		}
		start := w.at + 1
		w.at = start + int(w.b[w.at])
		w.value = w.b[start:w.at:w.at]
		if w.code == OptOverload && w.inField {
			continue
		}
		return true
	}
}

func (w *walker) nextField() bool {
	switch {
	case w.overload&overloadFile != 0:
		w.overload &^= overloadFile
		w.at, w.b = offFile, w.b[:offCookie]
	case w.overload&overloadSName != 0:
		w.overload &^= overloadSName
		w.at, w.b = offSName, w.b[:offFile]
	default:
		w.at = len(w.b)
		return false
	}
	w.inField = true
	return true
}

// AppendEcho appends an option of the message as it has to be sent back: the
// same value, in as few pieces as it needs. Without the option dst is
// returned as it was.
func (m *Message) AppendEcho(dst []byte, code byte) []byte {
	if !m.Has(code) {
		return dst
	}
	at := len(dst) // of the instance being filled
	dst = append(dst, code, 0)
	for v := range m.Pieces(code) {
		for len(v) > 0 {
			if dst[at+1] == maxPiece {
				at = len(dst)
				dst = append(dst, code, 0)
			}
			n := min(len(v), maxPiece-int(dst[at+1]))
			dst = append(dst, v[:n]...)
			dst[at+1] += byte(n)
			v = v[n:]
		}
	}
	return dst
}

// EchoLen is the number of octets that [Message.AppendEcho] appends.
func (m *Message) EchoLen(code byte) int {
	if !m.Has(code) {
		return 0
	}
	_, n := m.short(code)
	return OptionLen(n)
}

// Addr returns an option that is one IPv4 address. One of another length
// counts as absent (RFC 2131 §4.1).
func (m *Message) Addr(code byte) (netip.Addr, bool) {
	v, n := m.short(code)
	if n != 4 {
		return netip.Addr{}, false
	}
	return netip.AddrFrom4(v), true
}

// Uint32 returns an option of four octets. One of another length counts as
// absent.
func (m *Message) Uint32(code byte) (uint32, bool) {
	v, n := m.short(code)
	if n != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(v[:]), true
}

// Uint16 returns an option of two octets. One of another length counts as
// absent.
func (m *Message) Uint16(code byte) (uint16, bool) {
	v, n := m.short(code)
	if n != 2 {
		return 0, false
	}
	return binary.BigEndian.Uint16(v[:]), true
}

// Requested says whether the client's parameter request list (option 55) has
// a code.
func (m *Message) Requested(code byte) bool {
	for v := range m.Pieces(OptParameterRequestList) {
		if bytes.IndexByte(v, code) >= 0 {
			return true
		}
	}
	return false
}

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
	if m.Has(OptClientIdentifier) {
		if _, n := m.short(OptClientIdentifier); n < 2 {
			return dst, drop.NotDHCPv4
		}
		dst = append(dst, KeyClientID)
		for v := range m.Pieces(OptClientIdentifier) {
			dst = append(dst, v...)
		}
		return dst, drop.None
	}
	if m.HLen() == 0 {
		return dst, drop.NoClient
	}
	dst = append(dst, KeyHardware, m.HType())
	return append(dst, m.CHAddr()...), drop.None
}
