package main

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
)

// A line is what is printed for one change.
type line struct {
	Time    time.Time    `json:"time"`
	Event   client.Event `json:"event"`
	Address netip.Addr   `json:"address,omitzero"`
	Mask    int          `json:"mask,omitempty"`
	Server  netip.Addr   `json:"server,omitzero"`
	From    netip.Addr   `json:"from,omitzero"`
	Seconds int64        `json:"lease_seconds,omitempty"`
	T1      int64        `json:"t1_seconds,omitempty"`
	T2      int64        `json:"t2_seconds,omitempty"`
	Routers []net.IP     `json:"routers,omitempty"`
	DNS     []net.IP     `json:"dns,omitempty"`
	Domain  string       `json:"domain,omitempty"`
	// Servers are those of option 88, if the client has just learned them.
	Servers []netip.Addr `json:"servers,omitempty"`
	// Prefix is one that a DHCPv6 server has just delegated.
	Prefix netip.Prefix `json:"prefix,omitzero"`
}

func newLine(e client.Event, l *client.Lease, servers []netip.Addr) line {
	x := line{Time: time.Now().Round(time.Millisecond), Event: e}
	if e == client.Learned {
		x.Servers = servers
	}
	if l == nil || e == client.Learned {
		return x
	}
	m := l.Response.DHCPv4
	x.Address, x.Mask, x.Server, x.From = l.Address, l.Mask, l.Server, l.Response.From.Addr()
	x.Seconds, x.T1, x.T2 = seconds(l.Duration), seconds(l.T1), seconds(l.T2)
	x.Routers, x.DNS, x.Domain = m.Router(), m.DNS(), m.DomainName()
	return x
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

func (x line) String() string {
	switch {
	case x.Prefix.IsValid():
		return fmt.Sprintf("%s IPv6 prefix %v", x.Event, x.Prefix)
	case len(x.Servers) > 0:
		return fmt.Sprintf("%s 4o6 servers %v", x.Event, x.Servers)
	case !x.Address.IsValid():
		return fmt.Sprintf("%s option 88: no 4o6 here", x.Event)
	}
	return fmt.Sprintf("%s %s/%d for %s from server %s at %s, routers %v, DNS %v", x.Event, x.Address, x.Mask,
		time.Duration(x.Seconds)*time.Second, x.Server, x.From, x.Routers, x.DNS)
}
