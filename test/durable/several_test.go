package durable

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
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
// compares the database with them. DHCP4O6_SEVERAL_KILLS is the number of kills.
func TestSeveralKilledUnderLoad(t *testing.T) {
	t.Parallel()
	t.Run("DB-10 no lease is lost or given twice, whichever process is killed", func(t *testing.T) {
		t.Parallel()
		s := newSeveral(t)
		w := s.crowd(ackcheck.Config{Clients: 540, Seed: rand.Uint64(), Rest: 7 * time.Second})
		kills := rounds(t, "DHCP4O6_SEVERAL_KILLS", 8)
		done, checked := map[string]int{}, 0
		var deck []int // each is killed as often as every other
		for left := kills; left > 0; {
			stop := s.load(w)
			for range min(left, 8) {
				left--
				before := w.Acks.Load()
				s.await("an ACK since the last kill", func() bool { return w.Acks.Load() > before })
				time.Sleep(rand.N(300 * time.Millisecond))
				if len(deck) == 0 {
					deck = rand.Perm(7)
				}
				done[s.kill(deck[0])]++
				deck = deck[1:]
			}
			before := w.Acks.Load()
			s.await("an ACK after the last kill", func() bool { return w.Acks.Load() > before })
			stop()
			n, lost, err := w.Verify(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			checked += n
			if len(lost) > 0 {
				t.Errorf("after %d kills %d of %d leases are lost", kills-left, len(lost), n)
			}
			s.compare(w)
			s.faultless(w)
		}
		t.Logf("%d kills %v, %d ACKs, %d leases verified after the kills, none lost, none given twice", kills, done, w.Acks.Load(), checked)
	})
	t.Run("DB-10 a database that refuses no record lets leases be given twice, and the test sees it", func(t *testing.T) {
		t.Parallel()
		s := newSeveral(t)
		// A new record replaces the one that is there. So the database refuses none.
		s.database.Query(t, `
			CREATE FUNCTION dhcp4d.make_way() RETURNS trigger LANGUAGE plpgsql AS
				$$ BEGIN DELETE FROM dhcp4d.lease WHERE addr = NEW.addr AND ports = NEW.ports; RETURN NEW; END $$;
			CREATE TRIGGER make_way BEFORE INSERT ON dhcp4d.lease FOR EACH ROW EXECUTE FUNCTION dhcp4d.make_way();`)
		w := s.crowd(ackcheck.Config{Clients: 540, Seed: rand.Uint64(), Rest: 7 * time.Second})
		stop := s.run(w)
		s.await("a fault", func() bool {
			s.kill(2 + rand.IntN(3))
			time.Sleep(100 * time.Millisecond)
			return w.Faulty.Load()
		})
		stop()
	})
}

// several are two dhcp6d and three dhcp4d with one database.
//
//	relay ══ core ══╦══ six 0 ══╦══ ipc ══ four: three dhcp4d ── database
//	                ╚══ six 1 ══╝
type several struct {
	*bench
	database *postgrestest.Server
	sixes    [2]*servers.Half
	fours    [3]*servers.Half
	hosts    [3]*netns.Host // one for each dhcp6d, one for all dhcp4d
	store    string         // DHCP4D_STORE=...
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
	s.store = "DHCP4D_STORE=" + s.database.URL()
	s.migrate(s.store)
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
			s.store, fmt.Sprintf("DHCP4D_NAME=four%d", i), "DHCP4D_API_LISTEN=off", "DHCP4D_IPC_KEYS="+ipcKey,
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

// kill kills a process and starts it again, and returns its name: 0 and 1 are the dhcp6d, 2 to 4
// the dhcp4d, 5 is the database. 6 closes the connections to the database.
func (s *several) kill(which int) string {
	s.t.Helper()
	switch {
	case which < 2:
		s.sixes[which].Kill()
		s.startSix(which)
		return fmt.Sprint("six", which)
	case which < 5:
		s.fours[which-2].Kill()
		s.startFour(which - 2)
		return fmt.Sprint("four", which-2)
	case which == 5:
		s.database.Kill(s.t)
		s.database.Restart(s.t)
		return "PostgreSQL"
	default:
		s.database.Query(s.t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL")
		return "connections"
	}
}

// crowd makes a crowd whose messages reach both dhcp6d.
func (s *several) crowd(c ackcheck.Config) *ackcheck.Crowd {
	s.t.Helper()
	c.Also = coreOf[1:]
	return s.bench.crowd(c)
}

// compare checks that the database has the leases that were acknowledged to the crowd.
func (s *several) compare(w *ackcheck.Crowd) {
	s.t.Helper()
	stored := map[string]string{}
	for row := range strings.Lines(s.database.Query(s.t, "SELECT host(address), hardware_address FROM dhcp4d.leases WHERE state = 'bound'")) {
		address, hardware, _ := strings.Cut(strings.TrimSpace(row), "|")
		stored[address] = hardware
	}
	for address, hardware := range w.Holders() {
		if got := stored[address.String()]; got != strings.ReplaceAll(hardware, ":", "") {
			s.t.Errorf("%s was acknowledged to %s, the database has it for %q", address, hardware, got)
		}
	}
}
