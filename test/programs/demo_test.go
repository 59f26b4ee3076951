package programs

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	daemons(t)
	lab := netnstest.Lab(t)
	daemon, err := servers.Find("dhcp6d")
	if err != nil {
		t.Fatal(err)
	}
	host, err := lab.Host("anywhere")
	if err != nil {
		t.Fatal(err)
	}
	demo := func(t *testing.T, bin string) *netns.Process {
		p, err := host.Start([]string{servers.BinEnv + "=" + bin}, command(t, "demo"))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Run("shows a lease on every path and ends with status 0", func(t *testing.T) {
		p := demo(t, filepath.Dir(daemon))
		if code, err := p.Wait(t.Context()); err != nil || code != 0 {
			t.Fatalf("status %d, %v:\n%s", code, err, p.Output())
		}
		for _, want := range []string{"4o6 servers are [ff02::1:2]", "got 192.0.2.", "got 198.51.100.", "dhcp6d_queries_forwarded_total",
			"All leases obtained, renewed and released"} {
			if !strings.Contains(p.Output(), want) {
				t.Errorf("%q is missing", want)
			}
		}
		if beside := "from Kea at [2001:db8:a::1]:1547"; strings.Contains(p.Output(), beside) != (servers.KeaMissing() == nil) {
			t.Errorf("%q and Kea installed: %v", beside, servers.KeaMissing())
		}
		for what, n := range map[string]int{" got ": len(topology.Ways), "renewed and released 1": len(topology.Ways)} {
			if got := strings.Count(p.Output(), what); got != n {
				t.Errorf("%q %d times, want %d", what, got, n)
			}
		}
		if t.Failed() {
			t.Log(p.Output())
		}
	})
	t.Run("without the daemons it says so and ends with status 1", func(t *testing.T) {
		p := demo(t, t.TempDir())
		if code, err := p.Wait(t.Context()); err != nil || code != 1 || !strings.Contains(p.Output(), "demo: FAILED: dhcp4d is not built (run make build") {
			t.Errorf("status %d, %v:\n%s", code, err, p.Output())
		}
	})
}
