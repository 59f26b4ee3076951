package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
)

const (
	resolveEvery  = 10 * time.Second
	lookupTimeout = 2 * time.Second
	sayAgain      = 10 * time.Minute // how often it is said that a name still cannot be resolved
)

// resolver turns a name into addresses; net.DefaultResolver is one.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// naming is what is known of the name of a DHCPv6 server.
type naming struct {
	addrs   []netip.Addr
	failing bool
	said    time.Time // when it was last said that the name cannot be resolved
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

// placesLocked returns where the DHCPv6 servers are: of a name all addresses that it stands for.
func (d *instance) placesLocked(servers []config.DHCPv6Server) (places []netip.AddrPort) {
	add := func(place netip.AddrPort) {
		if !slices.Contains(places, place) && len(places) < config.MaxDHCPv6Servers {
			places = append(places, place)
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
	return places
}

// runNames looks up the names of the DHCPv6 servers until ctx ends. It is a goroutine of its own,
// so that no packet waits for a name server.
func (d *instance) runNames(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(resolveEvery):
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

// replaceServersLocked puts the places of the DHCPv6 servers into effect.
func (d *instance) replaceServersLocked() {
	places := d.placesLocked(d.config.DHCPv6Servers)
	servers, err := passTo(d.config, places, d.link.Interfaces, d.passed)
	if err != nil {
		d.rt.Log.Error("the addresses of the DHCPv6 servers have changed, and the old ones stay", "error", err)
		return
	}
	set := *d.settings.Load()
	set.Servers = servers
	d.settings.Store(&set)
	d.passed.Keep(places)
	d.rt.Log.Info("the names of the DHCPv6 servers stand for other addresses", "servers", places)
}

// lookup is what the lookup of a name gave.
type lookup struct {
	addrs []netip.Addr
	err   error
}

// lookUp looks up names, all at the same time.
func (d *instance) lookUp(ctx context.Context, names []string) map[string]lookup {
	results := make([]lookup, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() { results[i].addrs, results[i].err = addressesOf(ctx, d.resolver, name) })
	}
	all.Wait()
	found := map[string]lookup{}
	for i, name := range names {
		found[name] = results[i]
	}
	return found
}

// addressesOf returns the addresses of a name that a DHCPv6 server can have, in order.
func addressesOf(ctx context.Context, r resolver, name string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := r.LookupNetIP(ctx, "ip6", name)
	found = slices.DeleteFunc(found, func(a netip.Addr) bool { return !config.IsDHCPv6Server(a) })
	if err == nil && len(found) == 0 {
		err = errors.New("the name stands for no global or unique local IPv6 address")
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), err
}

// takeLocked takes what lookups gave, and reports whether an address has changed. A name that
// cannot be resolved keeps the addresses that it had.
func (d *instance) takeLocked(found map[string]lookup, now time.Time) (changed bool) {
	if d.names == nil {
		d.names = map[string]naming{}
	}
	for name, l := range found {
		n := d.names[name]
		switch {
		case l.err == nil && n.failing:
			n.failing = false
			d.rt.Log.Info("the name of a DHCPv6 server can be resolved again", "host", name)
		case l.err != nil && (!n.failing || now.Sub(n.said) >= sayAgain):
			n.failing, n.said = true, now
			d.rt.Log.Warn("the name of a DHCPv6 server cannot be resolved", "host", name, "error", l.err,
				"remedy", "correct the name in DHCP6D_DHCPV6_SERVERS, or the resolver of this host; it is looked up again and again")
		}
		if l.err == nil && !slices.Equal(l.addrs, n.addrs) {
			n.addrs, changed = l.addrs, true
		}
		d.names[name] = n
	}
	return changed
}
