package attachment

import (
	"crypto/sha256"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Kind is how the port of a place is named.
type Kind byte

// The kinds. They are written to disk.
const (
	InterfaceID  Kind = 1 // Interface-Id of a relay
	RemoteID     Kind = 2 // Remote-Id of a relay, with its enterprise number
	Relay        Kind = 3 // not named: any host behind the relay, identified by its address
	Direct       Kind = 4 // an interface of dhcp6d; hosts are identified by their addresses
	SubscriberID Kind = 5 // Subscriber-Id of a relay
)

const (
	counted = 0x20 // see AppendPoint
	scoped  = 0x40
	digest  = 0x80

	header  = 1 + 16
	maxRest = 128

	maxCount = 64

	// MaxPoint is the longest attachment point.
	MaxPoint = header + maxRest + 16 + 1 + maxCount + 1
)

// AppendPoint appends the attachment point:
//
//	0   1   kind, and flags
//	1   16  address: of the relay, or with Direct of the host
//	17  …   name: of the port, with Relay the host, with Direct the interface
//
// Addresses of hosts have their last 64 bits cleared unless they are link-local. With the flag 0x40
// one octet n and n octets come before the name: with Direct the name of the dhcp6d, otherwise the
// place, a point without host, at which the relay was seen; its address is then link-local, or
// unspecified for a lightweight relay agent. The flag 0x80 replaces 0x40 if everything behind the
// address would be longer than 128 octets: its SHA-256 is there instead, followed by the host of
// Relay unchanged. With the flag 0x20 the last octet is the length of a name by which leases are
// counted instead of the point, and a zero octet and that name come before it: see [AppendCount].
func (p *Path) AppendPoint(dst []byte) []byte {
	client := host(p.Client())
	dst, kind := p.appendPlace(dst, p.Believed, client)
	if kind == Relay {
		return append(dst, client[:]...)
	}
	return dst
}

// AppendCount appends a point, and the name by which its leases are counted in place of it. Of a
// name of more than 64 octets it takes the SHA-256. No name is the point itself.
func AppendCount(dst, point, name []byte) []byte {
	start := len(dst)
	dst = append(dst, point...)
	if len(point) == 0 || len(name) == 0 {
		return dst
	}
	dst[start] |= counted
	dst = append(dst, 0)
	if len(name) > maxCount {
		sum := sha256.Sum256(name)
		return append(append(dst, sum[:]...), sha256.Size)
	}
	return append(append(dst, name...), byte(len(name)))
}

// CountOf returns the octets by which the leases of a point are counted: those of the point, or a
// zero octet, with which no point begins, and the name that was given to [AppendCount].
func CountOf(point []byte) []byte {
	if n := countLen(point); n > 0 {
		return point[len(point)-n : len(point)-1]
	}
	return point
}

// countLen returns how many octets at the end of a point say how its leases are counted.
func countLen(point []byte) int {
	if len(point) < header || point[0]&counted == 0 {
		return 0
	}
	n := int(point[len(point)-1]) + 2
	if n == 2 || n > maxCount+2 || header+n > len(point) || point[len(point)-n] != 0 {
		return 0
	}
	return n
}

// AppendSubscriber appends the attachment point and, if that is a port that several hosts may
// share, the host. So it distinguishes as many hosts as possible.
func (p *Path) AppendSubscriber(dst []byte) []byte {
	client := host(p.Client())
	dst, kind := p.appendPlace(dst, p.Believed, client)
	if kind == Direct {
		return dst
	}
	return append(dst, client[:]...)
}

// appendPlace appends the place as seen through the outermost n levels, which are believed. Address
// is that of Direct.
func (p *Path) appendPlace(dst []byte, n int, address [16]byte) ([]byte, Kind) {
	start := len(dst)
	if n == 0 {
		dst = appendHeader(dst, Direct, address)
		if p.Server != "" {
			dst[start] |= scoped
			server := p.Server[:min(len(p.Server), 255)]
			dst = append(append(dst, byte(len(server))), server...)
		}
		return shorten(append(dst, p.Interface...), start), Direct
	}
	r := p.Packet.Relay(n - 1)
	kind, id := port(r)
	name := r.LinkAddress()
	if !namesLink(name) {
		lightweight := name.IsUnspecified() && p.writer(n-1) == r.PeerAddress()
		if name = p.writer(n - 1); lightweight && !namesLink(name) {
			name = netip.IPv6Unspecified()
		}
	}
	dst = appendHeader(dst, kind, name.As16())
	if !namesLink(name) {
		dst[start] |= scoped
		dst = append(dst, 0)
		at := len(dst)
		dst, _ = p.appendPlace(dst, n-1, [16]byte{})
		dst[at-1] = byte(len(dst) - at) // at most MaxPoint
	}
	budget.Spend(len(id))
	return shorten(append(dst, id...), start), kind
}

func appendHeader(dst []byte, kind Kind, address [16]byte) []byte {
	return append(append(dst, byte(kind)), address[:]...)
}

// port returns the identifier of the client's port on a relay.
func port(r dhcp6.Relay) (Kind, []byte) {
	if id := r.InterfaceID(); len(id) > 0 {
		return InterfaceID, id
	}
	if id := r.RemoteID(); id != nil {
		return RemoteID, id
	}
	if id := r.SubscriberID(); id != nil {
		return SubscriberID, id
	}
	return Relay, nil
}

// shorten replaces what is behind the header of b[start:] by its digest if it is too long.
func shorten(b []byte, start int) []byte {
	rest := start + header
	if len(b)-rest <= maxRest {
		return b
	}
	sum := sha256.Sum256(b[rest:])
	b[start] = b[start]&^scoped | digest
	return append(b[:rest], sum[:]...)
}

// host returns the part of an address that identifies a host: the /64, or a whole link-local
// address.
func host(a netip.Addr) [16]byte {
	b := a.As16()
	if !a.IsLinkLocalUnicast() {
		clear(b[8:])
	}
	return b
}
