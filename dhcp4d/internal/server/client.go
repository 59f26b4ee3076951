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

// client says which client has sent a query, and from where, in the terms of each stage. Its slices
// lie in the query, or in buffers that the next query uses again.
type client struct {
	kind     dhcp4.MessageType
	where    network.Facts
	identity network.Identity
	path     attachment.Path
	key      []byte        // see lease.AppendKey
	alias    []byte        // the key of the client identifier if that is ignored, else empty
	point    []byte        // attachment point
	counted  []byte        // the name that the limit counts by, see countBy
	serverID netip.Addr    // of option 82: how the client is to know us (RFC 5107)
	agent    network.Agent // of option 82, whoever wrote it

	reply reply.Reply
}

// maxKey is the most octets of a client's key: the kind octet and one whole option 61. Only a split
// option (RFC 3396) could be longer, and no honest client sends that.
const maxKey = 1 + 255

// locate sets the path of the query.
func (c *client) locate(f *ipc.Query, from *Peer) {
	p, back := f.Packet(), f.Context()
	c.path = attachment.Path{Packet: p, Believed: p.Relays(), Source: back.Source.Addr(), Interface: back.Interface,
		Server: from.Name}
	if !from.Kea {
		// A kea-dhcp6 does not tell how many levels it believes. It forwards what clients send.
		c.path.Believed = max(0, p.Relays()-int(back.Unbelieved))
	}
}

// read sets everything else that a query says about its client.
func (c *client) read(m *dhcp4.Message) drop.Reason {
	var why drop.Reason
	if c.key, why = m.AppendClientKey(c.key[:0]); why != drop.None {
		return why
	}
	if len(c.key) > maxKey {
		return drop.NotDHCPv4
	}
	c.alias = c.alias[:0]
	c.where = network.Facts{GIAddr: m.GIAddr()}
	c.where.Locate(&c.path)
	c.where.SubnetSelection, _ = m.Addr(dhcp4.OptSubnetSelection)
	c.serverID, c.agent = netip.Addr{}, network.Agent{}
	if info, ok := m.RelayInfo(); ok {
		c.where.LinkSelection, _ = info.LinkSelection()
		c.serverID, _ = info.ServerID()
		c.agent.CircuitID, _ = info.Sub(dhcp4.SubCircuitID)
		c.agent.RemoteID, _ = info.Sub(dhcp4.SubRemoteID)
		c.agent.Link = c.where.LinkSelection
	}
	c.point = c.path.AppendPoint(c.point[:0])

	c.identity = network.Identity{
		HWType: m.HType(), HWAddr: m.CHAddr(),
		LinkAddress: c.where.LinkAddress, InterfaceID: c.where.InterfaceID, RemoteID: c.where.RemoteID,
	}
	c.identity.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
	return drop.None
}

// ignoreID makes the hardware address alone the client, if there is one.
func (c *client) ignoreID(m *dhcp4.Message) {
	if c.identity.ClientID == nil || len(c.identity.HWAddr) == 0 {
		return
	}
	c.identity.ClientID = nil
	c.alias = append(c.alias, c.key...)
	c.key = lease.AppendKey(c.key[:0], nil, m.HType(), c.identity.HWAddr)
}

// restoreID undoes ignoreID.
func (c *client) restoreID(m *dhcp4.Message) {
	if len(c.alias) == 0 {
		return
	}
	c.key = append(c.key[:0], c.alias...)
	c.alias = c.alias[:0]
	c.identity.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
}

// countBy makes the limit count the leases of the client by a name instead of its attachment point.
func (c *client) countBy(q *lease.Query, name []byte) {
	c.counted = attachment.AppendCount(c.counted[:0], c.point, name)
	q.Point = c.counted
}

// fill sets the query in the terms of package lease.
func (c *client) fill(q *lease.Query, position int, m *dhcp4.Message, reserved *network.Reservation) {
	*q = lease.Query{
		Type:   m.Type(),
		Subnet: position,
		CIAddr: m.CIAddr(),
		V6Only: m.Requested(dhcp4.OptIPv6OnlyPreferred),
		Client: c.key, HWType: m.HType(), HWAddr: m.CHAddr(), Point: c.point, Source: c.path.Client(),
	}
	if c.where.RemoteID != nil {
		q.RemoteID = lease.BesidePoint(c.point, c.where.RemoteID)
	}
	if len(c.alias) > 0 {
		q.Alias = c.alias
	}
	q.Requested, _ = m.Addr(dhcp4.OptRequestedAddress)
	q.ServerID, _ = m.Addr(dhcp4.OptServerIdentifier)
	q.Wish, q.HasWish = m.Uint32(dhcp4.OptLeaseTime)
	if reserved != nil {
		q.Reservation, q.ByPoint, q.ByHardware, q.ByFlex = reserved.Addr, reserved.ByPoint(), reserved.ByHardware(), reserved.ByFlex()
	}
}
