package interop

import (
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestAKeaWithoutItsMark configures a kea-dhcp4 as if it were a dhcp4d. It serves clients and does
// not flap, and dhcp6d says how to configure it.
func TestAKeaWithoutItsMark(t *testing.T) {
	s := network(t, servers.Ours, servers.Kea)
	c := topology.Config(t.TempDir())
	c.Quiet = true
	if _, err := servers.StartV4(s.Server, servers.Kea, c); err != nil {
		t.Fatal(err)
	}
	c.Env = []string{"DHCP6D_IPC_BACKENDS=[::1]:6768", "DHCP6D_LOG_LEVEL=info"}
	six, err := servers.StartV6(s.Server, servers.Ours, c, true)
	if err != nil {
		t.Fatal(err)
	}
	cl, _, err := s.Client(topology.Multicast, 1, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if _, err := cl.Obtain(t.Context()); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
	}
	time.Sleep(5 * time.Second) // without a client
	log := strings.ReplaceAll(six.Output(), `\"`, `"`)
	if n := strings.Count(log, `write "[::1]:6768 kea" in DHCP6D_IPC_BACKENDS`); n < 1 || n > 2 {
		t.Errorf("dhcp6d says %d times how to configure the Kea, want once", n)
	}
	if n := strings.Count(log, "backend is up") + strings.Count(log, "backend is down"); n > 1 {
		t.Errorf("the backend went up and down %d times", n)
	}
	all, err := six.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	if up, ready := servers.Sum(all, "dhcp6d_ipc_backend_up"), servers.Sum(all, "dhcp6d_ready"); up != 1 || ready != 1 {
		t.Errorf("up %v, ready %v", up, ready)
	}
	if t.Failed() {
		t.Logf("dhcp6d said:\n%s", log)
	}
}
