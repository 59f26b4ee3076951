package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
	"github.com/dhcp4o6/dhcp4o6/test/tshark"
)

const traceToken = "0123456789abcdef"

// tokens lets the traces of a test into both daemons.
func tokens(c *servers.Config) {
	c.Env = append(c.Env, "DHCP6D_API_TOKEN="+traceToken, "DHCP4D_API_TOKEN="+traceToken)
}

// mac returns the hardware address of client n of a trace test, and its notation with dots.
func mac(n byte) (net.HardwareAddr, string) {
	return net.HardwareAddr{2, 0, 0, 0, 7, n}, fmt.Sprintf("0200.0000.07%02x", n)
}

// trace runs the command trace on a daemon's host, and returns once it follows.
func (b *bench) trace(daemon string, args ...string) *netns.Process {
	b.t.Helper()
	path, err := servers.Find(daemon)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := b.Server.Start([]string{strings.ToUpper(daemon) + "_API_TOKEN=" + traceToken}, append([]string{path, "trace"}, args...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(p.Kill)
	shows(b.t, p, "following")
	return p
}

// shows waits until a process has written all parts.
func shows(t *testing.T, p *netns.Process, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, part := range parts {
		if err := p.WaitFor(ctx, func() error {
			if !strings.Contains(p.Output(), part) {
				return fmt.Errorf("%q is not there", part)
			}
			return nil
		}); err != nil {
			t.Fatalf("%v:\n%s", err, p.Output())
		}
	}
}

// A failing exchange is explained by trace alone.
func TestTraceNamesTheCause(t *testing.T) {
	t.Parallel()
	const (
		access  = "match: [{interface: access}]"
		behind  = `{id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.20], match: [{link-address: "2001:db8:1::/64"}]}`
		one     = "id: 1, subnet: 192.0.2.0/24, " + access
		ordered = one + ", pools: [192.0.2.10-192.0.2.20]"
	)
	subnets := func(document string) func(*servers.Config) {
		return func(c *servers.Config) { c.Env = append(c.Env, "DHCP4D_SUBNETS="+document) }
	}
	six := func(variables ...string) func(*servers.Config) {
		return func(c *servers.Config) { c.Env = append(c.Env, variables...) }
	}
	// with is client n of a case; the traced one is number 1.
	with := func(b *bench, via topology.Via, n byte) *client.Client {
		hw, _ := mac(n)
		return b.client(via, int(n), client.Options{HardwareAddr: hw, Retransmit: short})
	}
	discover := func(via topology.Via) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) { silence(t, with(b, via, 1)) }
	}
	reboot := func(via topology.Via, address string) func(t *testing.T, b *bench) {
		return func(t *testing.T, b *bench) {
			if l, err := with(b, via, 1).Reboot(t.Context(), netip.MustParseAddr(address)); err == nil {
				t.Errorf("the client got %+v, want no lease", l)
			}
		}
	}
	_, filling := small(t, "")
	for _, c := range []struct {
		name   string
		config func(*servers.Config)
		fail   func(t *testing.T, b *bench)
		six    []string
		four   []string
	}{
		{"full pool", subnets("[{" + one + ", pools: [192.0.2.10]}]"), func(t *testing.T, b *bench) {
			b.obtain(with(b, topology.Multicast, 2))
			silence(t, with(b, topology.Multicast, 1))
		}, []string{"sent to the dhcp4d"}, []string{"subnet 1, 192.0.2.0/24", "dropped (no_address): every address that the client may have is taken"}},
		{"wrong subnet", subnets("[{" + ordered + "}, " + behind + "]"), reboot(topology.Multicast, "198.51.100.15"),
			[]string{"with NAK"}, []string{"requested address 198.51.100.15", "subnet 1, 192.0.2.0/24, by", "198.51.100.15 is not in 192.0.2.0/24", "decision: NAK: address of another subnet"}},
		{"no subnet", subnets("[" + behind + "]"), discover(topology.Multicast), nil,
			[]string{"no match entry of DHCP4D_SUBNETS claims it", "interface access", "dropped (no_subnet)"}},
		{"class refused", subnets(`{classes: [{name: stolen, test: "pkt4.mac == 0x020000000701", refuse: silent}], subnets: [{` + ordered + "}]}"),
			discover(topology.Multicast), nil, []string{"class stolen refuses its clients", "dropped (class_refused)"}},
		{"reserved for another", subnets("[{" + ordered + `, reservations: [{hw-address: "02-00-00-00-07-02", address: 192.0.2.15}]}]`),
			reboot(topology.Multicast, "192.0.2.15"), []string{"with NAK"}, []string{"requested address 192.0.2.15", "192.0.2.15 is reserved for another client", "decision: NAK: address not available"}},
		{"another client's lease", subnets("[{" + one + ", pools: [192.0.2.10]}]"), func(t *testing.T, b *bench) {
			l := b.obtain(with(b, topology.Multicast, 2))
			reboot(topology.Multicast, l.Address.String())(t, b)
		}, []string{"with NAK"}, []string{"192.0.2.10 is bound to another client until", "decision: NAK: no record of this client"}},
		{"limit", subnets("[{" + ordered + ", limit: 1}]"), func(t *testing.T, b *bench) {
			hw, _ := mac(1)
			first, socket, err := b.Client(topology.Multicast, 1, client.Options{HardwareAddr: hw, Retransmit: patient, IAID: 7})
			if err != nil {
				t.Fatal(err)
			}
			b.obtain(first)
			socket.Close()
			silence(t, b.client(topology.Multicast, 1, client.Options{HardwareAddr: hw, Retransmit: short, IAID: 8}))
		}, nil, []string{"dropped (point_limit): the attachment point holds as many addresses as it may"}},
		{"ratelimit", six("DHCP6D_HOOKS=ratelimit", "DHCP6D_RATELIMIT_RATE=1", "DHCP6D_RATELIMIT_BURST=1"), func(t *testing.T, b *bench) {
			c := with(b, topology.Multicast, 1)
			for range 3 {
				_, _ = c.Discover(t.Context()) // only some of them are taken
			}
		}, []string{"hook ratelimit at pkt6_receive does not let it pass", "dropped (rate_limited)"}, nil},
		{"acl", six("DHCP6D_HOOKS=acl", "DHCP6D_ACL_ALLOW=prefix=2001:db8:77::/64"), discover(topology.Multicast),
			[]string{"hook acl at pkt6_receive does not let it pass", "dropped (hook)"}, nil},
		{"rules", func(c *servers.Config) {
			c.Env = append(c.Env, "DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unpaid", "DHCP4D_RULES_LINES=pkt4_receive: member('ALL') -> drop unpaid")
		}, discover(topology.Multicast), nil, []string{"hook rules at pkt4_receive (unpaid) does not let it pass", "dropped (hook)"}},
		{"moved", subnets("{moves: refuse, subnets: [{" + ordered + "}, " + behind + "]}"), func(t *testing.T, b *bench) {
			l := b.obtain(with(b, topology.Multicast, 1))
			if l, err := with(b, topology.OneRelay, 1).Reboot(t.Context(), l.Address); err == nil {
				t.Errorf("the client got %+v, want no lease", l)
			}
		}, []string{"relay 1: link-address 2001:db8:1::1", "with NAK"}, []string{"through 1 relays", "subnet 2, 198.51.100.0/24", "decision: NAK: address of another subnet"}},
		{"store full", func(c *servers.Config) {
			c.Through = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"`, filling}
			c.Env = append(c.Env, "DHCP4D_STORE=journal:"+filepath.Join(filling, "leases"))
		}, func(t *testing.T, b *bench) {
			fill(t, b, filling)
			if l, err := with(b, topology.Multicast, 1).Obtain(t.Context()); err == nil {
				t.Errorf("the client got %+v, want no lease", l)
			}
		}, []string{"sent to the dhcp4d"}, []string{"dropped (store_error): the lease could not be put on stable storage"}},
		{"backend down", nil, func(t *testing.T, b *bench) {
			b.four.Kill()
			b.series(b.six, "dhcp6d_ipc_backend_up", is(0))
			silence(t, with(b, topology.Multicast, 1))
		}, []string{"backends: [::1]:6768 at [::1]:6768 is down", "dropped (no_backend)"}, nil},
		{"declined address", subnets("[{" + one + ", pools: [192.0.2.10]}]"), func(t *testing.T, b *bench) {
			c := with(b, topology.Multicast, 1)
			l := b.obtain(c)
			if err := c.Decline(l); err != nil {
				t.Fatal(err)
			}
			if l, err := c.Reboot(t.Context(), l.Address); err == nil {
				t.Errorf("the client got %+v, want no lease", l)
			}
		}, nil, []string{"no answer (declined)", "192.0.2.10 is in quarantine until", "decision: NAK: "}},
		{"relay not listed", func(c *servers.Config) { c.Relays = nil }, discover(topology.OneRelay),
			[]string{"relay 1: link-address 2001:db8:1::1", "dropped (relay_forbidden)"}, nil},
		{"interface not served", func(c *servers.Config) { c.Interfaces, c.LDRA = []string{"core"}, nil }, discover(topology.Unicast),
			[]string{"which is not served", "dropped (interface)"}, nil},
		{"unauthenticated", six("DHCP6D_IPC_BACKENDS=[::1]:6768 kea", "DHCP4D_IPC_KEYS="+firstKey), discover(topology.Multicast),
			[]string{"sent to the dhcp4d [::1]:6768"}, []string{"dropped (unauthentic): IPC datagram unsigned"}},
		{"draining", subnets("[{" + ordered + ", state: drain}]"), discover(topology.Multicast), nil, []string{"dropped (draining)"}},
		{"the client chose another server", subnets("[{" + ordered + "}]"), func(t *testing.T, b *bench) {
			c := with(b, topology.Multicast, 1)
			l, err := c.Discover(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			l.Server = netip.MustParseAddr("192.0.2.99")
			if l, err := c.Select(t.Context(), l); err == nil {
				t.Errorf("the client got %+v, want no lease", l)
			}
		}, nil, []string{"server identifier 192.0.2.99", "no answer (chose_other_server)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := network(t, "dhcp6d", "dhcp4d")
			tokens(&b.config)
			if c.config != nil {
				c.config(&b.config)
			}
			b.start4()
			var err error
			if b.six, err = servers.StartV6(b.Server, servers.Ours, b.config, c.name == "unauthenticated"); err != nil {
				t.Fatal(err)
			}
			if err := b.StartRelays(0, nil); err != nil {
				t.Fatal(err)
			}
			_, dotted := mac(1)
			of6, of4 := []string{"-hw-address", dotted}, []string{"-hw-address", dotted}
			on6, on4 := b.trace("dhcp6d", of6...), b.trace("dhcp4d", of4...)
			c.fail(t, b)
			shows(t, on6, c.six...)
			shows(t, on4, c.four...)
		})
	}
}

// fill takes all space of a dhcp4d's own disk, and waits until its store fails. A full disk is not
// enough: for a while the store can write to the files that it has.
func fill(t *testing.T, b *bench, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(fmt.Sprintf("/proc/%d/root", b.four.PID()), dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 4<<10))
		}
		if all, err := b.four.Metrics(); err == nil && all["dhcp4d_ready"] == 0 {
			return
		}
		if _, err := loaded(t.Context(), b.Clients, load.Config{Interface: "access", InFlight: 8, Duration: time.Second, Clients: 50, Release: 1, Seed: 1}); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the store does not fail")
}

