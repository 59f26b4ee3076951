package attachment

import (
	"crypto/sha256"
	"net/netip"
)

// Parts are the parts of an attachment point: see [Path.AppendPoint].
type Parts struct {
	Kind    Kind
	Address netip.Addr
	Name    []byte // of the port, the host of Relay (nil in a place), the interface of Direct
	Server  []byte // with Direct: the name of the dhcp6d, nil where it is not known
	Within  []byte // the place at which the relay was seen, nil where it needs none
	Digest  bool   // Name begins with a SHA-256 of what was too long
	Count   []byte // the name by which leases are counted, nil if the point is that
}

// Split parses a point. It is not ok for octets that are no point. The parts are views.
func Split(point []byte) (parts Parts, ok bool) {
	if len(point) < header {
		return parts, false
	}
	if n := countLen(point); n > 0 {
		end := len(point) - n
		parts, ok = split(point[0]&^counted, point[:end:end])
		parts.Count = point[end+1 : len(point)-1]
		return parts, ok
	}
	return split(point[0], point)
}

// split is Split with another first octet in place of that of the point.
func split(first byte, point []byte) (parts Parts, ok bool) {
	parts = Parts{Kind: Kind(first &^ (scoped | digest)), Address: netip.AddrFrom16([16]byte(point[1:header])),
		Name: point[header:], Digest: point[0]&digest != 0}
	switch {
	case parts.Kind < InterfaceID, parts.Kind > SubscriberID:
		return parts, false
	case parts.Digest:
		return parts, len(parts.Name) >= sha256.Size && point[0]&scoped == 0
	}
	if point[0]&scoped != 0 {
		rest := point[header:]
		if len(rest) == 0 || len(rest) <= int(rest[0]) {
			return parts, false
		}
		n := 1 + int(rest[0])
		scope, name := rest[1:n:n], rest[n:]
		if parts.Name = name; parts.Kind == Direct {
			parts.Server = scope
		} else {
			parts.Within = scope
		}
	}
	return parts, true
}

// RemoteIDOf returns the Remote-Id that names the port of a point, as a view. It is nil if
// something else names the port, or if the point has only a digest.
func RemoteIDOf(point []byte) []byte {
	if p, ok := Split(point); ok && p.Kind == RemoteID && !p.Digest {
		return p.Name
	}
	return nil
}

// Append appends the point with these parts.
func (p *Parts) Append(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, p.Kind, p.Address.As16())
	scope := p.Within
	if p.Kind == Direct {
		scope = p.Server
	}
	switch {
	case p.Digest:
		dst[start] |= digest
	case scope != nil:
		dst[start] |= scoped
		dst = append(append(dst, byte(len(scope))), scope...)
	}
	dst = append(dst, p.Name...)
	if len(p.Count) > 0 {
		return AppendCount(dst[:start], dst[start:], p.Count)
	}
	return dst
}

// Relation is how two attachment points relate to each other.
type Relation uint8

// The relations.
const (
	// Apart: different places, or places that are not known to be the same.
	Apart Relation = iota
	// SamePort: one place, where every host belongs to one subscriber.
	SamePort
	// SameLink: one place that hosts share. It may be one host if its hardware address agrees.
	SameLink
	// SeenTwice: probably one place, but seen by two dhcp6d, of which one may not be known. It may
	// be one host if its hardware address and its IPv6 address agree.
	SeenTwice
)

// Compare returns the relation of the places of two attachment points. Octets that are no point are
// the same place if they are equal.
func Compare(a, b []byte) Relation {
	if string(a) == string(b) {
		if len(a) > 0 && shared(Kind(a[0]&^(scoped|digest|counted))) {
			return SameLink
		}
		return SamePort
	}
	p, isPoint := Split(a)
	q, arePoints := Split(b)
	if !isPoint || !arePoints || p.Kind != q.Kind || p.Digest != q.Digest {
		return Apart
	}
	same := SamePort
	switch p.Kind {
	case Direct:
		switch {
		case p.Digest && string(p.Name) != string(q.Name):
			return Apart
		case string(p.Server) == string(q.Server):
			if string(p.Name) != string(q.Name) {
				return Apart
			}
			return SameLink
		case (p.Server == nil || q.Server == nil) && string(p.Name) == string(q.Name):
			return SameLink
		}
		return SeenTwice
	case Relay:
		p.Name, q.Name = place(&p), place(&q)
		same = SameLink
	}
	if p.Address != q.Address || string(p.Name) != string(q.Name) {
		return Apart
	}
	if string(p.Within) == string(q.Within) {
		return same
	}
	if p.Within == nil || q.Within == nil {
		return Apart
	}
	switch Compare(p.Within, q.Within) {
	case Apart:
		return Apart
	case SeenTwice:
		return SeenTwice
	}
	return same
}

// place returns the name of a point of Relay without the host.
func place(p *Parts) []byte {
	if p.Digest {
		return p.Name[:sha256.Size]
	}
	return nil
}

// shared reports whether several hosts share a place of the kind.
func shared(k Kind) bool { return k == Relay || k == Direct }

// Stored returns a point as it is written today, from one that was written by any version. It
// changes the octets in place. If a relay was identified by its link-local address alone, the point
// is nil, as in a lease whose point is not known.
func Stored(point []byte) []byte {
	p, ok := Split(point)
	switch {
	case !ok || (p.Digest && shared(p.Kind)):
		return point
	case p.Kind == Direct:
		h := host(p.Address)
		copy(point[1:], h[:])
	case !namesLink(p.Address) && point[0]&scoped == 0 && !p.Digest:
		return nil
	case p.Kind == Relay && len(p.Name) == 16:
		h := host(netip.AddrFrom16([16]byte(p.Name)))
		copy(p.Name, h[:])
	}
	return point
}
