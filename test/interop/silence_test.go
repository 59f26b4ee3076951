package interop

import (
	"runtime"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestSilenceOfAKeaIsNoLoad checks that a Kea does not count as overloaded because it leaves
// DISCOVERs of a full subnet unanswered. Clients of another subnet are served.
func TestSilenceOfAKeaIsNoLoad(t *testing.T) {
	s := network(t, servers.Ours, servers.Kea)
	c := topology.Config(t.TempDir())
	c.Quiet = true
	full := topology.Relayed
	full.Last = full.First
	c.Subnets = []servers.Subnet{topology.Direct, full}
	if _, err := servers.StartV4(s.Server, servers.Kea, c); err != nil {
		t.Fatal(err)
	}
	c.Env = []string{"DHCP6D_IPC_BACKENDS=[::1]:6768 kea"}
	six, err := servers.StartV6(s.Server, servers.Ours, c, false)
	if err != nil {
		t.Fatal(err)
	}
	run := func(h *netns.Host, c load.Config) <-chan load.Report {
		done := make(chan load.Report, 1)
		go func() { // the goroutine's thread ends with it
			runtime.LockOSThread()
			r := load.Report{}
			err := h.Enter()
			if err == nil {
				r, err = load.Run(t.Context(), c, nil)
			}
			if err != nil {
				t.Error(err)
			}
			done <- r
		}()
		return done
	}
	behind := load.Config{Interface: "up", Local: topology.Relay1Core, Server: topology.ServerCore, Relays: 1, Link: topology.Relay1Lan,
		Timeout: 2 * time.Second, Clients: 50_000, Seed: 1}
	first := behind
	first.InFlight, first.Count = 1, 1
	if r := <-run(s.Relay1, first); r.Completed != 1 {
		t.Fatalf("the only address: %v", r)
	}
	behind.Rate, behind.Count, behind.Seed = 1500, 9000, 2
	flood := run(s.Relay1, behind)
	// On a busy machine their datagrams may be lost in a full socket, so they retransmit.
	for n := range 15 {
		c, socket, err := s.Client(topology.Multicast, 100+n, client.Options{Retransmit: quick})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Obtain(t.Context()); err != nil {
			t.Errorf("client %d of another subnet: %v", n, err)
		}
		socket.Close()
	}
	if r := <-flood; r.Started != uint64(behind.Count) || r.Completed > 0 {
		t.Errorf("%d exchanges were started and %d succeeded where there is no address", r.Started, r.Completed)
	}
	series, err := six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if n, ok := series[`dhcp6d_packets_dropped_total{reason="queue_full",socket="link"}`]; !ok || n > 0 {
		t.Errorf("%v queries were dropped as if the Kea were overloaded", n)
	}
}
