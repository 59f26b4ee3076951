package lease

import "github.com/dhcp4o6/dhcp4o6/shared/dhcp4"

// The kinds of client key. The kind is the first octet of a key.
const (
	KeyIdentifier byte = dhcp4.KeyClientID // option 61, whole (RFC 4361 section 6.3)
	KeyHardware   byte = dhcp4.KeyHardware // htype and chaddr[:hlen] (RFC 2131 section 4.2)
)

// AppendKey appends the key of a client: the kind octet and option 61, or without option 61 the
// kind octet, htype and the hardware address. Keys of the two kinds are never equal. If there is
// neither, it appends nothing.
func AppendKey(dst, id []byte, htype byte, hw []byte) []byte {
	switch {
	case len(id) > 0:
		return append(append(dst, KeyIdentifier), id...)
	case len(hw) > 0:
		return append(append(dst, KeyHardware, htype), hw...)
	}
	return dst
}
