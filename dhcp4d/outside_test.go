package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/spool"
)

const outsideDocument = `
classes:
- {name: gold, marked: true, options: {domain-name: gold.example}, always-send: [domain-name]}
subnets:
- {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth0}],
   pools: [192.0.2.10-192.0.2.99, {name: spare, range: 192.0.2.100-192.0.2.199}],
   reservations: [{hw-address: "02:00:00:00:00:77", address: 192.0.2.77}]}
`

// verdicts is a program of an operator's: it answers each question by a function of the client.
type verdicts struct {
	t    *testing.T
	path string
	says func(client byte) *outside.Answer // nil: nothing

	mu    sync.Mutex
	on    net.Listener
	conns []net.Conn
	all   sync.WaitGroup

	killed bool
}

func (v *verdicts) start() {
	_ = os.Remove(v.path)
	on, err := net.Listen("unix", v.path)
	if err != nil {
		v.t.Error(err)
		return
	}
	v.mu.Lock()
	v.on, v.conns, v.killed = on, nil, false
	v.mu.Unlock()
	v.all.Go(func() {
		for {
			c, err := on.Accept()
			if err != nil {
				return
			}
			v.mu.Lock()
			if v.killed { // meanwhile
				_ = c.Close()
			}
			v.conns = append(v.conns, c)
			v.mu.Unlock()
			v.all.Go(func() { v.serve(c) })
		}
	})
}

// kill ends the program at once, whatever it has in hand.
func (v *verdicts) kill() {
	v.mu.Lock()
	v.killed = true
	_ = v.on.Close()
	for _, c := range v.conns {
		_ = c.Close()
	}
	v.mu.Unlock()
	v.all.Wait()
}

func (v *verdicts) serve(c net.Conn) {
	hello := outside.Hello{Name: "verdicts"}
	_, _ = c.Write(hello.Append(nil))
	var head [4]byte
	for {
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		record := append(head[:4:4], make([]byte, binary.BigEndian.Uint32(head[:]))...)
		if _, err := io.ReadFull(c, record[4:]); err != nil {
			return
		}
		r, wrong := outside.Parse(record)
		if wrong != outside.None {
			v.t.Errorf("dhcp4d sends %x: %v", record, wrong)
			return
		}
		if r.Kind != outside.KindQuery {
			continue
		}
		q := r.Query()
		if a := v.says(q.HWAddr[5]); a != nil {
			a.Number = q.Number
			if _, err := c.Write(a.Append(nil)); err != nil {
				return
			}
		}
	}
}

// outsideSite is a dhcp4d that asks a program.
func outsideSite(t *testing.T, says func(client byte) *outside.Answer, environ ...string) (*site, *verdicts) {
	t.Helper()
	v := &verdicts{t: t, path: filepath.Join(t.TempDir(), "socket"), says: says}
	v.start()
	t.Cleanup(v.kill)
	s := newSite(t, append([]string{
		"DHCP4D_SUBNETS=" + outsideDocument, "DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET=" + v.path,
		"DHCP4D_OUTSIDE_KEY=pkt4.mac", "DHCP4D_OUTSIDE_REASONS=unpaid", "DHCP4D_OUTSIDE_TIMEOUT=2s",
	}, environ...)...)
	return s, v
}

