package e2e

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// A pair is two dhcp4d with one database, each behind its own dhcp6d. A client chooses the dhcp4d
// by the dhcp6d that it sends to.
//
//	clients            a                     b
//	  access ─ bridge ─ access: dhcp6d, dhcp4d ── database ── dhcp4d, dhcp6d: access
type pair struct {
	*bench
	database *postgrestest.Server
	started  map[string]servers.Config
	hosts    map[string]*netns.Host
	fours    map[string]*servers.Half
	writers  map[string]string // the names of the dhcp4d in the database
	entered  []string          // all such names so far
}

// atServer has the addresses of the two dhcp6d.
var atServer = map[string]netip.Addr{"a": topology.Server, "b": topology.ServerSecond}

// startPair builds the network.
func startPair(t *testing.T, database *postgrestest.Server, pool string) *pair {
	t.Helper()
	lab := netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	p := &pair{
		bench: &bench{t: t}, database: database, started: map[string]servers.Config{}, hosts: map[string]*netns.Host{},
		fours: map[string]*servers.Half{}, writers: map[string]string{},
	}
	for _, name := range []string{"clients", "a", "b"} {
		var err error
		if p.hosts[name], err = lab.Host(name); err != nil {
			t.Fatal(err)
		}
	}
	end := func(name string) netns.End {
		return netns.End{Host: p.hosts[name], Name: "access", Addresses: []netip.Prefix{netip.PrefixFrom(atServer[name], 64)}}
	}
	if err := lab.Segment(netns.End{Host: p.hosts["clients"], Name: "access"}, end("a"), end("b")); err != nil {
		t.Fatal(err)
	}
	p.Network = &topology.Network{Lab: lab, Clients: p.hosts["clients"], Server: p.hosts["a"]}
	t.Cleanup(p.Close)
	for _, name := range []string{"a", "b"} {
		c := topology.Config(t.TempDir())
		c.Interfaces, c.Relays, c.LDRA, c.Subnets = []string{"access"}, nil, nil, nil
		c.Unicast = []string{"access/" + atServer[name].String()}
		c.Env = []string{
			"DHCP4D_STORE=" + database.URL(), "DHCP4D_NAME=" + name, "DHCP4D_API_LISTEN=off", "DHCP4D_IPC_KEYS=" + firstKey,
			"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, server-id: 192.0.2.1, pools: [" + pool + "], match: [{interface: access}]}]",
			"DHCP6D_IPC_KEYS=" + firstKey, "DHCP6D_IPC_BACKENDS=" + name + "@[::1]:6768",
			"DHCP4D_HOOKS=rules", "DHCP4D_RULES_COUNTERS=arrived",
			"DHCP4D_RULES_LINES=pkt4_receive: member('ALL') -> count arrived",
		}
		p.started[name] = c
		p.start4(name)
		six, err := servers.StartV6(p.hosts[name], servers.Ours, c, false)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("dhcp6d %s said:\n%s\ndhcp4d %s said:\n%s", name, tailOf(six.Output()), name, tailOf(p.fours[name].Output()))
			}
		})
	}
	return p
}

// start4 starts a dhcp4d.
func (p *pair) start4(name string) {
	p.t.Helper()
	four, err := servers.StartV4(p.hosts[name], servers.Ours, p.started[name])
	if err != nil {
		p.t.Fatal(err)
	}
	p.fours[name] = four
	for writer := range strings.FieldsSeq(p.database.Query(p.t, "SELECT writer FROM dhcp4d.process")) {
		if !slices.Contains(p.entered, writer) {
			p.entered, p.writers[name] = append(p.entered, writer), writer
		}
	}
}

// A guest is a client that can send to either dhcp4d.
type guest struct {
	at   map[string]*client.Client
	name string // in the table
}

