package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

// book is a resolver of a test: addresses by network and name.
type book map[string][]string

func (b book) LookupNetIP(_ context.Context, network, host string) (found []netip.Addr, err error) {
	for _, a := range b[network+" "+host] {
		found = append(found, netip.MustParseAddr(a))
	}
	if len(found) == 0 {
		return nil, errors.New("no such host")
	}
	return found, nil
}

// peersOf is a configuration with peers as they are written, without keys.
func peersOf(t *testing.T, listen string, peers ...string) (c config.Config) {
	t.Helper()
	c.IPCListen = netip.MustParseAddrPort(listen)
	for _, text := range peers {
		var p config.Peer
		if err := p.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		c.IPCPeers = append(c.IPCPeers, p)
	}
	return c
}

// shown are the peers in order, as address and name.
func (l *link) shown() (list []string) {
	for at, p := range *l.peers.Load() {
		list = append(list, fmt.Sprint(at, " ", p.Name))
	}
	slices.Sort(list)
	return list
}

func TestNamesOfPeers(t *testing.T) {
	for _, c := range []struct {
		name, listen string
		peers        []string
		names        book
		want         []string
	}{
		{"all addresses of a name count", "[::]:6768", []string{"west@six.example:6767"},
			book{"ip six.example": {"2001:db8::6", "192.0.2.6", "2001:db8::66"}},
			[]string{"192.0.2.6:6767 west", "[2001:db8::66]:6767 west", "[2001:db8::6]:6767 west"}},
		{"beside addresses", "[2001:db8::4]:6768", []string{"[2001:db8::7]:6767", "Six.Example:6767"},
			book{"ip6 six.example": {"2001:db8::6"}},
			[]string{"[2001:db8::6]:6767 six.example:6767", "[2001:db8::7]:6767 [2001:db8::7]:6767"}},
		{"of the family that we listen in", "192.0.2.4:6768", []string{"six.example:6767"},
			book{"ip6 six.example": {"2001:db8::6"}, "ip4 six.example": {"::ffff:192.0.2.6"}},
			[]string{"192.0.2.6:6767 six.example:6767"}},
		{"of an address that two entries have the first counts", "[::]:6768", []string{"a@six.example:6767", "b@[2001:db8::6]:6767", "c@six.example:6000 kea"},
			book{"ip six.example": {"2001:db8::6"}},
			[]string{"[2001:db8::6]:6000 c", "[2001:db8::6]:6767 a"}},
		{"addresses that no datagram has do not", "[::]:6768", []string{"six.example:6767"},
			book{"ip six.example": {"fe80::1%eth0", "::", "ff02::1", "2001:db8::6"}},
			[]string{"[2001:db8::6]:6767 six.example:6767"}},
	} {
		t.Run("IPC-33 "+c.name, func(t *testing.T) {
			conf := peersOf(t, c.listen, c.peers...)
			l := newLink(conf, newEnd(conf), time.Now(), slog.New(slog.DiscardHandler))
			l.resolver = c.names
			l.resolve(t.Context(), time.Now())
			if got := l.shown(); !slices.Equal(got, c.want) {
				t.Errorf("%q\nwant %q", got, c.want)
			}
		})
	}
}

func TestNamesThatChange(t *testing.T) {
	var log strings.Builder
	names := book{}
	conf := peersOf(t, "[::]:6768", "six.example:6767")
	l := newLink(conf, newEnd(conf), time.Now(), slog.New(slog.NewTextHandler(&log, nil)))
	l.resolver = names
	now := time.Now()
	step := func(name string, after time.Duration, said int, want ...string) {
		t.Run("IPC-33 "+name, func(t *testing.T) {
			now = now.Add(after)
			l.resolve(t.Context(), now)
			if got := l.shown(); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if n := strings.Count(log.String(), "cannot be resolved"); n != said {
				t.Errorf("said %d times, want %d:\n%s", n, said, log.String())
			}
		})
	}
	step("a name that cannot be resolved is said", 0, 1)
	step("once", resolve.Every, 1)
	names["ip six.example"] = []string{"2001:db8::6"}
	step("it is looked up again", resolve.Every, 1, "[2001:db8::6]:6767 six.example:6767")
	kept := (*l.peers.Load())[netip.MustParseAddrPort("[2001:db8::6]:6767")].IPC
	names["ip six.example"] = []string{"2001:db8::66", "2001:db8::6"}
	step("an address more", resolve.Every, 1, "[2001:db8::66]:6767 six.example:6767", "[2001:db8::6]:6767 six.example:6767")
	if (*l.peers.Load())[netip.MustParseAddrPort("[2001:db8::6]:6767")].IPC != kept {
		t.Error("the session is lost")
	}
	delete(names, "ip six.example")
	step("what was known stays when the name server fails", resolve.Every, 2, "[2001:db8::66]:6767 six.example:6767", "[2001:db8::6]:6767 six.example:6767")
	step("which is said again after a while", resolve.LogAgain, 3, "[2001:db8::66]:6767 six.example:6767", "[2001:db8::6]:6767 six.example:6767")
	names["ip six.example"] = []string{"2001:db8::66"}
	step("an address less", resolve.Every, 3, "[2001:db8::66]:6767 six.example:6767")
	l.setPeers(peersOf(t, "[::]:6768", "[::1]:6767"))
	step("a reload forgets the name", 0, 3, "[::1]:6767 [::1]:6767")
	if !strings.Contains(log.String(), "can be resolved again") {
		t.Errorf("it is not said that the name can be resolved again:\n%s", log.String())
	}
}