func TestAProgramDecides(t *testing.T) {
	yes := func(a outside.Answer) *outside.Answer { a.Verdict = outside.Continue; return &a }
	s, _ := outsideSite(t, func(client byte) *outside.Answer {
		switch client {
		case 1:
			return yes(outside.Answer{Classes: []string{"gold"}, Keep: 60})
		case 2:
			return yes(outside.Answer{Address: netip.MustParseAddr("192.0.2.42"), LeaseTime: 600, Options: []outside.Option{{Code: dhcp4.OptHostName, Value: []byte("two")}}})
		case 3:
			return yes(outside.Answer{Pool: "spare"})
		case 5: // as fast as dhcp4d asks
			return yes(outside.Answer{Address: netip.MustParseAddr("192.0.2.77")})
		}
		return &outside.Answer{Verdict: outside.Drop, Reason: "unpaid", Keep: 60}
	})
	text := func(m *dhcp4.Message, code byte) string { b, _ := m.Option(code); return string(b) }
	lease := func(client byte) dhcp4.Message {
		t.Helper()
		offer := s.ask(dhcp4.Discover, client, netip.Addr{})
		ack := s.ask(dhcp4.Request, client, netip.Addr{}, dhcp4.AppendOption(nil, dhcp4.OptRequestedAddress, offer.YIAddr().AsSlice()),
			dhcp4.AppendOption(nil, dhcp4.OptServerIdentifier, must(offer.Option(dhcp4.OptServerIdentifier))))
		if ack.Type() != dhcp4.ACK || ack.YIAddr() != offer.YIAddr() {
			t.Fatalf("client %d: offered %v, then %v of %v", client, offer.YIAddr(), ack.Type(), ack.YIAddr())
		}
		return ack
	}
	if m := lease(1); text(&m, dhcp4.OptDomainName) != "gold.example" {
		t.Errorf("a class: domain %q", text(&m, dhcp4.OptDomainName))
	}
	m := lease(2)
	if lasting, _ := m.Uint32(dhcp4.OptLeaseTime); m.YIAddr() != netip.MustParseAddr("192.0.2.42") || lasting != 600 || text(&m, dhcp4.OptHostName) != "two" {
		t.Errorf("an address: %v for %d s, %q", m.YIAddr(), lasting, text(&m, dhcp4.OptHostName))
	}
	if m := lease(3); m.YIAddr().As4()[3] < 100 {
		t.Errorf("a pool: %v", m.YIAddr())
	}
	s.send(dhcp4.Discover, 4, netip.Addr{})
	s.send(dhcp4.Discover, 5, netip.Addr{}) // the address is reserved for another client
	eventuallyCounts(t, s.metrics, `dhcp4d_outside_dropped_total{reason="unpaid"} 1`, `dhcp4d_outside_wrong_total{reason="address_taken"} 1`)
	if m := lease(1); text(&m, dhcp4.OptDomainName) != "gold.example" {
		t.Error("no answer was sent where there is none")
	}
}

// must is a value that is there.
func must(b []byte, ok bool) []byte {
	if !ok {
		panic("absent")
	}
	return b
}