// Both daemons write captures that tshark reads: the datagrams of the link and of the IPC, with the
// decision as a comment. An exchange has the same name in both.
func TestTraceWritesACapture(t *testing.T) {
	t.Parallel()
	b := start(t, tokens, func(c *servers.Config) {
		c.Env = append(c.Env, "DHCP6D_IPC_KEYS="+firstKey, "DHCP4D_IPC_KEYS="+firstKey)
	})
	dir := t.TempDir()
	files := map[string]string{"dhcp6d": filepath.Join(dir, "6.pcapng"), "dhcp4d": filepath.Join(dir, "4.pcapng")}
	hw, dotted := mac(1)
	traces := map[string]*netns.Process{}
	for daemon, file := range files {
		traces[daemon] = b.trace(daemon, "-hw-address", dotted, "-w", file)
	}
	piped := filepath.Join(dir, "piped.pcapng")
	path, err := servers.Find("dhcp6d")
	if err != nil {
		t.Fatal(err)
	}
	pipe, err := b.Server.Start([]string{"DHCP6D_API_TOKEN=" + traceToken}, "sh", "-c", `"$0" trace -hw-address "$1" -w - >"$2"`, path, dotted, piped)
	if err != nil {
		t.Fatal(err)
	}
	shows(t, pipe, "following")
	c := b.client(topology.TwoRelays, 1, client.Options{HardwareAddr: hw})
	l := b.obtain(c)
	if err := c.Release(l); err != nil {
		t.Fatal(err)
	}
	shows(t, traces["dhcp6d"], "with OFFER", "with ACK", "with RELEASE")
	shows(t, traces["dhcp4d"], "decision: ACK of "+l.Address.String(), "committed", "no answer (released)")
	for line := range strings.Lines(traces["dhcp4d"].Output()) {
		if _, exchange, ok := strings.Cut(line, " dhcp4d xid "); ok && !strings.Contains(traces["dhcp6d"].Output(), " dhcp6d xid "+exchange) {
			t.Errorf("the capture of dhcp6d does not have the exchange %s", exchange)
		}
	}
	for _, p := range []*netns.Process{traces["dhcp6d"], traces["dhcp4d"], pipe} {
		p.Signal(syscall.SIGINT)
	}
	m, err := b.four.Metrics()
	if err != nil {
		t.Fatal(err)
	}
	// DISCOVER, OFFER, REQUEST, ACK and RELEASE, and what the client has repeated.
	messages := int(servers.Sum(m, "dhcp4d_queries_received_total") + servers.Sum(m, "dhcp4d_responses_sent_total"))
	if messages < 5 {
		t.Errorf("%d messages", messages)
	}
	for name, want := range map[string]struct {
		file    string
		packets int
	}{
		"dhcp6d": {files["dhcp6d"], 2 * messages}, // each on two sockets
		"piped":  {piped, 2 * messages},
		"dhcp4d": {files["dhcp4d"], messages},
	} {
		t.Run(name, func(t *testing.T) {
			faults, packets, err := tshark.Check(want.file)
			if err == tshark.ErrMissing { //nolint:errorlint // it is returned as it is
				netnstest.Skip(t, err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			if packets != want.packets || len(faults) > 0 {
				t.Errorf("%d packets, want %d:\n%s", packets, want.packets, strings.Join(faults, "\n"))
			}
			rows, err := tshark.Fields(want.file, "", "frame.interface_name", "ipv6.src", "udp.dstport", "frame.comment")
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(rows, "\n")
			parts := []string{"dhcp4d ipc\t::1\t6768", "decision: OFFER of " + l.Address.String(), "committed: the lease is on stable storage"}
			if name != "dhcp4d" {
				parts = []string{"dhcp6d link core\t" + topology.Relay1Core.String() + "\t547", "dhcp6d ipc\t::1\t6768", "dhcp6d ipc\t::1\t6767", "it is the only backend", "DHCPV4-RESPONSE with ACK"}
			}
			for _, p := range parts {
				if !strings.Contains(all, p) {
					t.Errorf("%q is not in:\n%s", p, all)
				}
			}
			for _, row := range rows {
				if !strings.Contains(row, "xid 0x") {
					t.Errorf("a packet without a comment: %s", row)
				}
			}
		})
	}
}

// Who shows a wrong token learns nothing, and is counted. Our own command does not show it.
func TestTraceWithAWrongToken(t *testing.T) {
	t.Parallel()
	b := start(t, tokens)
	for daemon, half := range map[string]*servers.Half{"dhcp6d": b.six, "dhcp4d": b.four} {
		path, err := servers.Find(daemon)
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Server.Start([]string{strings.ToUpper(daemon) + "_API_TOKEN=fedcba9876543210"}, path, "trace", "-client-id", "ff01")
		if err != nil {
			t.Fatal(err)
		}
		if status, err := p.Wait(t.Context()); err != nil || status == 0 || !strings.Contains(p.Output(), "the API refused our token") {
			t.Errorf("%s: status %d, %v: %s", daemon, status, err, p.Output())
		}
		b.series(half, daemon+"_api_unauthorized_total", is(1))
		conn, err := b.Server.Dial("tcp", map[string]string{"dhcp6d": "[::1]:9548", "dhcp4d": "[::1]:9568"}[daemon])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET /v1/trace?client_id=ff01 HTTP/1.0\r\nAuthorization: Bearer fedcba9876543210\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 401 ") {
			t.Errorf("%s: %q, %v", daemon, answer, err)
		}
		b.series(half, daemon+"_api_unauthorized_total", is(2))
	}
}

// A local process that takes the port of an API while its daemon is down does not get the token of
// whoever asks then.
func TestTheTokenIsForTheDaemonOnly(t *testing.T) {
	t.Parallel()
	b := start(t)
	for daemon, half := range map[string]*servers.Half{"dhcp6d": b.six, "dhcp4d": b.four} {
		path, err := servers.Find(daemon)
		if err != nil {
			t.Fatal(err)
		}
		home, at := "DHCP4D_STORE=journal:"+filepath.Join(b.config.Dir, "dhcp4d"), "[::1]:9568"
		if daemon == "dhcp6d" {
			home, at = "DHCP6D_STATE_DIR="+filepath.Join(b.config.Dir, "dhcp6d"), "[::1]:9548"
		}
		ask := func() *netns.Process {
			p, err := b.Server.Start([]string{home}, path, "trace", "-client-id", "ff01")
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		p := ask()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if err := p.WaitFor(ctx, func() error {
			if !strings.Contains(p.Output(), "following") {
				return errors.New("it does not follow")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := half.Stop(20 * time.Second); err != nil {
			t.Fatal(err)
		}
		impostor, err := netns.In(b.Server, func() (net.Listener, error) { return net.Listen("tcp", at) })
		if err != nil {
			t.Fatal(err)
		}
		heard := make(chan string, 1)
		go func() {
			conn, err := impostor.Accept()
			if err != nil {
				heard <- err.Error()
				return
			}
			buf := make([]byte, 1<<16)
			n, _ := conn.Read(buf)
			_, _ = io.WriteString(conn, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
			more, _ := io.ReadAll(conn) // until the command has ended
			heard <- string(buf[:n]) + string(more)
		}()
		p = ask()
		if status, err := p.Wait(ctx); err != nil || status != 4 || !strings.Contains(p.Output(), "does not prove that it has our token") {
			t.Errorf("%s: status %d, %v: %s", daemon, status, err, p.Output())
		}
		if got := <-heard; !strings.Contains(got, "nonce=") || strings.Contains(got, "Bearer") {
			t.Errorf("%s: the impostor hears %q", daemon, got)
		}
		impostor.Close()
	}
	b.start4()
	b.start6()
}
