// Package durable proves that no acknowledged lease is lost. It kills dhcp4d under load, fills its
// disk, traces its system calls, and damages its store. The daemons are the binaries of make build.
package durable

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

var (
	server = netip.MustParseAddr("2001:db8:c::1")
	agent  = netip.MustParseAddr("2001:db8:c::2")
	link   = netip.MustParseAddr("2001:db8:7::1")
)

// subnets are the only subnet of the tests.
var subnets = []servers.Subnet{{
	ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/16"),
	First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.0.1.250"),
	Links: []netip.Prefix{netip.PrefixFrom(link, 64).Masked()},
}}

// rules make dhcp4d silent about addresses that it does not know, as package ackcheck wants it, and
// keep offers that no client took from blocking the small pool.
var rules = []string{"DHCP4D_AUTHORITATIVE=false", "DHCP4D_OFFER_HOLD=2s"}

// stores are the kinds of store on a disk. Every test runs for each of them.
var stores = []string{"pebble", "journal"}

// bench is a server host and a relay host, joined by a link.
type bench struct {
	t         *testing.T
	server    *netns.Host
	relay     *netns.Host
	config    servers.Config
	six, four *servers.Half
}

// newLab makes a network for a test that needs both daemons.
func newLab(t *testing.T) *netns.Lab {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	return lab
}

func newBench(t *testing.T) *bench {
	t.Helper()
	lab := newLab(t)
	b := &bench{t: t}
	var err error
	if b.server, err = lab.Host("server"); err != nil {
		t.Fatal(err)
	}
	if b.relay, err = lab.Host("relay"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netns.End{Host: b.server, Name: "core", Addresses: []netip.Prefix{netip.PrefixFrom(server, 64)}},
		relayEnd(b.relay)); err != nil {
		t.Fatal(err)
	}
	b.config = servers.Config{
		Dir: t.TempDir(), Interfaces: []string{"core"}, Relays: []netip.Prefix{netip.PrefixFrom(agent, 128)}, Quiet: true,
		Subnets: subnets, Env: slices.Clone(rules),
	}
	return b
}

// relayEnd is the end of the relay's link to the servers.
func relayEnd(relay *netns.Host) netns.End {
	return netns.End{Host: relay, Name: "up", Addresses: []netip.Prefix{netip.PrefixFrom(agent, 64)}}
}

func (b *bench) start() {
	b.t.Helper()
	b.start4()
	var err error
	if b.six, err = servers.StartV6(b.server, servers.Ours, b.config, false); err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if b.t.Failed() {
			b.t.Logf("dhcp6d said:\n%s\ndhcp4d said:\n%s", b.six.Output(), b.four.Output())
		}
	})
}

func (b *bench) start4() {
	b.t.Helper()
	var err error
	if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
		b.t.Fatal(err)
	}
}

// crowd makes a crowd of clients behind the relay. A bench can have only one at a time.
func (b *bench) crowd(c ackcheck.Config) *ackcheck.Crowd {
	b.t.Helper()
	socket, err := netns.In(b.relay, func() (*client.Socket, error) {
		return client.Listen("up", netip.AddrPortFrom(agent, 547))
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	c.Socket, c.Server, c.Link = socket, server, link
	w, err := ackcheck.New(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

// load starts the crowd. The function that it returns stops the crowd and checks for faults.
func (b *bench) load(w *ackcheck.Crowd) (stop func()) {
	end := b.run(w)
	return func() {
		end()
		b.faultless(w)
	}
}

// run starts the crowd. The function that it returns stops it.
func (b *bench) run(w *ackcheck.Crowd) (stop func()) {
	ctx, cancel := context.WithCancel(b.t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.Run(ctx); err != nil {
			b.t.Error(err)
		}
	})
	return func() {
		cancel()
		running.Wait()
	}
}

// faultless fails the test if a client was given what another one has, or was refused its own.
func (b *bench) faultless(w *ackcheck.Crowd) {
	b.t.Helper()
	for i, f := range w.Faults() {
		if i == 10 {
			b.t.Errorf("and %d more faults", len(w.Faults())-i)
			break
		}
		b.t.Error(f)
	}
	if b.t.Failed() {
		b.t.FailNow()
	}
}

// await waits until ok returns true, and fails the test if that takes too long. It does not ask
// more often, because a daemon spends a tenth of a processor on scrapes, and then delays them.
func (b *bench) await(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited a minute in vain for %s", what)
		}
	}
}

// rounds returns the number in an environment variable, or usual if it is not set.
func rounds(t *testing.T, variable string, usual int) int {
	t.Helper()
	v := os.Getenv(variable)
	if v == "" {
		return usual
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}
