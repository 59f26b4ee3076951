package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

// naming is what is known of the name of a DHCPv6 server.
type naming struct {
	addrs   []netip.Addr // in order
	trouble resolve.Trouble
}

// hosts are the names among the DHCPv6 servers.
func hosts(servers []config.DHCPv6Server) (names []string) {
	for _, s := range servers {
		if !s.Addr.IsValid() && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
	}
	return names
}

// serverAddressesLocked returns the addresses of the DHCPv6 servers: of a name all that it stands
// for.
func (d *instance) serverAddressesLocked(servers []config.DHCPv6Server) (addresses []netip.AddrPort) {
	add := func(address netip.AddrPort) {
		if !slices.Contains(addresses, address) && len(addresses) < config.MaxDHCPv6Servers {
			addresses = append(addresses, address)
		}
	}
	for _, s := range servers {
		if s.Addr.IsValid() {
			add(s.Addr)
			continue
		}
		for _, a := range d.names[s.Name].addrs {
			add(netip.AddrPortFrom(a, s.Port))
		}
	}
	return addresses
}

// runNames looks up the names of the DHCPv6 servers until ctx ends. It is a goroutine of its own,
// so that no packet waits for a name server.
func (d *instance) runNames(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resolve.Every):
		}
		d.mu.Lock()
		names := hosts(d.config.DHCPv6Servers)
		d.mu.Unlock()
		found := d.lookUp(ctx, names)
		d.mu.Lock()
		if ctx.Err() == nil && d.takeLocked(found, time.Now()) {
			d.replaceServersLocked()
		}
		d.mu.Unlock()
	}
}

// replaceServersLocked puts the addresses of the DHCPv6 servers into effect.
func (d *instance) replaceServersLocked() {
	addresses := d.serverAddressesLocked(d.config.DHCPv6Servers)
	servers, err := passTo(d.config, addresses, d.link.Interfaces, d.passed)
	if err != nil {
		d.rt.Log.Error("the addresses of the DHCPv6 servers have changed, and the old ones stay", "error", err)
		return
	}
	set := *d.settings.Load()
	set.Servers = servers
	d.settings.Store(&set)
	d.passed.Keep(addresses)
	d.rt.Log.Info("the names of the DHCPv6 servers stand for other addresses", "servers", addresses)
}

// lookUp looks up names of DHCPv6 servers.
func (d *instance) lookUp(ctx context.Context, names []string) map[string]resolve.Answer {
	return resolve.Lookup{
		Resolver: d.resolver, Network: "ip6", Usable: config.IsDHCPv6Server, Wanted: "no global or unique local IPv6 address",
	}.All(ctx, names)
}

// takeLocked takes what lookups gave, and reports whether an address has changed. A name that
// cannot be resolved keeps the addresses that it had.
func (d *instance) takeLocked(found map[string]resolve.Answer, now time.Time) (changed bool) {
	if d.names == nil {
		d.names = map[string]naming{}
	}
	for name, answer := range found {
		n := d.names[name]
		switch n.trouble.Note(answer.Err, now) {
		case resolve.Recovers:
			d.rt.Log.Info("the name of a DHCPv6 server can be resolved again", "host", name)
		case resolve.Fails:
			d.rt.Log.Warn("the name of a DHCPv6 server cannot be resolved", "host", name, "error", answer.Err,
				"remedy", "correct the name in DHCP6D_DHCPV6_SERVERS, or the resolver of this host; it is looked up "+
					"again and again")
		}
		slices.SortFunc(answer.Addrs, netip.Addr.Compare)
		if answer.Err == nil && !slices.Equal(answer.Addrs, n.addrs) {
			n.addrs, changed = answer.Addrs, true
		}
		d.names[name] = n
	}
	return changed
}