// eventuallyCounts waits until metrics have lines.
func eventuallyCounts(t *testing.T, metrics string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		name, value, _ := strings.Cut(line, " ")
		end := time.Now().Add(time.Minute)
		for counts(t, metrics, name) != value {
			if time.Now().After(end) {
				t.Errorf("%s is %q", line, counts(t, metrics, name))
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

func TestOutsideIsReloaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy")
	write := func(policy string) {
		if err := os.WriteFile(file, []byte(policy), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("drop")
	s, _ := outsideSite(t, func(byte) *outside.Answer { return nil }, "DHCP4D_OUTSIDE_TIMEOUT=50ms", "DHCP4D_OUTSIDE_POLICY_FILE="+file)
	s.send(dhcp4.Discover, 1, netip.Addr{})
	eventuallyCounts(t, s.metrics, `dhcp4d_packets_dropped_total{reason="hook_timeout",socket="ipc"} 1`, "dhcp4d_outside_timeouts_total 1", "dhcp4d_outside_connections_total 1")
	write("open")
	s.log.reset()
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.eventually("configuration reloaded")
	if offer := s.ask(dhcp4.Discover, 1, netip.Addr{}); offer.Type() != dhcp4.Offer {
		t.Errorf("with the policy open the client gets %v", offer.Type())
	}
	eventuallyCounts(t, s.metrics, "dhcp4d_outside_connections_total 1", "dhcp4d_outside_parked_queries ")
}

// TestKillsOfTheProgramUnderLoad: whatever happens to the program, no client gets another address
// than its verdict gives, no address has two clients, a client whose verdict is no gets nothing,
// and in the end every other client has its lease.
func TestKillsOfTheProgramUnderLoad(t *testing.T) {
	for _, policy := range []string{"drop", "stale"} {
		t.Run(policy, func(t *testing.T) { killsUnderLoad(t, policy) })
	}
}

func killsUnderLoad(t *testing.T, policy string) {
	const clients = 60
	wanted := func(client byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, 100 + client}) }
	var asked atomic.Int64
	s, v := outsideSite(t, func(client byte) *outside.Answer {
		asked.Add(1)
		if client%5 == 0 {
			return &outside.Answer{Verdict: outside.Drop, Reason: "unpaid"}
		}
		if client%7 == 0 && asked.Load()%3 == 0 {
			return nil // forgotten
		}
		return &outside.Answer{Verdict: outside.Continue, Address: wanted(client)}
	}, "DHCP4D_OUTSIDE_TIMEOUT=100ms", "DHCP4D_OUTSIDE_POLICY="+policy, "DHCP4D_OUTSIDE_PARKED_POINT=1000")

	ctx, stop := context.WithCancel(t.Context())
	var killer sync.WaitGroup
	killer.Go(func() {
		for ctx.Err() == nil {
			time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond)
			v.kill()
			time.Sleep(time.Duration(rand.IntN(10)) * time.Millisecond)
			v.start()
		}
	})
	leased := map[byte]bool{}
	b := make([]byte, 4096)
	end := time.Now().Add(60 * time.Second)
	began := time.Now()
	for len(leased) < clients-clients/5 || time.Since(began) < 2*time.Second {
		if time.Now().After(end) {
			t.Fatalf("after a minute %d of %d clients have their leases", len(leased), clients-clients/5)
		}
		for client := byte(1); client <= clients; client++ {
			if rand.IntN(2) == 0 {
				s.send(dhcp4.Discover, client, netip.Addr{})
			} else {
				a := wanted(client)
				s.send(dhcp4.Request, client, a)
			}
		}
		for {
			_ = s.socket.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			n, err := s.socket.Read(b)
			if err != nil {
				break
			}
			m, ok := replyIn(b[:n])
			if !ok {
				continue
			}
			client := m.CHAddr()[5]
			switch {
			case client%5 == 0:
				t.Fatalf("client %d, whose verdict is no, gets %v of %v", client, m.Type(), m.YIAddr())
			case m.Type() == dhcp4.NAK:
			case m.YIAddr() != wanted(client):
				t.Fatalf("client %d gets %v of %v, against its verdict", client, m.Type(), m.YIAddr())
			case m.Type() == dhcp4.ACK:
				leased[client] = true
			}
		}
	}
	stop()
	killer.Wait()
	if n := counts(t, s.metrics, "dhcp4d_outside_connections_total"); n == "1" || n == "" {
		t.Errorf("the program was killed, and there were %q connections", n)
	}
	// In peace, each client still has what it was given.
	for client := byte(1); client <= clients; client++ {
		if client%35 == 0 || client%5 == 0 || client%7 == 0 {
			continue
		}
		var ack dhcp4.Message
		for end := time.Now().Add(time.Minute); ack.Type() != dhcp4.ACK && time.Now().Before(end); {
			s.send(dhcp4.Request, client, wanted(client)) // again and again, as the program may be on its way back
			_ = s.socket.SetReadDeadline(time.Now().Add(time.Second))
			for {
				n, err := s.socket.Read(b)
				if err != nil {
					break
				}
				if m, ok := replyIn(b[:n]); ok && m.CHAddr()[5] == client && m.Type() != dhcp4.Offer {
					ack = m
					break
				}
			}
		}
		if ack.Type() != dhcp4.ACK || ack.YIAddr() != wanted(client) {
			t.Errorf("client %d then gets %v of %v", client, ack.Type(), ack.YIAddr())
		}
	}
}

// replyIn returns the DHCPv4 message of a datagram, unless that is a notice.
func replyIn(datagram []byte) (m dhcp4.Message, ok bool) {
	var r ipc.Response
	if r.Parse(bytes.Clone(datagram)) != drop.None || m.Parse(r.DHCPv4()) != drop.None {
		return dhcp4.Message{}, false
	}
	return m, true
}

// TestMadPrograms: whatever a program sends, queries that it has no say in are served, each wrong
// thing is counted, and no lease comes of it.
func TestMadPrograms(t *testing.T) {
	yes := func(number uint64) []byte {
		return (&outside.Answer{Number: number, Verdict: outside.Continue}).Append(nil)
	}
	hello := (&outside.Hello{Name: "mad", Events: outside.AllEvents}).Append(nil)
	done := outside.AppendDone(nil, make([]byte, spool.CursorLen))
	for name, tt := range map[string]struct {
		sends func(c net.Conn)
		wrong string
	}{
		"a record that is too long":    {func(c net.Conn) { _, _ = c.Write([]byte{0, 1, 0, 0}) }, "too_long"},
		"an answer for nobody":         {func(c net.Conn) { _, _ = c.Write(yes(77)) }, "nobody"},
		"a version from the future":    {func(c net.Conn) { a := yes(1); a[4] = 2; _, _ = c.Write(a) }, "version"},
		"the end in the middle of one": {func(c net.Conn) { _, _ = c.Write(yes(1)[:7]); _ = c.Close() }, "cut_off"},
		"a second hello":               {func(c net.Conn) { _, _ = c.Write(hello) }, "kind"},
		"a flood": {func(c net.Conn) {
			for {
				if _, err := c.Write(yes(77)); err != nil {
					return
				}
			}
		}, "flood"},
		"a flood of what it is done with already": {func(c net.Conn) {
			for {
				if _, err := c.Write(done); err != nil {
					return
				}
			}
		}, "flood"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "socket")
			on, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer on.Close()
			go func() {
				for {
					c, err := on.Accept()
					if err != nil {
						return
					}
					_, _ = c.Write(hello)
					go func() { _, _ = io.Copy(io.Discard, c) }()
					tt.sends(c)
				}
			}()
			s := newSite(t, "DHCP4D_SUBNETS="+outsideDocument, "DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET="+path,
				"DHCP4D_OUTSIDE_KEY=option[60].hex", "DHCP4D_OUTSIDE_TIMEOUT=50ms", "DHCP4D_OUTSIDE_EVENTS="+t.TempDir())
			end := time.Now().Add(time.Minute)
			for i := 0; counts(t, s.metrics, fmt.Sprintf("dhcp4d_outside_wrong_total{reason=%q}", tt.wrong)) == ""; i++ {
				if time.Now().After(end) {
					t.Fatal("it is not counted")
				}
				s.send(dhcp4.Discover, 2, netip.Addr{}, vendor("asked")) // gets nothing, ever
				if offer := s.ask(dhcp4.Discover, 1, netip.Addr{}); offer.Type() != dhcp4.Offer || offer.CHAddr()[5] != 1 {
					t.Fatalf("%v for client %d", offer.Type(), offer.CHAddr()[5])
				}
			}
		})
	}
}

