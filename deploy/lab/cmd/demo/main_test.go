package main

import (
	"os"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

func TestMain(m *testing.M) { os.Exit(netlab.MainProgram(m, main)) }

func TestProgram(t *testing.T) {
	lab := netlab.Test(t)
	daemon, err := pair.Find("dhcp6d")
	if err != nil {
		netlab.Skip(t, err.Error())
	}
	host, err := lab.Host("anywhere")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("shows a lease on every way and ends with 0", func(t *testing.T) {
		p, err := host.StartSelf([]string{pair.BinEnv + "=" + strings.TrimSuffix(daemon, "/dhcp6d")})
		if err != nil {
			t.Fatal(err)
		}
		if code, err := p.Wait(t.Context()); err != nil || code != 0 {
			t.Fatalf("status %d, %v:\n%s", code, err, p.Output())
		}
		for _, want := range []string{"4o6 servers are [ff02::1:2]", "got 192.0.2.", "got 198.51.100.", "dhcp6d_queries_forwarded_total",
			"All leases obtained, renewed and released"} {
			if !strings.Contains(p.Output(), want) {
				t.Errorf("%q is missing", want)
			}
		}
		for what, n := range map[string]int{" got ": len(site.Ways), "renewed and released 1": len(site.Ways)} {
			if got := strings.Count(p.Output(), what); got != n {
				t.Errorf("%q %d times, want %d", what, got, n)
			}
		}
		if t.Failed() {
			t.Log(p.Output())
		}
	})
	t.Run("ends with 1 and says so without daemons", func(t *testing.T) {
		p, err := host.StartSelf([]string{pair.BinEnv + "=" + t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if code, err := p.Wait(t.Context()); err != nil || code != 1 || !strings.Contains(p.Output(), "demo: FAILED: dhcp4d is not built (run make build") {
			t.Errorf("status %d, %v:\n%s", code, err, p.Output())
		}
	})
}
