package main

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

// resolveSoon is the pause after the first failure. It doubles up to resolve.Every.
const resolveSoon = time.Second

// naming is what is known of the name of a peer.
type naming struct {
	addrs   []netip.Addr // in order, without zones
	trouble resolve.Trouble
}

// networkOf returns the network of the addresses that a socket bound to local hears.
func networkOf(local netip.Addr) string {
	switch {
	case local == netip.IPv6Unspecified():
		return "ip"
	case local.Unmap().Is4():
		return "ip4"
	}
	return "ip6"
}

// runNames looks up the names of peers until ctx ends. It is a goroutine of its own, so that
// nothing else waits for a name server.
func (l *link) runNames(ctx context.Context) error {
	pause := resolveSoon
	for {
		wait := resolve.Every
		if l.unresolved() {
			wait, pause = pause, min(2*pause, resolve.Every)
		} else {
			pause = resolveSoon
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.renamed:
		case <-time.After(wait):
		}
		l.resolve(ctx, time.Now())
	}
}

// unresolved reports whether a name stands for no address yet.
func (l *link) unresolved() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.hostsLocked(), func(host string) bool { return len(l.names[host].addrs) == 0 })
}

// hostsLocked returns the names among the hosts of the peers.
func (l *link) hostsLocked() (hosts []string) {
	for _, p := range l.configured {
		if !p.Addr().IsValid() && !slices.Contains(hosts, p.Host) {
			hosts = append(hosts, p.Host)
		}
	}
	return hosts
}

// resolve looks up all names at the same time. A name that cannot be resolved keeps the addresses
// that it had.
func (l *link) resolve(ctx context.Context, now time.Time) {
	l.mu.Lock()
	hosts := l.hostsLocked()
	l.mu.Unlock()
	found := resolve.Lookup{
		Resolver: l.resolver, Network: l.network, Usable: isSource, Wanted: "no address that can be used",
	}.All(ctx, hosts)
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]naming)
	changed := false
	for _, host := range l.hostsLocked() {
		n := l.names[host]
		if answer, asked := found[host]; asked {
			slices.SortFunc(answer.Addrs, netip.Addr.Compare)
			l.logResolved(host, &n, answer.Err, now)
			if answer.Err == nil && !slices.Equal(answer.Addrs, n.addrs) {
				n.addrs, changed = answer.Addrs, true
			}
		}
		next[host] = n
	}
	l.names = next
	if changed {
		l.publishLocked()
	}
}

// logResolved logs that a name cannot be resolved, from time to time, and that it can be again.
func (l *link) logResolved(host string, n *naming, err error, now time.Time) {
	switch n.trouble.Note(err, now) {
	case resolve.Recovers:
		l.log.Info("the name of a dhcp6d can be resolved again", "host", host)
	case resolve.Fails:
		l.log.Warn("the name of a dhcp6d cannot be resolved", "host", host, "error", err,
			"remedy", "correct the name in DHCP4D_IPC_PEERS, or the resolver of this host; "+
				"it is looked up again and again")
	}
}

// isSource reports whether datagrams to us can come from an address.
func isSource(a netip.Addr) bool { return a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast() }
