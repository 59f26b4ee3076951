package durable

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestSeveralKilledUnderLoad runs two dhcp6d on one link, three dhcp4d, and one PostgreSQL server.
// It kills (SIGKILL) or disconnects one of them at random, again and again, under load from more
// clients than there are addresses. Then it asks for every lease that was acknowledged, and
// compares the database with them. DHCP4O6_SEVERAL_KILLS is the number of kills. There are nine
// kinds, and each comes equally often.
func TestSeveralKilledUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("DB-10 no lease is lost or given twice, whichever process is killed", func(t *testing.T) {
		t.Parallel()
		s := newSeveral(t)
		w := s.crowd(ackcheck.Config{Clients: 540, Seed: rand.Uint64(), Rest: 7 * time.Second})
		done, verified, lost, differ := map[string]int{}, 0, 0, 0
		defer func() {
			text := fmt.Sprint(done)
			t.Logf("%s: %d ACKs, %d leases verified after the kills, %d lost, %d given twice or refused, %d differ from the table",
				strings.Trim(text, "map[]"), w.Acks.Load(), verified, lost, len(w.Faults())-lost, differ)
		}()
		var deck []int // each is killed as often as every other
		for left := rounds(t, "DHCP4O6_SEVERAL_KILLS", len(s.kinds())); left > 0; {
			stop := s.load(w)
			for range min(left, 8) {
				left--
				if len(deck) == 0 {
					deck = rand.Perm(len(s.kinds()))
				}
				if rand.IntN(4) > 0 { // else it follows at once
					before := w.Acks.Load()
					s.await("an ACK since the last kill", func() bool { return w.Acks.Load() > before })
					time.Sleep(rand.N(300 * time.Millisecond))
				}
				kind := s.kinds()[deck[0]]
				kind.kill()
				done[kind.name]++
				deck = deck[1:]
			}
			before := w.Acks.Load()
			s.await("an ACK after the last kill", func() bool { return w.Acks.Load() > before })
			s.held.Wait() // what was held has arrived, late
			stop()
			n, gone, err := w.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			verified, lost = verified+n, lost+len(gone)
			for _, d := range s.differences(w) {
				differ++
				t.Error(d)
			}
			s.faultless(w)
		}
	})
	// These controls show that the test sees what it looks for.
	for name, sql := range map[string]string{
		// A new record replaces the one that is there. So the database refuses none.
		"a database that refuses no record lets leases be given twice": `
			CREATE FUNCTION dhcp4d.control() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN DELETE FROM dhcp4d.lease WHERE addr = NEW.addr AND ports = NEW.ports; RETURN NEW; END $$;
			CREATE TRIGGER control BEFORE INSERT ON dhcp4d.lease FOR EACH ROW EXECUTE FUNCTION dhcp4d.control();`,
		// A record that loses gets a row elsewhere. So dhcp4d does not see that it has lost.
		"a dhcp4d that does not see which records have lost gives leases twice": `
			CREATE FUNCTION dhcp4d.control() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN
					IF EXISTS (SELECT FROM dhcp4d.lease WHERE addr = NEW.addr AND state = 2 AND client <> NEW.client) THEN
						NEW.addr = NEW.addr + (1 << 24);
					END IF;
					RETURN NEW;
				END $$;
			CREATE TRIGGER control BEFORE INSERT ON dhcp4d.lease FOR EACH ROW EXECUTE FUNCTION dhcp4d.control();`,
	} {
		t.Run("DB-10 "+name+", and the test sees it", func(t *testing.T) {
			t.Parallel()
			s := newSeveral(t)
			s.database.Query(t, sql)
			w := s.crowd(ackcheck.Config{Clients: 540, Seed: rand.Uint64(), Rest: 7 * time.Second})
			stop := s.run(w)
			s.await("a fault", func() bool {
				s.killFour(rand.IntN(3))
				time.Sleep(100 * time.Millisecond)
				return w.Faulty.Load()
			})
			stop()
			if f := w.Faults()[0]; !strings.Contains(f, "is given to client") && !strings.Contains(f, "is refused") {
				t.Errorf("the first fault is: %s", f)
			}
		})
	}
	t.Run("DB-10 a database that loses its leases in a crash is seen", func(t *testing.T) {
		t.Parallel()
		s := newSeveral(t)
		s.database.Query(t, "ALTER TABLE dhcp4d.lease SET UNLOGGED") // it is empty after a crash
		w := s.crowd(ackcheck.Config{Clients: 100, Keep: true})
		stop := s.load(w)
		s.await("many ACKs", func() bool { return w.Acks.Load() > 500 })
		stop()
		for _, four := range s.fours {
			four.Kill()
		}
		s.killDatabase()
		for i := range s.fours {
			s.startFour(i)
		}
		holders := len(w.Holders())
		if n := len(s.differences(w)); n != holders {
			t.Errorf("%d of %d leases differ from the table, want all", n, holders)
		}
		n, lost, err := w.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n != holders || len(lost) != n {
			t.Errorf("%d of %d leases are lost, want all of %d", len(lost), n, holders)
		}
	})
}

