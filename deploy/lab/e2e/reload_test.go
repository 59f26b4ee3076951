package e2e

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

func TestReload(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	write(t, file("interfaces"), "core")
	write(t, file("relays"), "2001:db8:ffff::/64")
	write(t, file("hooks"), "acl")
	write(t, file("deny"), "prefix=2001:db8:ffff::/64")
	write(t, file("88"), "multicast")
	b := start(t, func(c *pair.Config) {
		c.Env = []string{"DHCP6D_INTERFACES=", "DHCP6D_INTERFACES_FILE=" + file("interfaces"), "DHCP6D_RELAYS=", "DHCP6D_RELAYS_FILE=" + file("relays"),
			"DHCP6D_HOOKS_FILE=" + file("hooks"), "DHCP6D_ACL_DENY_FILE=" + file("deny"), "DHCP6D_4O6_SERVERS=", "DHCP6D_4O6_SERVERS_FILE=" + file("88")}
	})
	reload := func(successful float64) {
		t.Helper()
		time.Sleep(20 * time.Millisecond) // the time of the last one has milliseconds
		before, err := b.six.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		b.six.Signal(syscall.SIGHUP)
		if successful == 0 {
			b.series(b.six, "dhcp6d_config_last_reload_successful", is(0))
			return
		}
		b.series(b.six, "dhcp6d_config_last_reload_timestamp_seconds", func(v float64) bool {
			return v > before["dhcp6d_config_last_reload_timestamp_seconds"]
		})
	}
	direct := b.client(site.Multicast, 1, client.Options{Retransmit: short})
	behind := b.client(site.OneRelay, 2, client.Options{Retransmit: short})
	silence(t, direct)
	silence(t, behind)
	write(t, file("interfaces"), "*")
	write(t, file("relays"), site.CorePrefix.String())
	reload(1)
	lease := b.obtain(direct)
	b.obtain(behind)
	write(t, file("deny"), "prefix=fe80::/10")
	reload(1)
	silence(t, direct)
	write(t, file("deny"), "prefix=2001:db8:ffff::/64")
	write(t, file("interfaces"), "core")
	write(t, file("relays"), "no prefix")
	reload(0) // refused whole: neither of the two counts
	silence(t, direct)
	write(t, file("relays"), site.CorePrefix.String())
	write(t, file("interfaces"), "access,core")
	write(t, file("88"), site.Server.String())
	reload(1)
	if again := b.obtain(direct); again.Address != lease.Address {
		t.Errorf("%s, then %s", lease.Address, again.Address)
	}
	info, err := direct.Information(t.Context())
	if err != nil || len(info.Servers) != 1 || info.Servers[0] != site.Server {
		t.Errorf("option 88 is %+v, %v", info, err)
	}
}
