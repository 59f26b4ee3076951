package lease

import (
	"crypto/sha256"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// The kinds of client key, its first octet.
const (
	KeyIdentifier byte = dhcp4.KeyClientID // option 61, whole (RFC 4361 section 6.3)
	KeyHardware   byte = dhcp4.KeyHardware // htype and chaddr[:hlen] (RFC 2131 section 4.2)
)

// AppendKey appends the key of a client: kind octet and option 61, or kind
// octet, htype and hardware address without one. Keys of the two kinds are
// never equal. It appends nothing when there is neither.
func AppendKey(dst, id []byte, htype byte, hw []byte) []byte {
	switch {
	case len(id) > 0:
		return append(append(dst, KeyIdentifier), id...)
	case len(hw) > 0:
		return append(append(dst, KeyHardware, htype), hw...)
	}
	return dst
}

// The kinds of attachment point, its first octet.
const (
	PointInterfaceID byte = 1 // link-address, Interface-Id
	PointRemoteID    byte = 2 // link-address, Remote-Id
	PointPeer        byte = 3 // link-address, peer-address: a relay without either
	PointDirect      byte = 4 // IPv6 source, interface name of dhcp6d
	pointLong        byte = 0x80
)

// maxPointID is the longest identifier kept as it is; of a longer one the
// point holds the SHA-256.
const maxPointID = 128

// MaxPoint is the longest attachment point.
const MaxPoint = 1 + 16 + maxPointID

// AppendPoint appends an attachment point: kind octet, IPv6 address (16
// octets), identifier. Which address and identifier go with a kind stands at
// its constant; PointPeer has the peer-address as identifier.
func AppendPoint(dst []byte, kind byte, addr netip.Addr, id []byte) []byte {
	a := addr.As16()
	if len(id) > maxPointID {
		sum := sha256.Sum256(id)
		return append(append(append(dst, kind|pointLong), a[:]...), sum[:]...)
	}
	return append(append(append(dst, kind), a[:]...), id...)
}
