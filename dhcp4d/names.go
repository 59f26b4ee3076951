package main

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	resolveEvery  = 10 * time.Second
	resolveSoon   = time.Second // the pause after the first failure; it doubles up to resolveEvery
	lookupTimeout = 2 * time.Second
	logAgain      = 10 * time.Minute // how often it is said that a name still cannot be resolved
)

// resolver turns a name into addresses; net.DefaultResolver is one.
type resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// naming is what is known of the name of a peer.
type naming struct {
	addrs   []netip.Addr // without zones
	failing bool
	said    time.Time // when it was last said that the name cannot be resolved
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
		wait := resolveEvery
		if l.unresolved() {
			wait, pause = pause, min(2*pause, resolveEvery)
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
	found := make([][]netip.Addr, len(hosts))
	failed := make([]error, len(hosts))
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() { found[i], failed[i] = l.lookup(ctx, host) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]naming)
	changed := false
	for _, host := range l.hostsLocked() {
		n := l.names[host]
		if i := slices.Index(hosts, host); i >= 0 {
			l.logResolved(host, &n, failed[i], now)
			if failed[i] == nil && !slices.Equal(found[i], n.addrs) {
				n.addrs, changed = found[i], true
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
	switch {
	case err == nil && n.failing:
		n.failing = false
		l.log.Info("the name of a dhcp6d can be resolved again", "host", host)
	case err != nil && (!n.failing || now.Sub(n.said) >= logAgain):
		n.failing, n.said = true, now
		l.log.Warn("the name of a dhcp6d cannot be resolved", "host", host, "error", err,
			"remedy", "correct the name in DHCP4D_IPC_PEERS, or the resolver of this host; "+
				"it is looked up again and again")
	}
}

// lookup returns the addresses of a host that datagrams to us can come from, in order.
func (l *link) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := l.resolver.LookupNetIP(ctx, l.network, host)
	for i, a := range found {
		found[i] = a.Unmap()
	}
	found = slices.DeleteFunc(found,
		func(a netip.Addr) bool { return a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() })
	if err == nil && len(found) == 0 {
		err = errors.New("the name stands for no address that can be used")
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), err
}
