// Package resolve looks up the names of hosts that a configuration has. A daemon does so again and
// again, because the addresses of a name change while the daemon runs.
package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// Every is how often a name is looked up again.
	Every = 10 * time.Second
	// LogAgain is how often it is logged that a name still cannot be resolved.
	LogAgain = 10 * time.Minute

	timeout = 2 * time.Second // of one lookup
)

// Resolver turns a name into addresses; net.DefaultResolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Lookup is a way to look up names.
type Lookup struct {
	Resolver Resolver
	Network  string                // of the addresses: ip4, ip6, or ip for both
	Usable   func(netip.Addr) bool // reports whether an address can be used; nil: each can
	Wanted   string                // what usable addresses are, for errors: "no global IPv6 address"
}

// Answer is what the lookup of one name gave: at least one address, or an error.
type Answer struct {
	Addrs []netip.Addr // each once, in the order of the resolver
	Err   error
}

// All looks up hosts, all at the same time.
func (l Lookup) All(ctx context.Context, hosts []string) map[string]Answer {
	answers := make([]Answer, len(hosts))
	var all sync.WaitGroup
	for i, host := range hosts {
		all.Go(func() { answers[i] = l.one(ctx, host) })
	}
	all.Wait()
	byHost := make(map[string]Answer, len(hosts))
	for i, host := range hosts {
		byHost[host] = answers[i]
	}
	return byHost
}

// one looks up a host.
func (l Lookup) one(ctx context.Context, host string) (a Answer) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	found, err := l.Resolver.LookupNetIP(ctx, l.Network, host)
	if err != nil {
		return Answer{Err: err}
	}
	for _, addr := range found {
		addr = addr.Unmap()
		if (l.Usable == nil || l.Usable(addr)) && !slices.Contains(a.Addrs, addr) {
			a.Addrs = append(a.Addrs, addr)
		}
	}
	if len(a.Addrs) == 0 {
		a.Err = errors.New("the name stands for " + l.Wanted)
	}
	return a
}

// Trouble is what was logged of one name that cannot be resolved.
type Trouble struct {
	failing bool
	logged  time.Time
}

// News is what is to be logged of a name.
type News int

// The zero value is that nothing is to be logged.
const (
	NoNews   News = iota
	Fails         // the name cannot be resolved, since now or for a long time
	Recovers      // the name can be resolved again
)

// Note takes the error of a lookup, nil if there was none, and returns what is to be logged.
func (t *Trouble) Note(err error, now time.Time) News {
	switch {
	case err == nil && t.failing:
		t.failing = false
		return Recovers
	case err != nil && (!t.failing || now.Sub(t.logged) >= LogAgain):
		t.failing, t.logged = true, now
		return Fails
	}
	return NoNews
}