func (p *pair) guest(n int, again client.Retransmit) *guest {
	p.t.Helper()
	g := &guest{at: map[string]*client.Client{}, name: fmt.Sprintf("%x", []byte(topology.MAC(n)))}
	_, socket, err := p.Client(topology.Unicast, n, client.Options{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { socket.Close() })
	for name, server := range atServer {
		g.at[name], err = client.New(socket, client.Options{
			HardwareAddr: topology.MAC(n), Servers: []netip.Addr{server}, Retransmit: again,
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return g
}

// row returns what the database has for an address: state, hardware address, and the dhcp4d that
// has written it.
func (p *pair) row(a netip.Addr) string {
	p.t.Helper()
	row := p.database.Query(p.t, fmt.Sprintf(`SELECT v.state, v.hardware_address, l.writer
		FROM dhcp4d.leases v JOIN dhcp4d.lease l ON '0.0.0.0'::inet + l.addr = v.address WHERE v.address = '%v'`, a))
	for name, writer := range p.writers {
		row = strings.ReplaceAll(row, writer, name)
	}
	return strings.ReplaceAll(row, "|", " ")
}

// bound waits until a dhcp4d has this number of leases in memory.
func (p *pair) bound(name string, n float64) {
	p.t.Helper()
	p.series(p.fours[name], `dhcp4d_leases{state="bound",subnet="1"}`, is(n))
}

// hold makes the commits of a dhcp4d wait until end is called.
func (p *pair) hold(name string) (end func()) {
	p.t.Helper()
	return p.database.Begin(p.t, "SELECT 1 FROM dhcp4d.process WHERE writer = "+p.writers[name]+" FOR UPDATE")
}

// earlyInASecond waits until most of a second of the leases' time is left.
func earlyInASecond() {
	now := time.Now()
	time.Sleep(now.Truncate(time.Second).Add(time.Second + 20*time.Millisecond).Sub(now))
}

// TestChangeOfHands makes two dhcp4d change the lease of one address in the same second, or while
// one of them waits for the database. The database decides which change counts.
func TestChangeOfHands(t *testing.T) {
	t.Parallel()
	// A commit takes 3 ms. So the committer makes it, and the packet loop goes on.
	p := startPair(t, prepared(t, postgrestest.Start(t, "commit_delay=3000", "commit_siblings=0")), "192.0.2.10-192.0.2.11")
	one, two, busy := p.guest(1, patient), p.guest(2, once), p.guest(3, patient)
	l, err := one.at["a"].Obtain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := busy.at["a"].Obtain(t.Context()) // no address is free now
	if err != nil {
		t.Fatal(err)
	}
	p.bound("b", 2)
	t.Run("DB-3 a client that renews elsewhere keeps its address, although a release and the next client of it wait in one commit", func(t *testing.T) {
		p := p.at(t)
		refused := p.value("a", "dhcp4d_store_records_refused_total")
		earlyInASecond()
		end := p.hold("a")
		renewed := make(chan error, 1)
		go func() { // while this commit waits, the next group gathers
			_, err := busy.at["a"].Renew(t.Context(), other)
			renewed <- err
		}()
		p.series(p.fours["a"], "dhcp4d_store_commit_waiting_seconds", func(v float64) bool { return v > 0 })
		if err := one.at["a"].Release(l); err != nil {
			t.Fatal(err)
		}
		p.bound("a", 1)
		taken := make(chan error, 1)
		go func() {
			offer, err := two.at["a"].Discover(t.Context())
			if err == nil && offer.Address != l.Address {
				err = fmt.Errorf("%v is offered", offer.Address)
			}
			if err == nil {
				_, err = two.at["a"].Select(t.Context(), offer)
			}
			taken <- err
		}()
		p.bound("a", 2) // by the REQUEST
		if again, err := one.at["b"].Reboot(t.Context(), l.Address); err != nil || again.Address != l.Address {
			t.Errorf("%+v, %v", again, err)
		}
		end()
		if err := <-renewed; err != nil {
			t.Errorf("the renewal that waited: %v", err)
		}
		if err := <-taken; !errors.Is(err, client.ErrNak) {
			t.Errorf("D4-26 the other client, who does not repeat its message: %v, want a NAK", err)
		}
		if got, want := p.row(l.Address), "bound "+one.name+" b"; got != want {
			t.Errorf("the table has %q, want %q", got, want)
		}
		if n := p.value("a", "dhcp4d_store_records_refused_total") - refused; n < 2 {
			t.Errorf("%v records are refused, want the release and the binding", n)
		}
		p.series(p.fours["a"], "dhcp4d_rules_counted_total", is(p.value("a", "dhcp4d_queries_received_total"))) // each once
		for _, name := range []string{"a", "b"} {
			if _, err := one.at[name].Renew(t.Context(), l); err != nil {
				t.Errorf("renewal with %s: %v", name, err)
			}
		}
	})
	for what, end := range map[string]func(*client.Client, *client.Lease) error{
		"release": (*client.Client).Release, "decline": (*client.Client).Decline,
	} {
		t.Run("DB-3 a "+what+" that waited ends no binding of the same second that the other dhcp4d has written", func(t *testing.T) {
			p := p.at(t)
			for tries := 1; ; tries++ {
				refused := p.value("a", "dhcp4d_store_records_refused_total")
				heard := p.value("b", "dhcp4d_store_foreign_changes_total")
				earlyInASecond()
				began := time.Now()
				if _, err := one.at["a"].Renew(t.Context(), l); err != nil {
					t.Fatal(err)
				}
				// For b, the client that asks again in the same second has its lease as it is.
				p.series(p.fours["b"], "dhcp4d_store_foreign_changes_total", func(v float64) bool { return v > heard })
				goOn := p.hold("a")
				if err := end(one.at["a"], l); err != nil {
					t.Fatal(err)
				}
				p.bound("a", 1)
				if again, err := one.at["b"].Reboot(t.Context(), l.Address); err != nil || again.Address != l.Address {
					t.Fatalf("%+v, %v", again, err)
				}
				took := time.Since(began)
				goOn()
				p.series(p.fours["a"], "dhcp4d_store_records_refused_total", is(refused+1))
				if got, want := p.row(l.Address), "bound "+one.name+" b"; got != want {
					t.Errorf("the table has %q, want %q", got, want)
				}
				p.bound("a", 2)
				if again, err := one.at["a"].Renew(t.Context(), l); err != nil || again.Address != l.Address {
					t.Errorf("the renewal after it: %+v, %v", again, err)
				}
				if took < 900*time.Millisecond {
					return
				}
				if tries == 20 {
					t.Fatalf("both never came in one second; the last time they took %v", took)
				}
			}
		})
	}
	t.Run("DB-3 a release counts in the second after the one in which the other dhcp4d has bound the client", func(t *testing.T) {
		p := p.at(t)
		if _, err := one.at["b"].Renew(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		earlyInASecond()
		if err := one.at["a"].Release(l); err != nil {
			t.Fatal(err)
		}
		p.bound("b", 1)
		if got, want := p.row(l.Address), "released "+one.name+" a"; got != want {
			t.Errorf("the table has %q, want %q", got, want)
		}
		if next, err := two.at["b"].Obtain(t.Context()); err != nil || next.Address != l.Address {
			t.Errorf("the next client: %+v, %v", next, err)
		}
		if got, want := p.row(l.Address), "bound "+two.name+" b"; got != want {
			t.Errorf("the table has %q, want %q", got, want)
		}
		p.bound("a", 2)
		if _, err := one.at["a"].Reboot(t.Context(), l.Address); !errors.Is(err, client.ErrNak) {
			t.Errorf("the client before it: %v, want a NAK", err)
		}
	})
}

// TestTablesOfVersion1 converts the tables under leases.
func TestTablesOfVersion1(t *testing.T) {
	t.Parallel()
	t.Run("DB-1 leases that were in tables of version 1 are renewed and released after their conversion", func(t *testing.T) {
		t.Parallel()
		database := prepared(t, postgrestest.Start(t))
		p := startPair(t, database, "192.0.2.10-192.0.2.99")
		leases := map[*guest]*client.Lease{}
		for n := range 6 {
			g := p.guest(n+1, patient)
			l, err := g.at[[]string{"a", "b"}[n%2]].Obtain(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leases[g] = l
		}
		database.Query(t, "UPDATE dhcp4d.meta SET v = '1' WHERE k = 'format'")
		if said, err := migrated(t, "DHCP4D_STORE="+database.URL()); err == nil || !strings.Contains(said, "stop every dhcp4d first") {
			t.Errorf("store migrate while two dhcp4d run: %v, %s", err, said)
		}
		for _, four := range p.fours {
			if err := four.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		database.Query(t, "DROP VIEW dhcp4d.leases; ALTER TABLE dhcp4d.lease DROP COLUMN writer, DROP COLUMN remote")
		if four, err := servers.StartV4(p.hosts["a"], servers.Ours, p.started["a"]); err == nil || !strings.Contains(err.Error(), "run dhcp4d store migrate") {
			if err == nil {
				four.Kill()
			}
			t.Fatalf("dhcp4d on tables of version 1: %v", err)
		}
		prepared(t, database)
		p.start4("a")
		p.start4("b")
		for g, l := range leases {
			if got, want := p.row(l.Address), "bound "+g.name+" 0"; got != want {
				t.Errorf("the table has %q, want %q", got, want)
			}
		}
		for _, name := range []string{"a", "b"} {
			earlyInASecond() // a renewal of the same second would change nothing
			for g, l := range leases {
				if again, err := g.at[name].Renew(t.Context(), l); err != nil || again.Address != l.Address {
					t.Errorf("renewal with %s of %v: %+v, %v", name, l.Address, again, err)
				}
				if got, want := p.row(l.Address), "bound "+g.name+" "+name; got != want {
					t.Errorf("the table has %q, want %q", got, want)
				}
			}
		}
		earlyInASecond()
		for g, l := range leases {
			if err := g.at["a"].Release(l); err != nil {
				t.Fatal(err)
			}
		}
		p.bound("b", 0)
		if n := database.Query(t, "SELECT count(*) FROM dhcp4d.lease WHERE state = 3"); n != "6" {
			t.Errorf("%s leases are released", n)
		}
	})
}

// prepared makes the tables of a database.
func prepared(t *testing.T, database *postgrestest.Server) *postgrestest.Server {
	t.Helper()
	migrateDatabase(t, "DHCP4D_STORE="+database.URL())
	return database
}

// at returns the pair for a subtest.
func (p *pair) at(t *testing.T) *pair {
	one := *p
	one.bench = p.bench.at(t)
	return &one
}

// value returns a series of a dhcp4d.
func (p *pair) value(name, series string) float64 {
	p.t.Helper()
	m, err := p.fours[name].Metrics()
	if err != nil {
		p.t.Fatal(err)
	}
	return servers.Sum(m, series)
}

// TestAClientThatAsksBoth has clients that accept two OFFERs at one moment, of two dhcp4d. Neither
// dhcp4d knows of the other one's lease when it decides.
func TestAClientThatAsksBoth(t *testing.T) {
	t.Parallel()
	t.Run("DB-3 a client that takes the OFFERs of two dhcp4d at one moment has two leases, and later gets one of them again", func(t *testing.T) {
		t.Parallel()
		p := startPair(t, prepared(t, postgrestest.Start(t)), "192.0.2.10-192.0.2.250")
		holder, two := map[netip.Addr]string{}, 0
		for n := range 8 {
			g := p.guest(n+1, patient)
			offers := map[string]*dhcpv4.DHCPv4{}
			answers := g.both(t, func(string) *dhcpv4.DHCPv4 { return g.at["a"].Message(dhcpv4.MessageTypeDiscover) })
			maps.Copy(offers, answers)
			got := map[netip.Addr]bool{}
			for name, m := range g.both(t, func(name string) *dhcpv4.DHCPv4 {
				return g.at[name].Message(dhcpv4.MessageTypeRequest, dhcpv4.OptServerIdentifier(offers[name].ServerIdentifier()),
					dhcpv4.OptRequestedIPAddress(offers[name].YourIPAddr))
			}) {
				if m.MessageType() == dhcpv4.MessageTypeNak {
					continue
				}
				a, _ := netip.AddrFromSlice(m.YourIPAddr.To4())
				if other, taken := holder[a]; taken && other != g.name {
					t.Errorf("%s gives %v to %s, who is not %s", name, a, g.name, other)
				}
				holder[a], got[a] = g.name, true
			}
			if len(got) == 2 {
				two++
			}
			for name := range p.fours {
				p.bound(name, float64(len(holder)))
			}
			for name, c := range g.at {
				if l, err := c.Obtain(t.Context()); err != nil || !got[l.Address] {
					t.Errorf("later the client has %+v of %s, %v; want one of %v", l, name, err, got)
				}
			}
		}
		t.Logf("%d of 8 clients had two leases", two)
		for a, client := range holder {
			if got := p.row(a); !strings.HasPrefix(got, "bound "+client) {
				t.Errorf("the table has %q for %v, want %s", got, a, client)
			}
		}
	})
}

// both sends a message to each dhcp4d at one moment, and returns the answers.
func (g *guest) both(t *testing.T, message func(name string) *dhcpv4.DHCPv4) map[string]*dhcpv4.DHCPv4 {
	t.Helper()
	for name, c := range g.at {
		if err := c.Send(c.Query(message(name).ToBytes(), false)); err != nil {
			t.Fatal(err)
		}
	}
	answers := map[string]*dhcpv4.DHCPv4{}
	for len(answers) < len(g.at) {
		b, from, err := g.at["a"].Receive(time.Now().Add(5 * time.Second))
		if err != nil {
			t.Fatal(err)
		}
		r, err := g.at["a"].Parse(b, from)
		if err != nil {
			t.Fatal(err)
		}
		for name, server := range atServer {
			if from.Addr().WithZone("") == server {
				answers[name] = r.DHCPv4
			}
		}
	}
	return answers
}
