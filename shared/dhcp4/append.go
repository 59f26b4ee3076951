package dhcp4

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Header is the fixed part of a message to be built. Addresses that are not IPv4 are written as
// 0.0.0.0. Of SName and File the first 64 and 128 octets are written; text in them ends with a zero
// octet (RFC 2131 section 2).
type Header struct {
	Op                             byte
	HType, HLen                    byte
	Hops                           byte
	Xid                            Xid
	Secs                           uint16
	Flags                          uint16
	CIAddr, YIAddr, SIAddr, GIAddr netip.Addr
	CHAddr                         [16]byte
	SName, File                    []byte
}

// AppendHeader appends the 240 octets before the options.
func AppendHeader(dst []byte, h *Header) []byte {
	dst = append(dst, make([]byte, HeaderLen)...)
	b := dst[len(dst)-HeaderLen:]
	b[0], b[offHType], b[offHLen], b[offHops] = h.Op, h.HType, h.HLen, h.Hops
	binary.BigEndian.PutUint32(b[offXid:], uint32(h.Xid))
	binary.BigEndian.PutUint16(b[offSecs:], h.Secs)
	binary.BigEndian.PutUint16(b[offFlags:], h.Flags)
	put(b[offCIAddr:], h.CIAddr)
	put(b[offYIAddr:], h.YIAddr)
	put(b[offSIAddr:], h.SIAddr)
	put(b[offGIAddr:], h.GIAddr)
	copy(b[offCHAddr:], h.CHAddr[:])
	copy(b[offSName:offFile], h.SName)
	copy(b[offFile:offCookie], h.File)
	binary.BigEndian.PutUint32(b[offCookie:], cookie)
	return dst
}

// SNameOf returns the sname field of a message that is being built. It holds options when option 52
// says so (RFC 2132 section 9.3).
func SNameOf(b []byte) []byte { return b[offSName:offFile:offFile] }

// FileOf returns the file field of a message that is being built.
func FileOf(b []byte) []byte { return b[offFile:offCookie:offCookie] }

func put(b []byte, a netip.Addr) {
	v := octets(a)
	copy(b, v[:])
}

// maxPiece is the longest value of one instance of an option.
const maxPiece = 255

// AppendOption appends an option. A value above 255 octets is split into instances of one code (RFC
// 3396 section 6).
func AppendOption(dst []byte, code byte, value []byte) []byte {
	budget.Spend(len(value))
	for len(value) > maxPiece {
		dst = append(dst, code, maxPiece)
		dst = append(dst, value[:maxPiece]...)
		value = value[maxPiece:]
	}
	dst = append(dst, code, byte(len(value)))
	return append(dst, value...)
}

// OptionLen returns the number of octets that [AppendOption] appends for a value of n octets.
func OptionLen(n int) int { return n + 2*max(1, (n+maxPiece-1)/maxPiece) }

// AppendType appends option 53.
func AppendType(dst []byte, t MessageType) []byte {
	return append(dst, OptMessageType, 1, byte(t))
}

// AppendUint32 appends an option of four octets.
func AppendUint32(dst []byte, code byte, v uint32) []byte {
	return append(dst, code, 4, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// AppendAddr appends an option that is one IPv4 address.
func AppendAddr(dst []byte, code byte, a netip.Addr) []byte {
	v := octets(a)
	return append(dst, code, 4, v[0], v[1], v[2], v[3])
}

// AppendEnd appends the octet that ends the options.
func AppendEnd(dst []byte) []byte { return append(dst, OptEnd) }

// octets returns a as four octets, zero if it is not IPv4.
func octets(a netip.Addr) [4]byte {
	if a = a.Unmap(); a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
