package page

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

const (
	perPage  = 50          // leases of a page
	scanTime = time.Second // for which a page looks for leases; the next one goes on
)

// query is what somebody has typed, in every sense that it can have. A lease that fits one of them
// is found.
type query struct {
	text         string
	address      netip.Addr
	hwAddr, id   []byte
	interfaceID  []byte
	remoteID     []byte
	place        netip.Prefix // IPv6: the source, or the link-address of the relay
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
		q.place = netip.PrefixFrom(a.WithZone(""), 128)
	} else if p, err := netip.ParsePrefix(q.text); err == nil {
		q.place = p.Masked()
	}
	if q.place.IsValid() {
		sense("the IPv6 source or link-address %v", q.place)
	}
	if b, err := octets.ParseHWAddress(q.text); err == nil {
		q.hwAddr = b
		sense("the hardware address %s", octets.AppendHex(nil, b))
	}
	if b, err := octets.ParseHex(q.text); err == nil {
		q.id = b
		sense("the client identifier %s", octets.AppendHex(nil, b))
	}
	if b, err := octets.Parse(q.text); err == nil {
		q.interfaceID = b
		sense("the Interface-Id %s", octets.Show(b))
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
		q.hwAddr != nil && bytes.Equal(b.HWAddr, q.hwAddr),
		q.id != nil && len(b.Client) > 0 && b.Client[0] == lease.KeyIdentifier && bytes.Equal(b.Client[1:], q.id),
		q.place.IsValid() && (q.place.Contains(b.Source) || attachment.Behind(b.Point, q.place)),
		q.prefix.IsValid() && q.prefix.Contains(b.Addr),
		q.interfaceID != nil && attachment.Has(b.Point, attachment.InterfaceID, q.interfaceID),
		q.remoteID != nil && attachment.Has(b.Point, attachment.RemoteID, q.remoteID):
		return true
	}
	return false
}

// find copies up to a page of leases from a place on, and returns where to go on, if there may be
// more.
func (q *query) find(ctx context.Context, all Leases, at leases.Cursor, into *lease.Batch) (next *leases.Cursor, err error) {
	if q.address.IsValid() {
		all.Get(q.address, into)
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	var found lease.Batch
	for {
		found.Reset()
		place, err := all.Scan(at.Place, q.match, &found)
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
		at = leases.Cursor{Place: place}
		switch {
		case place == 0:
			return nil, nil
		case len(into.Records) == perPage || ctx.Err() != nil:
			return &at, nil
		}
	}
}