// several are two dhcp6d and three dhcp4d with one database.
//
//	relay ══ core ══╦══ six 0 ══╦══ ipc ══ four: three dhcp4d ── a proxy for each ── database
//	                ╚══ six 1 ══╝
type several struct {
	*bench
	database *postgrestest.Server
	proxies  [3]*postgrestest.Proxy // of each dhcp4d
	held     sync.WaitGroup         // what proxies hold
	sixes    [2]*servers.Half
	fours    [3]*servers.Half
	hosts    [3]*netns.Host // one for each dhcp6d, one for all dhcp4d
}

var (
	coreOf = [2]netip.Addr{server, netip.MustParseAddr("2001:db8:c::3")}
	ipcOf  = [3]netip.Addr{netip.MustParseAddr("2001:db8:d::1"), netip.MustParseAddr("2001:db8:d::2"), netip.MustParseAddr("2001:db8:d::10")}
)

const ipcKey = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // for tests only

func newSeveral(t *testing.T) *several {
	t.Helper()
	lab := newLab(t)
	s := &several{bench: &bench{t: t}, database: postgrestest.Start(t)}
	s.migrate("DHCP4D_STORE=" + s.database.URL())
	host := func(name string) *netns.Host {
		h, err := lab.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	s.relay = host("relay")
	core := []netns.End{relayEnd(s.relay)}
	var ipc []netns.End
	for i, name := range []string{"six0", "six1", "four"} {
		s.hosts[i] = host(name)
		ipc = append(ipc, netns.End{Host: s.hosts[i], Name: "ipc", Addresses: []netip.Prefix{netip.PrefixFrom(ipcOf[i], 64)}})
		if i < len(coreOf) {
			core = append(core, netns.End{Host: s.hosts[i], Name: "core", Addresses: []netip.Prefix{netip.PrefixFrom(coreOf[i], 64)}})
		}
	}
	for _, ends := range [][]netns.End{core, ipc} {
		if err := lab.Segment(ends...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range s.fours {
		listener, err := netns.In(s.hosts[2], func() (net.Listener, error) { return net.Listen("tcp", proxyOf(i)) })
		if err != nil {
			t.Fatal(err)
		}
		s.proxies[i] = s.database.Proxy(t, listener)
		s.proxies[i].Delay(5 * time.Millisecond)
		s.startFour(i)
	}
	for i := range s.sixes {
		s.startSix(i)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, h := range append(s.sixes[:], s.fours[:]...) {
				t.Logf("%s", h.Output())
			}
		}
	})
	return s
}

// proxyOf is where the proxy of a dhcp4d listens.
func proxyOf(i int) string { return fmt.Sprintf("[::1]:%d", 5432+i) }

// migrate makes the tables of a database.
func (b *bench) migrate(store string) {
	b.t.Helper()
	path, err := servers.Find("dhcp4d")
	if err != nil {
		b.t.Fatal(err)
	}
	migrate := exec.Command(path, "store", "migrate")
	migrate.Env = []string{store}
	if out, err := migrate.CombinedOutput(); err != nil {
		b.t.Fatalf("dhcp4d store migrate: %v\n%s", err, out)
	}
}

func (s *several) startSix(i int) {
	s.t.Helper()
	var backends []string
	for j := range s.fours {
		backends = append(backends, fmt.Sprintf("four%d@[%v]:%d", j, ipcOf[2], 6768+j))
	}
	half, err := servers.StartV6(s.hosts[i], servers.Ours, servers.Config{
		Dir: s.t.TempDir(), Interfaces: []string{"core"}, Relays: []netip.Prefix{netip.PrefixFrom(agent, 128)}, Quiet: true,
		Env: []string{
			fmt.Sprintf("DHCP6D_IPC_LISTEN=[%v]:6767", ipcOf[i]), "DHCP6D_IPC_BACKENDS=" + strings.Join(backends, ","),
			"DHCP6D_IPC_KEYS=" + ipcKey,
		},
	}, false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.sixes[i] = half
}

func (s *several) startFour(i int) {
	s.t.Helper()
	half, err := servers.StartV4(s.hosts[2], servers.Ours, servers.Config{
		Dir: s.t.TempDir(), Quiet: true, Subnets: subnets,
		Env: append(slices.Clone(rules),
			fmt.Sprintf("DHCP4D_STORE=postgres://dhcp4d@%s/postgres?sslmode=disable", proxyOf(i)),
			fmt.Sprintf("DHCP4D_NAME=four%d", i), "DHCP4D_API_LISTEN=off", "DHCP4D_IPC_KEYS="+ipcKey,
			fmt.Sprintf("DHCP4D_IPC_LISTEN=[%v]:%d", ipcOf[2], 6768+i),
			fmt.Sprintf("DHCP4D_IPC_PEERS=[%v]:6767,[%v]:6767", ipcOf[0], ipcOf[1]),
			fmt.Sprintf("DHCP4D_METRICS_LISTEN=[::1]:%d", 9567+100*i),
		),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.fours[i] = half
}

// kind is a kind of kill.
type kind struct {
	name string
	kill func()
}

func (s *several) kinds() []kind {
	return []kind{
		{"dhcp6d-0", func() { s.killSix(0) }}, {"dhcp6d-1", func() { s.killSix(1) }},
		{"dhcp4d-0", func() { s.killFour(0) }}, {"dhcp4d-1", func() { s.killFour(1) }}, {"dhcp4d-2", func() { s.killFour(2) }},
		{"PostgreSQL", s.killDatabase},
		{"connections-ended", func() {
			s.database.Query(s.t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL")
		}},
		{"connections-reset", func() {
			for _, p := range s.proxies {
				for _, l := range p.Links() {
					l.Break()
				}
			}
		}},
		{"connections-held", func() { s.hold(rand.IntN(3)) }},
	}
}

// killSix kills a dhcp6d and starts it again. killFour and killDatabase do so too.
func (s *several) killSix(i int) {
	s.t.Helper()
	s.sixes[i].Kill()
	s.startSix(i)
}

func (s *several) killFour(i int) {
	s.t.Helper()
	s.fours[i].Kill()
	s.startFour(i)
}

func (s *several) killDatabase() {
	s.t.Helper()
	s.database.Kill(s.t)
	s.database.Restart(s.t)
}

// hold holds what a dhcp4d and the database send each other, for up to 7 s. After 5 s dhcp4d gives
// up. What it has sent before arrives then, when it has tried again or was killed.
func (s *several) hold(i int) {
	all, which := s.proxies[i].Links(), rand.IntN(3) // 2: both ways
	set := func(n int) {
		for _, l := range all {
			if which != 0 {
				l.Sent.Let(n)
			}
			if which != 1 {
				l.Heard.Let(n)
			}
		}
	}
	set(0)
	s.held.Go(func() {
		time.Sleep(rand.N(7 * time.Second))
		set(postgrestest.All)
	})
}

// crowd makes a crowd whose messages reach both dhcp6d.
func (s *several) crowd(c ackcheck.Config) *ackcheck.Crowd {
	s.t.Helper()
	c.Also = coreOf[1:]
	return s.bench.crowd(c)
}

// differences returns in words where the database has not what was acknowledged to the crowd.
func (s *several) differences(w *ackcheck.Crowd) (all []string) {
	s.t.Helper()
	stored := map[string]string{}
	for row := range strings.Lines(s.database.Query(s.t, "SELECT host(address), hardware_address FROM dhcp4d.leases WHERE state = 'bound'")) {
		address, hardware, _ := strings.Cut(strings.TrimSpace(row), "|")
		stored[address] = hardware
	}
	for address, hardware := range w.Holders() {
		if got := stored[address.String()]; got != strings.ReplaceAll(hardware, ":", "") {
			all = append(all, fmt.Sprintf("%s was acknowledged to %s, the database has it for %q", address, hardware, got))
		}
	}
	return all
}
