package e2e

import (
	"bytes"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestDatagramsForTheOtherDhcp6d: what is for one dhcp6d, or from it, does not count for the other,
// from whatever address it comes, and as often as it comes. Both are configured alike.
func TestDatagramsForTheOtherDhcp6d(t *testing.T) {
	t.Parallel()
	s := start2(t, "access")
	one, two, four := netip.MustParseAddrPort("[2001:db8:b::1]:6767"), netip.MustParseAddrPort("[2001:db8:b::2]:6767"), netip.MustParseAddrPort("[2001:db8:b::4]:6768")
	halves := map[netip.AddrPort]*servers.Half{one: s.one, two: s.two, four: s.four}
	ports := map[netip.AddrPort]*os.File{}
	macs := map[netip.AddrPort][]byte{}
	for at, h := range halves {
		var err error
		if ports[at], err = netns.In(h.Host, func() (*os.File, error) { return ethernet.OpenPort("back", ethernet.BothDirections) }); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ports[at].Close() })
		if macs[at], err = h.Host.HardwareAddr("back"); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var heard []ethernet.Datagram
	go func() {
		frame := make([]byte, 1<<16)
		for {
			n, err := ports[four].Read(frame)
			if err != nil {
				return
			}
			if d, ok := ethernet.Decode(bytes.Clone(frame[:n])); ok && (d.Source == four || d.Destination == four) {
				mu.Lock()
				heard = append(heard, d)
				mu.Unlock()
			}
		}
	}()
	c := s.client(topology.Multicast, 1, client.Options{})
	lease := s.obtain(c)
	if err := c.Release(lease); err != nil { // a recorded RELEASE would end the next lease
		t.Fatal(err)
	}
	lease = s.obtain(c)
	s.addUp()
	time.Sleep(1200 * time.Millisecond) // more probes
	mu.Lock()
	recorded := slices.Clone(heard)
	mu.Unlock()

	relayed := func() float64 {
		return s.sum(s.one, "dhcp6d_responses_relayed_total") + s.sum(s.two, "dhcp6d_responses_relayed_total")
	}
	taken := func() float64 {
		return s.sum(s.four, "dhcp4d_queries_received_total") - s.sum(s.four, "dhcp4d_packets_dropped_total")
	}
	before, tookBefore := relayed(), taken()
	refused := func(h *servers.Half) float64 {
		return s.sum(h, `dhcp6d_packets_dropped_total{reason="unauthentic",socket="ipc"}`, `dhcp4d_packets_dropped_total{reason="unauthentic",socket="ipc"}`)
	}
	refusedBefore := map[netip.AddrPort]float64{}
	for at, h := range halves {
		refusedBefore[at] = refused(h)
	}
	other := map[netip.AddrPort]netip.AddrPort{one: two, two: one}
	sent := map[netip.AddrPort]float64{}
	for range 2 {
		for _, d := range recorded {
			from := four
			if d.Source == four {
				d.Destination = other[d.Destination]
			} else {
				d.Source = other[d.Source]
				from = d.Source
			}
			d.SourceMAC, d.DestinationMAC = macs[from], macs[d.Destination]
			if _, err := ports[from].Write(d.Encode()); err != nil {
				t.Fatal(err)
			}
			sent[d.Destination]++
			time.Sleep(100 * time.Microsecond)
		}
	}
	for at, h := range halves {
		if sent[at] < 10 {
			t.Errorf("only %v datagrams were sent to %v", sent[at], at)
		}
		var got float64
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && got < sent[at]; time.Sleep(20 * time.Millisecond) {
			got = refused(h) - refusedBefore[at]
		}
		// dhcp4d answers greetings that are not fresh, and a dhcp6d refuses these answers too.
		if got < sent[at] || (at == four && got > sent[at]) {
			t.Errorf("%v: of %v datagrams for the other, %v were refused", at, sent[at], got)
		}
	}
	if after := relayed(); after != before {
		t.Errorf("%v responses were relayed, now %v", before, after)
	}
	if after := taken(); after != tookBefore {
		t.Errorf("%v queries were taken, now %v", tookBefore, after)
	}
	for _, h := range []*servers.Half{s.one, s.two} {
		s.series(h, "dhcp6d_ipc_backend_up", is(1))
	}
	if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
		t.Errorf("renewal after all: %v, %v", l, err)
	}
}
