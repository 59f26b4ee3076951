package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/subnet"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// asker is who asks and from where, in the terms of the stages that want to
// know. Its slices lie in the query or in its own buffers, and are used again
// for the next query.
type asker struct {
	kind     dhcp4.MessageType
	where    subnet.Facts
	identity config.Identity
	traits   config.Traits
	client   []byte // key, see lease.AppendKey
	point    []byte // attachment point, see lease.AppendPoint
	source   netip.Addr

	// Options that came in pieces are put together here (RFC 3396).
	id, vendor, user, info [maxPieces]byte

	reply reply.Reply
}

// optUserClass is RFC 3004's.
const optUserClass = 77

// maxKey is the longest key of a client: what one option 61 can hold, and the
// kind octet. Longer ones come only in pieces (RFC 3396), from nobody honest.
const maxKey = 1 + 255

// maxPieces is the longest option that is put together from pieces; a longer
// one moves to the heap.
const maxPieces = 512

// read takes everything from a query that is about its client. The name is
// what match entries call the dhcp6d.
func (a *asker) read(f *ipc.Query, m *dhcp4.Message, name string) drop.Reason {
	var why drop.Reason
	if a.client, why = m.AppendClientKey(a.client[:0]); why != drop.None {
		return why
	}
	if len(a.client) > maxKey {
		return drop.NotDHCPv4
	}
	p, back := f.Packet(), f.Context()
	a.where = subnet.Facts{
		Relayed:   p.Relays() > 0,
		GIAddr:    m.GIAddr(),
		Source:    back.Source.Addr(),
		Interface: back.Interface,
		Peer:      name,
	}
	a.where.SubnetSelection, _ = m.Addr(dhcp4.OptSubnetSelection)
	if info, ok := m.RelayInfo(a.info[:0]); ok {
		a.where.LinkSelection, _ = info.LinkSelection()
	}
	a.source = back.Source.Addr()
	if n := p.Relays(); n > 0 {
		innermost := p.Relay(n - 1)
		a.where.LinkAddress = p.LinkAddress()
		a.where.InterfaceID = innermost.InterfaceID()
		a.where.RemoteID = innermost.RemoteID()
		a.where.SubscriberID = innermost.SubscriberID()
		a.source = innermost.PeerAddress()
	}
	a.point = a.appendPoint(a.point[:0])

	a.identity = config.Identity{
		HWType: m.HType(), HWAddr: m.CHAddr(),
		LinkAddress: a.where.LinkAddress, InterfaceID: a.where.InterfaceID, RemoteID: a.where.RemoteID,
	}
	a.identity.ClientID, _ = m.Option(dhcp4.OptClientIdentifier, a.id[:0])
	a.traits = config.Traits{HWAddr: m.CHAddr()}
	a.traits.VendorClass, _ = m.Option(dhcp4.OptVendorClass, a.vendor[:0])
	a.traits.UserClass, _ = m.Option(optUserClass, a.user[:0])
	return drop.None
}

// appendPoint appends the attachment point: the link and what names the port
// on it, or the client itself where nothing is between it and dhcp6d.
func (a *asker) appendPoint(dst []byte) []byte {
	w := &a.where
	link := w.LinkAddress
	if !link.IsValid() {
		link = netip.IPv6Unspecified()
	}
	switch {
	case !w.Relayed:
		return lease.AppendPoint(dst, lease.PointDirect, w.Source, w.Interface)
	case w.InterfaceID != nil:
		return lease.AppendPoint(dst, lease.PointInterfaceID, link, w.InterfaceID)
	case w.RemoteID != nil:
		return lease.AppendPoint(dst, lease.PointRemoteID, link, w.RemoteID)
	}
	peer := a.source.As16()
	return lease.AppendPoint(dst, lease.PointPeer, link, peer[:])
}

// fill puts the query into the terms of the rules.
func (a *asker) fill(q *lease.Query, position int, m *dhcp4.Message, reserved *config.Reservation) {
	*q = lease.Query{
		Type:   byte(m.Type()),
		Subnet: position,
		CIAddr: m.CIAddr(),
		V6Only: m.Requested(dhcp4.OptIPv6OnlyPreferred),
		Client: a.client, HWType: m.HType(), HWAddr: m.CHAddr(), Point: a.point, Source: a.source,
	}
	q.Requested, _ = m.Addr(dhcp4.OptRequestedAddress)
	q.ServerID, _ = m.Addr(dhcp4.OptServerIdentifier)
	q.Wish, q.HasWish = m.Uint32(dhcp4.OptLeaseTime)
	if reserved != nil {
		q.Reservation, q.ByPoint = reserved.Addr, reserved.ByPoint
	}
}

// chainLength is what the Relay-reply levels around a response take, without
// the response: for each 34 octets of header, 4 for the Relay Message option,
// and the options that are mirrored (RFC 9915 section 19.3, RFC 8357).
func chainLength(p *dhcp6.Packet) int {
	n := 0
	for i := range p.Relays() {
		l := p.Relay(i)
		n += 34 + 4
		if id := l.InterfaceID(); id != nil {
			n += 4 + len(id)
		}
		if _, ok := l.RelayPort(); ok {
			n += 4 + 2
		}
	}
	return n
}
