package attachment

import (
	"crypto/sha256"
	"net/netip"
)

// Has reports whether an attachment point, or a place on the way to it, is named by an identifier
// of a kind. Of identifiers that are too long a point has the digest.
func Has(point []byte, kind Kind, id []byte) bool {
	for len(point) > 0 {
		p, ok := Split(point)
		if !ok {
			return false
		}
		if p.Kind == kind && ((!p.Digest && string(p.Name) == string(id)) || (p.Digest && isDigest(&p, id))) {
			return true
		}
		point = p.Within
	}
	return false
}

// isDigest reports whether the digest of a point is that of an identifier alone, without a place in
// front of it.
func isDigest(p *Parts, id []byte) bool {
	sum := sha256.Sum256(id)
	return string(p.Name[:sha256.Size]) == string(sum[:])
}

// Behind reports whether an attachment point, or a place on the way to it, is behind a relay that a
// prefix has: by its link-address, or by its own address if its link-address names no link.
func Behind(point []byte, link netip.Prefix) bool {
	for len(point) > 0 {
		p, ok := Split(point)
		if !ok {
			return false
		}
		if p.Kind != Direct && link.Contains(p.Address) {
			return true
		}
		point = p.Within
	}
	return false
}
