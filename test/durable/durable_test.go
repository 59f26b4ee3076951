// Package durable proves that no acknowledged lease is lost. It kills dhcp4d under load, fills its
// disk, traces its system calls, and damages its store. The daemons are the binaries of make build.
package durable

import (
	"context"
	"net/netip"
	"os"
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

// stores are those on a disk. Every proof is made for each of them.
var stores = []string{"pebble", "journal"}

// bench is a server host and a relay host, joined by a link.
type bench struct {
	t         *testing.T
	server    *netns.Host
	relay     *netns.Host
	config    servers.Config
	six, four *servers.Half
}

func newBench(t *testing.T) *bench {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	b := &bench{t: t}
	var err error
	if b.server, err = lab.Host("server"); err != nil {
		t.Fatal(err)
	}
	if b.relay, err = lab.Host("relay"); err != nil {
		t.Fatal(err)
	}
	if err := lab.Link(netns.End{Host: b.server, Name: "core", Addresses: []netip.Prefix{netip.PrefixFrom(server, 64)}},
		netns.End{Host: b.relay, Name: "up", Addresses: []netip.Prefix{netip.PrefixFrom(agent, 64)}}); err != nil {
		t.Fatal(err)
	}
	b.config = servers.Config{
		Dir: t.TempDir(), Interfaces: []string{"core"}, Relays: []netip.Prefix{netip.PrefixFrom(agent, 128)}, Quiet: true,
		Subnets: []servers.Subnet{{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/16"),
			First: netip.MustParseAddr("10.0.0.10"), Last: netip.MustParseAddr("10.0.1.250"), Links: []netip.Prefix{netip.PrefixFrom(link, 64).Masked()}}},
		// The server is silent about addresses that it does not know (see package ackcheck), and
		// offers that no client took do not block the small pool.
		Env: []string{"DHCP4D_AUTHORITATIVE=false", "DHCP4D_OFFER_HOLD=2s"},
	}
	return b
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

// crowd makes a crowd. There is one at a time.
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

// load starts the crowd, and returns a function that stops it and checks that there was no fault.
func (b *bench) load(w *ackcheck.Crowd) (stop func()) {
	end := b.run(w)
	return func() {
		end()
		b.faultless(w)
	}
}

// run starts the crowd, and returns a function that stops it.
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

func (b *bench) faultless(w *ackcheck.Crowd) {
	b.t.Helper()
	for i, f := range w.Faults() {
		if i == 10 {
			b.t.Errorf("and %d more", len(w.Faults())-i)
			break
		}
		b.t.Error(f)
	}
	if b.t.Failed() {
		b.t.FailNow()
	}
}

// await waits until ok returns true, and fails the test if that takes too long.
func (b *bench) await(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("never came true: %s", what)
		}
	}
}

// rounds is the number that an environment variable gives, else one that a test run can wait for.
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
