package lease

import "github.com/dhcp4o6/dhcp4o6/shared/dhcp4"

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
