package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// subscriber is a client behind a relay that sends an Interface-Id and a Remote-Id.
type subscriber struct {
	*client.Client
	lease *client.Lease
}

// subscriber returns client n on a port. Each has a UDP port of the relay of its own.
func (b *bench) subscriber(n int, udpPort uint16, port, line string) *subscriber {
	b.t.Helper()
	level := relay.Chain(1, topology.Relay1Lan, netip.MustParseAddr(fmt.Sprintf("fe80::%d", n)))
	level[0].InterfaceID, level[0].RelayPort = []byte(port), &udpPort
	level[0].RemoteID = &dhcpv6.OptRemoteID{EnterpriseNumber: 3561, RemoteID: []byte(line)}
	c, socket, err := b.Relay(udpPort, client.Options{HardwareAddr: topology.MAC(n), Relays: level, Retransmit: patient})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { socket.Close() })
	return &subscriber{Client: c}
}

// TestLeasesAreFoundByRemoteID: whoever knows the Remote-Id of a subscriber finds the lease, also
// if the relay names the port by an Interface-Id. dhcp4d keeps the Remote-Id in every kind of
// store, and the lease file takes it from one to the next.
func TestLeasesAreFoundByRemoteID(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	journal, pebble := "journal:"+filepath.Join(dir, "journal"), "pebble:"+filepath.Join(dir, "pebble")
	b := start(t, tokens, func(c *servers.Config) { c.Env = append(c.Env, "DHCP4D_STORE="+journal) })
	b.StopRelays()
	path, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	run := func(env []string, args ...string) string {
		t.Helper()
		p, err := b.Server.Start(env, append([]string{path}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if status, err := p.Wait(t.Context()); status != 0 || err != nil {
			t.Fatalf("dhcp4d %s ends with %d, %v:\n%s", strings.Join(args, " "), status, err, p.Output())
		}
		return p.Output()
	}
	list := func(flags ...string) string {
		t.Helper()
		return run([]string{"DHCP4D_API_TOKEN=" + traceToken}, append([]string{"leases", "list"}, flags...)...)
	}
	first, second := b.subscriber(1, 10547, "port-1", "line-7"), b.subscriber(2, 10548, "port-2", "line-8")
	for _, s := range []*subscriber{first, second} {
		s.lease = b.obtain(s.Client)
	}
	// finds holds that the first subscriber, and nobody else, is found by a line.
	finds := func(when, line string) {
		t.Helper()
		for name, flags := range map[string][]string{
			"text":                       {"-remote-id", "3561:" + line},
			"hex":                        {"-remote-id", fmt.Sprintf("3561:0x%x", line)},
			"the whole option":           {"-remote-id", fmt.Sprintf("0x00000de9%x", line)},
			"with its Interface-Id":      {"-remote-id", "3561:" + line, "-interface-id", "port-1"},
			"with its link-address, too": {"-remote-id", "3561:" + line, "-link-address", topology.Lan1Prefix.String()},
		} {
			rows := strings.Split(strings.TrimSpace(list(flags...)), "\n")
			if len(rows) != 2 || !strings.HasPrefix(rows[1], first.lease.Address.String()+" ") ||
				!strings.Contains(rows[1], "  3561:"+line+"  interface-id port-1 at ") {
				t.Errorf("%s, by %s: %q", when, name, rows)
			}
		}
		if found := list("-json", "-remote-id", "3561:"+line); !strings.Contains(found, `"remote_id":"3561:`+line+`"`) {
			t.Errorf("%s: %s", when, found)
		}
	}
	nobody := func(flags ...string) {
		t.Helper()
		if found := list(append(flags, "-json")...); found != "" {
			t.Errorf("%q finds %s", flags, found)
		}
	}
	finds("when it is bound", "line-7")
	// So an older dhcp4d refuses the store as one of a newer version.
	label, err := os.ReadFile(filepath.Join(dir, "journal", "dhcp4d-store"))
	if err != nil || !strings.HasPrefix(string(label), "dhcp4d lease journal, format 3\n") {
		t.Errorf("%v, the label is %q", err, label)
	}
	nobody("-remote-id", "3562:line-7")
	nobody("-remote-id", "3561:line-7", "-interface-id", "port-2")
	reads(t, b.open(t, "[::1]:9568", "/leases?q=line-7"), first.lease.Address.String(), "Remote-Id 3561:line-7")

	// The relay sends another Remote-Id from now on. The port is the same, and so is the lease.
	moved := b.subscriber(1, 10549, "port-1", "line-9")
	time.Sleep(time.Second) // a renewal in the second of the lease would change nothing
	if l, err := moved.Renew(t.Context(), first.lease); err != nil || l.Address != first.lease.Address {
		t.Fatalf("renewed %+v, %v", l, err)
	}
	finds("after a renewal", "line-9")
	nobody("-remote-id", "3561:line-7")

	b.four.Kill()
	b.start4()
	finds("after a kill", "line-9")
	if l, err := moved.Reboot(t.Context(), first.lease.Address); err != nil || l.Address != first.lease.Address {
		t.Fatalf("rebooted %+v, %v", l, err)
	}
	finds("after a kill and a REQUEST", "line-9")

	database := postgrestest.Start(t)
	url := "DHCP4D_STORE=" + database.URL()
	migrateDatabase(t, url)
	subnets := slices.DeleteFunc(environOf(t, b.four), func(e string) bool { return !strings.HasPrefix(e, "DHCP4D_SUBNETS=") })
	from := "DHCP4D_STORE=" + journal
	for _, c := range []struct{ store, format string }{
		{"DHCP4D_STORE=" + pebble, "csv"}, {url, "ndjson"}, {"DHCP4D_STORE=journal:" + filepath.Join(dir, "back"), "csv"},
	} {
		if err := b.four.Stop(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "leases."+c.format)
		out := run(append(slices.Clip(subnets), from), "leases", "export", "-store", "-format", c.format)
		if err := os.WriteFile(file, []byte(out), 0o600); err != nil {
			t.Fatal(err)
		}
		run(append(slices.Clip(subnets), c.store), "leases", "import", file)
		b.config.Env = append(b.config.Env, c.store)
		b.start4()
		finds("from "+from+" by "+c.format+" to "+c.store, "line-9")
		from = c.store
		if c.store != url {
			continue
		}
		b.four.Kill()
		b.start4()
		finds("from the database after a kill", "line-9")
		time.Sleep(time.Second)
		if l, err := b.subscriber(1, 10550, "port-1", "line-9").Renew(t.Context(), first.lease); err != nil || l.Address != first.lease.Address {
			t.Fatalf("renewed %+v, %v", l, err)
		}
		row := database.Query(t, fmt.Sprintf("SELECT remote_id FROM dhcp4d.leases WHERE address = '%v'", first.lease.Address))
		if row != fmt.Sprintf("00000de9%x", "line-9") {
			t.Errorf("the view has %q", row)
		}
	}
	// A RELEASE from the port of the lease ends it, whatever the Remote-Id.
	if err := b.subscriber(1, 10551, "port-1", "another").Release(first.lease); err != nil {
		t.Fatal(err)
	}
	b.series(b.four, `dhcp4d_leases{state="bound",subnet="2"}`, is(1))
	if found := list("-json", "-remote-id", "3561:line-9", "-state", "released"); !strings.Contains(found, first.lease.Address.String()) {
		t.Errorf("the released lease is not found: %s", found)
	}
}

// environOf returns the environment of a daemon.
func environOf(t *testing.T, h *servers.Half) []string {
	t.Helper()
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", h.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00")
}