// told connects as a program that wants events after a cursor, and returns the first n.
func told(t *testing.T, on net.Listener, cursor []byte, n int) (events []string, last []byte) {
	t.Helper()
	last = hears(t, on, cursor, n, func(e *outside.Event) {
		again := ""
		if e.Again {
			again = " again"
		}
		events = append(events, fmt.Sprintf("%s %d%s", e.Event, e.HWAddr[5], again))
	})
	return events, last
}

// hears connects as a program that wants events after a cursor, has each of the first n looked at,
// and returns the cursor of the last one.
func hears(t *testing.T, on net.Listener, cursor []byte, n int, each func(*outside.Event)) (last []byte) {
	t.Helper()
	hello := outside.Hello{Name: "accounting", Events: outside.AllEvents, Cursor: cursor}
	var c net.Conn
	var buf []byte
	for len(buf) == 0 { // the dhcp4d before may have left a connection that nobody has accepted
		var err error
		if c, err = on.Accept(); err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write(hello.Append(nil)); err == nil {
			octets := make([]byte, 1<<16)
			n, _ := c.Read(octets)
			buf = octets[:n]
		}
	}
	for heard := 0; heard < n; {
		for heard < n {
			record, whole, _ := outside.Next(buf, outside.MaxFromDaemon)
			if !whole {
				break
			}
			buf = buf[len(record):]
			r, wrong := outside.Parse(record)
			if wrong != outside.None {
				t.Fatal(wrong)
			}
			if r.Kind != outside.KindEvent {
				continue
			}
			e := r.Event()
			each(&e)
			heard, last = heard+1, bytes.Clone(e.Cursor)
			if _, err := c.Write(outside.AppendDone(nil, e.Cursor)); err != nil {
				t.Fatal(err)
			}
		}
		if heard == n {
			break
		}
		octets := make([]byte, 1<<16)
		got, err := c.Read(octets)
		if err != nil {
			t.Fatalf("after %d events: %v", heard, err)
		}
		buf = append(buf, octets[:got]...)
	}
	return last
}

