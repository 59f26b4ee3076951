package hook

// maxNames bounds the domain names of a list that is decoded.
const maxNames = 64

// FewNames reports whether a list of domain names (RFC 1035 section 3.1) is short enough to be
// decoded. A name may be a pointer of two octets to a long one (section 4.1.4), so the text of a
// list can be a hundred times as long as the list.
func FewNames(list []byte) bool {
	names := 0
	for len(list) > 0 && names <= maxNames {
		n := 1
		switch length := int(list[0]); {
		case length >= 0xc0:
			n = 2
			names++
		case length == 0:
			names++
		default:
			n += length
		}
		list = list[min(n, len(list)):]
	}
	return names <= maxNames
}
