package page

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

const (
	perPage   = 50          // leases of a page
	scanTime  = time.Second // for which a page looks for leases; the next one goes on
	beginning = 3           // octets of an identifier that find all that begin with them
)

// query is what somebody has typed, in every sense that it can have. A lease that fits one of them
// is found.
type query struct {
	text         string
	address      netip.Addr
	hwAddr, id   []byte
	interfaceID  []byte // or a Remote-Id without its enterprise number
	unquoted     []byte // an Interface-Id in quotes, as the history has it
	remoteID     []byte
	ipv6         netip.Prefix // the source, or the link-address of the relay
	prefix       netip.Prefix // IPv4
	subnet       uint32
	ofSubnet     bool // only the leases of a subnet
	senses       []string
	subnetsNamed func(name string) (uint32, bool)
}

// parse finds the senses of a text.
func (q *query) parse(text string) {
	q.text = strings.TrimSpace(text)
	sense := func(format string, args ...any) { q.senses = append(q.senses, fmt.Sprintf(format, args...)) }
	if a, err := netip.ParseAddr(q.text); err == nil && a.Is4() {
		q.address = a
		sense("the address %v", a)
		return
	}
	if p, err := netip.ParsePrefix(q.text); err == nil && p.Addr().Is4() {
		q.prefix = p.Masked()
		sense("addresses in %v", q.prefix)
		return
	}
	if a, err := netip.ParseAddr(q.text); err == nil {
		q.ipv6 = netip.PrefixFrom(a.WithZone(""), 128)
	} else if p, err := netip.ParsePrefix(q.text); err == nil {
		q.ipv6 = p.Masked()
	}
	if q.ipv6.IsValid() {
		sense("the IPv6 source or link-address %v", q.ipv6)
	}
	if b, err := octets.ParseHWAddress(q.text); err == nil {
		q.hwAddr = b
		if shown := octets.AppendHex(nil, b); len(b) < ethernet {
			sense("hardware addresses that begin with %s", shown)
		} else {
			sense("the hardware address %s", shown)
		}
	}
	if b, err := octets.ParseHex(q.text); err == nil {
		q.id = b
		sense("client identifiers and DUIDs that begin with %[1]s, the Interface-Id or Remote-Id %[1]s",
			octets.AppendHex(nil, b))
	}
	if b, err := octets.Parse(q.text); err == nil {
		q.interfaceID = b
		sense("the Interface-Id %[1]s, a Remote-Id with the identifier %[1]s", octets.Show(b))
	}
	if s, err := strconv.Unquote(q.text); err == nil && s != "" {
		q.unquoted = []byte(s)
		sense("the Interface-Id %s", octets.Show(q.unquoted))
	}
	if b, err := octets.ParseRemoteID(q.text); err == nil {
		q.remoteID = b
		sense("the Remote-Id %s", q.text)
	}
	if id, ok := q.subnetsNamed(q.text); ok {
		q.subnet, q.ofSubnet = id, true
		sense("subnet %s", q.text)
	}
}

// match reports whether a lease fits. It is called under the lock of the leases.
func (q *query) match(b *lease.Binding) bool {
	switch {
	case q.ofSubnet && b.Subnet == q.subnet,
		q.hwAddr != nil && (begins(b.HWAddr, q.hwAddr) || (q.hwAddr[0] == b.HWType && begins(b.HWAddr, q.hwAddr[1:]))),
		q.id != nil && len(b.Client) > 0 && b.Client[0] == lease.KeyIdentifier && hasID(b.Client[1:], q.id),
		q.id != nil && (attachment.Has(b.Point, attachment.InterfaceID, q.id) || b.HasRemoteID(q.id)),
		q.ipv6.IsValid() && (q.ipv6.Contains(b.Source) || attachment.Behind(b.Point, q.ipv6)),
		q.prefix.IsValid() && q.prefix.Contains(b.Addr),
		q.interfaceID != nil && (attachment.Has(b.Point, attachment.InterfaceID, q.interfaceID) ||
			bytes.Equal(identifier(b.Remote()), q.interfaceID)),
		q.unquoted != nil && attachment.Has(b.Point, attachment.InterfaceID, q.unquoted),
		q.remoteID != nil && b.HasRemoteID(q.remoteID):
		return true
	}
	return false
}

// ethernet is the length of a hardware address that is complete, in octets.
const ethernet = 6

// begins reports whether an identifier is what was typed or, if that is long enough to tell
// something, begins with it.
func begins(id, typed []byte) bool {
	return (len(typed) > 0 && bytes.Equal(id, typed)) || (len(typed) >= beginning && bytes.HasPrefix(id, typed))
}

// identifier returns a Remote-Id without its enterprise number, which few people know.
func identifier(remoteID []byte) []byte { return remoteID[min(len(remoteID), lease.MinRemoteID-1):] }

// hasID reports whether a client identifier begins with what was typed, or has a DUID that does
// (RFC 4361 section 6.1: 255, four octets of IAID, the DUID).
func hasID(client, typed []byte) bool {
	const iaid = 1 + 4
	return begins(client, typed) || (len(client) > iaid && client[0] == 255 && begins(client[iaid:], typed))
}

// find copies up to a page of leases from a position on, and returns where to go on, if there may
// be more.
func (q *query) find(ctx context.Context, all Leases, at leases.Cursor,
	into *lease.Batch) (next *leases.Cursor, err error) {
	if q.address.IsValid() {
		all.Get(q.address, into)
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	var found lease.Batch
	for {
		found.Reset()
		next, err := all.Scan(at.Position, q.match, &found)
		if err != nil {
			return nil, err
		}
		records := found.Records[min(at.Skip, len(found.Records)):]
		room := perPage - len(into.Records)
		for i := range records[:min(room, len(records))] {
			into.Add(&records[i])
		}
		if len(records) > room {
			at.Skip += room
			return &at, nil
		}
		at = leases.Cursor{Position: next}
		switch {
		case next == 0:
			return nil, nil
		case len(into.Records) == perPage || ctx.Err() != nil:
			return &at, nil
		}
	}
}