// TestEventsReachAProgramThatWasAway: in order, each at least once, over the death of the program
// and of dhcp4d.
func TestEventsReachAProgramThatWasAway(t *testing.T) {
	dir := t.TempDir()
	on, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer on.Close()
	kept := filepath.Join(dir, "events")
	m := clocktest.NewRunning()
	start := func(t *testing.T) *site {
		return newSiteOn(t, m, "DHCP4D_SUBNETS="+outsideDocument, "DHCP4D_STORE=journal:"+filepath.Join(dir, "store"), "DHCP4D_HOOKS=outside",
			"DHCP4D_OUTSIDE_SOCKET="+filepath.Join(dir, "socket"), "DHCP4D_OUTSIDE_EVENTS="+kept)
	}
	check := func(t *testing.T, got []string, want ...string) {
		t.Helper()
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("told: %q, want %q", got, want)
		}
	}
	var cursor []byte
	var leased netip.Addr
	t.Run("a program that comes and goes", func(t *testing.T) {
		s := start(t)
		leased = s.lease(1)
		s.lease(2)
		var events []string
		events, cursor = told(t, on, nil, 1)
		check(t, events, "allocated 1")
		s.lease(3)
		events, cursor = told(t, on, cursor, 2)
		check(t, events, "allocated 2", "allocated 3")
		s.lease(4)
		eventuallyCounts(t, s.metrics, `dhcp4d_lease_events_total{event="allocated"} 4`)
	})
	t.Run("over a start of dhcp4d", func(t *testing.T) {
		s := start(t)
		s.ask(dhcp4.Release, 1, leased, dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1")))
		// What is new since the cursor, then what may not have been told before the start.
		events, _ := told(t, on, cursor, 6)
		check(t, events[:1], "allocated 4")
		check(t, events[5:], "released 1")
		for _, client := range []string{"1", "2", "3", "4"} {
			if !strings.Contains(strings.Join(events[1:5], ", "), "allocated "+client+" again") {
				t.Errorf("client %s is not told again: %q", client, events)
			}
		}
	})
	for _, step := range []time.Duration{0, -2 * time.Hour, 30 * 24 * time.Hour, -3 * 365 * 24 * time.Hour} {
		t.Run(fmt.Sprintf("what was committed and never kept comes from the store, the clock set by %v", step), func(t *testing.T) {
			files, err := filepath.Glob(filepath.Join(kept, "*.events"))
			if err != nil || len(files) != 1 {
				t.Fatalf("%v, %v", files, err)
			}
			whole, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := outside.Next(whole, outside.MaxFromDaemon)
			if err := os.Truncate(files[0], int64(len(first)+12)); err != nil {
				t.Fatal(err)
			}
			m.Step(step)
			start(t)
			events, _ := told(t, on, nil, 5)
			check(t, events[:1], "allocated 1")
			for _, want := range []string{"released 1", "allocated 2", "allocated 3", "allocated 4"} {
				if !strings.Contains(strings.Join(events[1:], ", "), want+" again") {
					t.Errorf("not told: %s, but %q", want, events)
				}
			}
		})
	}
}
