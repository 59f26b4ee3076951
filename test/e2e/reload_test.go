package e2e

import (
	"errors"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// files are the variables that a test changes while dhcp6d runs.
type files struct {
	b       *bench
	dir     string
	content map[string]string
}

// reloadable starts both daemons with variables in files.
func reloadable(t *testing.T, content map[string]string, env ...string) *files {
	t.Helper()
	f := &files{dir: t.TempDir(), content: content}
	for _, name := range slices.Sorted(maps.Keys(content)) {
		write(t, filepath.Join(f.dir, name), content[name])
		env = append(env, "DHCP6D_"+name+"=", "DHCP6D_"+name+"_FILE="+filepath.Join(f.dir, name))
	}
	f.b = start(t, func(c *servers.Config) { c.Env = append(c.Env, env...) })
	return f
}

// set changes files and reloads dhcp6d. Changes are pairs of a variable and its value.
func (f *files) set(t *testing.T, changes ...string) {
	t.Helper()
	f.change(t, changes...)
	f.b.at(t).reload(1)
}

// refused does the same, and checks that dhcp6d refuses all changes.
func (f *files) refused(t *testing.T, changes ...string) {
	t.Helper()
	before := maps.Clone(f.content)
	f.change(t, changes...)
	f.b.at(t).reload(0)
	for i := 0; i < len(changes); i += 2 {
		f.change(t, changes[i], before[changes[i]])
	}
}

func (f *files) change(t *testing.T, changes ...string) {
	t.Helper()
	for i := 0; i < len(changes); i += 2 {
		name, value := changes[i], changes[i+1]
		if _, ok := f.content[name]; !ok {
			t.Fatalf("%s is in no file", name)
		}
		f.content[name] = value
		write(t, filepath.Join(f.dir, name), value)
	}
}

// reload makes dhcp6d reload and waits for the result.
func (b *bench) reload(successful float64) {
	b.t.Helper()
	time.Sleep(20 * time.Millisecond) // the time of the last reload has a resolution of milliseconds
	before, err := b.six.Metrics()
	if err != nil {
		b.t.Fatal(err)
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

func TestReload(t *testing.T) {
	t.Parallel()
	const nobody = "2001:db8:ffff::/64"
	f := reloadable(t, map[string]string{
		"INTERFACES": "core", "RELAYS": nobody, "LDRA_INTERFACES": "core", "HOOKS": "acl,ratelimit", "ACL_DENY": "prefix=" + nobody, "4O6_SERVERS": "multicast",
		"DNS_SERVERS": "2001:db8::53", "OPTIONS": "59:aa", "LINK_OPTIONS": "core OPTIONS=59:bb", "RATELIMIT_RATE": "1000", "JOIN_SITE": "false", "SOURCE": "",
		"LOG_LEVEL": "info", "MAX_WAIT": "1s", "SERVER_PORT": "547",
	})
	b := f.b
	direct := b.client(topology.Multicast, 1, client.Options{Retransmit: short})
	behind := b.client(topology.OneRelay, 2, client.Options{Retransmit: short})
	silence(t, direct)
	silence(t, behind)
	f.set(t, "INTERFACES", "*", "RELAYS", topology.CorePrefix.String())
	lease := b.obtain(direct)
	b.obtain(behind)
	f.set(t, "ACL_DENY", "prefix=fe80::/10")
	silence(t, direct)
	f.refused(t, "ACL_DENY", "prefix="+nobody, "INTERFACES", "core", "RELAYS", "no prefix")
	silence(t, direct) // neither change takes effect
	f.set(t, "ACL_DENY", "prefix="+nobody, "INTERFACES", "access,core", "4O6_SERVERS", topology.Server.String())
	if again := b.obtain(direct); again.Address != lease.Address {
		t.Errorf("the client had %s, and then got %s", lease.Address, again.Address)
	}

	t.Run("options, also of a link", func(t *testing.T) {
		b := b.at(t)
		ask := func() map[dhcpv6.OptionCode]string {
			return b.replied(direct, message(dhcpv6.MessageTypeInformationRequest, dhcpv6.OptRequestedOption(23, 59, 88)))
		}
		if got := ask(); got[88] != "20010db8000a00000000000000000001" || got[59] != "aa" || got[23] != "20010db8000000000000000000000053" {
			t.Errorf("the Reply has %v", got)
		}
		f.set(t, "LINK_OPTIONS", "access OPTIONS=59:cc", "DNS_SERVERS", "2001:db8::54")
		if got := ask(); got[59] != "cc" || got[23] != "20010db8000000000000000000000054" {
			t.Errorf("the Reply has %v", got)
		}
		f.set(t, "LINK_OPTIONS", "core OPTIONS=59:bb", "OPTIONS", "60:dd")
		if got := ask(); got[59] != "" || got[23] == "" {
			t.Errorf("the Reply has %v", got)
		}
		f.refused(t, "OPTIONS", "88:00", "DNS_SERVERS", "2001:db8::55")
		if got := ask(); got[23] != "20010db8000000000000000000000054" {
			t.Errorf("the Reply has %v", got)
		}
	})
	t.Run("interfaces of LDRAs", func(t *testing.T) {
		b := b.at(t)
		b.BridgeAddsInterfaceID("port7")
		defer b.Access.SetRewrite(nil)
		silence(t, direct)
		f.set(t, "LDRA_INTERFACES", "access")
		b.dropped(b.four, "dhcp4d_queries_received_total", func() { // not a drop: it has arrived
			if _, err := direct.Renew(t.Context(), lease); err != nil && !errors.Is(err, client.ErrNoAnswer) {
				t.Error(err)
			}
		})
	})
	t.Run("hooks and their limits", func(t *testing.T) {
		b := b.at(t)
		f.set(t, "RATELIMIT_RATE", "1")
		b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="rate_limited",socket="link"}`, func() {
			for range 40 {
				if err := direct.Send(direct.Query(direct.Message(dhcpv4.MessageTypeDiscover).ToBytes(), false)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(200 * time.Millisecond)
		})
		f.set(t, "RATELIMIT_RATE", "1000")
		b.obtain(direct)
	})
	t.Run("the site's group", func(t *testing.T) {
		b := b.at(t)
		relayed := func() error {
			c, socket, err := b.Relay(10547, client.Options{Relays: rich("line"), Servers: []netip.Addr{netip.MustParseAddr("ff05::1:3")}, Retransmit: short})
			if err != nil {
				t.Fatal(err)
			}
			defer socket.Close()
			_, err = c.Obtain(t.Context())
			return err
		}
		if err := relayed(); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("before: %v", err)
		}
		f.set(t, "JOIN_SITE", "true")
		if err := relayed(); err != nil {
			t.Errorf("D6-6 joined: %v", err)
		}
		f.set(t, "JOIN_SITE", "false")
		if err := relayed(); !errors.Is(err, client.ErrNoAnswer) {
			t.Errorf("left: %v", err)
		}
	})
	t.Run("the source of answers", func(t *testing.T) {
		b := b.at(t)
		if l := b.obtain(direct); l.Response.From.Addr() == topology.ServerSecond {
			t.Errorf("from %s", l.Response.From)
		}
		f.set(t, "SOURCE", topology.ServerSecond.String())
		if l := b.obtain(direct); l.Response.From.Addr() != topology.ServerSecond {
			t.Errorf("from %s", l.Response.From)
		}
	})
	t.Run("the level of the log", func(t *testing.T) {
		b := b.at(t)
		drop := func() {
			b.dropped(b.six, drops6, func() {
				b.replied(direct, message(dhcpv6.MessageTypeSolicit, clientID))
			})
		}
		said := func() bool { return strings.Contains(b.six.Output(), "datagram dropped") }
		drop()
		if said() {
			t.Error("a datagram was logged at info")
		}
		f.set(t, "LOG_LEVEL", "debug")
		drop()
		await(t, "a datagram is logged at debug", said)
	})
	t.Run("not the listening port", func(t *testing.T) {
		b := b.at(t)
		f.set(t, "SERVER_PORT", "548")
		b.obtain(direct)
		await(t, "it says so", func() bool {
			return strings.Contains(b.six.Output(), "changed, and in effect only after a restart")
		})
	})
}
