package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// asker is the client of a query and where it is, in the terms of each stage. Its slices lie in the
// query or in buffers of its own, which the next query reuses.
type asker struct {
	kind     dhcp4.MessageType
	where    network.Facts
	identity network.Identity
	path     attachment.Path
	client   []byte        // key, see lease.AppendKey
	alias    []byte        // the key of the client identifier, where that is ignored, else empty
	point    []byte        // attachment point
	counted  []byte        // the same, where leases are counted by a name
	serverID netip.Addr    // of option 82: how the client is to know us (RFC 5107)
	agent    network.Agent // of option 82, whoever wrote it

	reply reply.Reply
}

// maxKey is the most octets of a client's key: the kind octet and one whole option 61. Only a split
// option (RFC 3396) could be longer, and no honest client sends that.
const maxKey = 1 + 255

// locate notes which way a query came.
func (a *asker) locate(f *ipc.Query, from *Peer) {
	p, back := f.Packet(), f.Context()
	a.path = attachment.Path{Packet: p, Believed: p.Relays(), Source: back.Source.Addr(), Interface: back.Interface, Server: from.Name}
	if !from.Kea {
		// A kea-dhcp6 does not say, and passes on what its clients say.
		a.path.Believed = max(0, p.Relays()-int(back.Unbelieved))
	}
}

// read notes everything else that a query says about its client.
func (a *asker) read(m *dhcp4.Message) drop.Reason {
	var why drop.Reason
	if a.client, why = m.AppendClientKey(a.client[:0]); why != drop.None {
		return why
	}
	if len(a.client) > maxKey {
		return drop.NotDHCPv4
	}
	a.alias = a.alias[:0]
	a.where = network.Facts{GIAddr: m.GIAddr()}
	a.where.Locate(&a.path)
	a.where.SubnetSelection, _ = m.Addr(dhcp4.OptSubnetSelection)
	a.serverID, a.agent = netip.Addr{}, network.Agent{}
	if info, ok := m.RelayInfo(); ok {
		a.where.LinkSelection, _ = info.LinkSelection()
		a.serverID, _ = info.ServerID()
		a.agent.CircuitID, _ = info.Sub(dhcp4.SubCircuitID)
		a.agent.RemoteID, _ = info.Sub(dhcp4.SubRemoteID)
		a.agent.Link = a.where.LinkSelection
	}
	a.point = a.path.AppendPoint(a.point[:0])

	a.identity = network.Identity{
		HWType: m.HType(), HWAddr: m.CHAddr(),
		LinkAddress: a.where.LinkAddress, InterfaceID: a.where.InterfaceID, RemoteID: a.where.RemoteID,
	}
	a.identity.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
	return drop.None
}

// ignoreID makes the hardware address alone the client, if there is one.
func (a *asker) ignoreID(m *dhcp4.Message) {
	if a.identity.ClientID == nil || len(a.identity.HWAddr) == 0 {
		return
	}
	a.identity.ClientID = nil
	a.alias = append(a.alias, a.client...)
	a.client = lease.AppendKey(a.client[:0], nil, m.HType(), a.identity.HWAddr)
}

// regain takes back what ignoreID has done.
func (a *asker) regain(m *dhcp4.Message) {
	if len(a.alias) == 0 {
		return
	}
	a.client = append(a.client[:0], a.alias...)
	a.alias = a.alias[:0]
	a.identity.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
}

// countBy has the leases of the client counted by a name in place of its attachment point.
func (a *asker) countBy(q *lease.Query, name []byte) {
	a.counted = attachment.AppendCount(a.counted[:0], a.point, name)
	q.Point = a.counted
}

// fill sets the query in the terms of package lease.
func (a *asker) fill(q *lease.Query, position int, m *dhcp4.Message, reserved *network.Reservation) {
	*q = lease.Query{
		Type:   m.Type(),
		Subnet: position,
		CIAddr: m.CIAddr(),
		V6Only: m.Requested(dhcp4.OptIPv6OnlyPreferred),
		Client: a.client, HWType: m.HType(), HWAddr: m.CHAddr(), Point: a.point, Source: a.path.Client(),
	}
	if len(a.alias) > 0 {
		q.Alias = a.alias
	}
	q.Requested, _ = m.Addr(dhcp4.OptRequestedAddress)
	q.ServerID, _ = m.Addr(dhcp4.OptServerIdentifier)
	q.Wish, q.HasWish = m.Uint32(dhcp4.OptLeaseTime)
	if reserved != nil {
		q.Reservation, q.ByPoint, q.ByHardware, q.ByFlex = reserved.Addr, reserved.ByPoint(), reserved.ByHardware(), reserved.ByFlex()
	}
}
