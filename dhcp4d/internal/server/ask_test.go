package server

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// program is a program outside that a test plays: it says hello and hands over what it is asked.
type program struct {
	t     testing.TB
	on    net.Listener
	conns chan net.Conn
	conn  net.Conn
	asked chan outside.Query
}

// playProgram listens on a socket.
func playProgram(t testing.TB, path string) *program {
	t.Helper()
	on, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t: t, on: on, conns: make(chan net.Conn), asked: make(chan outside.Query, 10_000)}
	t.Cleanup(func() { _ = on.Close() })
	go func() {
		defer close(p.conns)
		for {
			c, err := on.Accept()
			if err != nil {
				return
			}
			p.conns <- c
		}
	}()
	return p
}

// meet waits for a connection and says hello.
func (p *program) meet() {
	p.t.Helper()
	p.conn = <-p.conns
	conn := p.conn
	p.t.Cleanup(func() { _ = conn.Close() })
	hello := outside.Hello{Name: "test"}
	p.send(hello.Append(nil))
	go func() {
		var buf []byte
		for {
			octets := make([]byte, 1<<16)
			n, err := conn.Read(octets)
			if err != nil {
				return
			}
			for buf = append(buf, octets[:n]...); ; {
				record, whole, _ := outside.Next(buf, outside.MaxFromDaemon)
				if !whole {
					break
				}
				if r, wrong := outside.Parse(record); wrong != outside.None {
					p.t.Errorf("a record that is wrong: %v", wrong)
				} else if r.Kind == outside.KindQuery {
					q := r.Query()
					q.Key, q.Message = bytes.Clone(q.Key), bytes.Clone(q.Message)
					p.asked <- q
				}
				buf = buf[len(record):]
			}
		}
	}()
}

func (p *program) send(records ...[]byte) {
	p.t.Helper()
	if _, err := p.conn.Write(bytes.Join(records, nil)); err != nil {
		p.t.Error(err)
	}
}

// answer answers a question.
func (p *program) answer(q outside.Query, a outside.Answer) {
	p.t.Helper()
	a.Number = q.Number
	p.send(a.Append(nil))
}

// questions is a bench whose dhcp4d asks a program.
type questionsBench struct {
	*bench
	program *program
	asker   *asking.Asker
	woken   chan struct{}
	uptime  time.Duration
}

// asks has a bench ask a program by hardware address.
func asks(t testing.TB, b *bench, change func(*asking.Config)) *questionsBench {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	q := &questionsBench{bench: b, program: playProgram(t, path), woken: make(chan struct{}, 1)}
	key, err := expression.CompileValue("pkt4.mac", nil)
	if err != nil {
		t.Fatal(err)
	}
	var settable [256]bool
	settable[dhcp4.OptHostName] = true
	c := asking.Config{
		Point: string(event.Subnet4Select), Key: key, Timeout: time.Second, Limits: parking.Limits{Queries: 64, Point: 32},
		Reasons: []string{"unpaid"}, Settable: &settable, Verdicts: 1000,
	}
	if change != nil {
		change(&c)
	}
	metrics := asking.NewMetrics(b.registry, c.Reasons)
	link := consult.NewLink(consult.Options{Path: path, Log: slog.New(slog.DiscardHandler), Metrics: metrics.Metrics, Hello: outside.Hello{Daemon: "dhcp4d"}})
	t.Cleanup(link.Close)
	q.asker = &asking.Asker{Config: c, Link: link, Cache: consult.NewCache(1), Metrics: metrics}
	b.server.Uptime = func() time.Duration { return q.uptime }
	b.server.Wake = func() {
		select {
		case q.woken <- struct{}{}:
		default:
		}
	}
	set := NewSettings(b.subnets, nil, q.hooks(t), q.asker)
	b.server.Settings.Store(set)
	q.program.meet()
	b.server.batch(nil) // so that the link knows whom to wake
	for link.Away() > 0 {
		time.Sleep(time.Millisecond)
	}
	return q
}

func (q *questionsBench) hooks(t testing.TB) *event.Hooks {
	return event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		hook.FilterPoint[event.Query](q.asker.Point).RunLast(a, q.asker.Decide)
	}))
}

// in takes a message of a client in a batch of its own.
func (q *questionsBench) in(t testing.TB, m []byte) {
	t.Helper()
	q.server.batch([]udp.Packet{{Data: frame(t, query(m), direct), Peer: sixd}})
}

// parkedNow is how many queries wait.
func (q *questionsBench) parkedNow() int { return q.server.questions.lot.Len() }

// until takes batches without packets until something is so.
func (q *questionsBench) until(t testing.TB, what string, is func() bool) {
	t.Helper()
	eventually(t, what, func() bool {
		select {
		case <-q.woken:
		default:
		}
		q.server.batch(nil)
		return is()
	})
}

// sum is bench.sum of a series of the hook.
func (q *questionsBench) wrong(t testing.TB, reason string) float64 {
	return q.sum(t, "dhcp4d_outside_wrong_total", "reason="+reason)
}

func TestAQueryWaitsForItsVerdictAndTheLoopGoesOn(t *testing.T) {
	q := asks(t, newBench(t), nil)
	q.in(t, message(dhcp4.Discover, 1, wantsIPs))
	asked := <-q.program.asked
	if asked.Point != "subnet4_select" || !bytes.Equal(asked.Key, []byte{2, 0, 0, 0, 0, 1}) || asked.Subnet != 1 ||
		asked.Interface != "eth1" || asked.Source != direct.Addr() || asked.Peer != "six" || asked.MessageType != 1 {
		t.Errorf("asked is %+v", asked)
	}
	if q.parkedNow() != 1 || len(q.ipc.Sent(0)) != 0 {
		t.Fatalf("%d are parked, and something was sent", q.parkedNow())
	}
	// Another client, of whose key a verdict is known, is served meanwhile.
	q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, 2}, 1, outside.Answer{Verdict: outside.Continue, Keep: 9}, time.Hour)
	q.in(t, message(dhcp4.Discover, 2, wantsIPs))
	if m := answer(t, q.ipc.Sent(1)[0]); m.Type() != dhcp4.Offer || m.CHAddr()[5] != 2 {
		t.Fatalf("the other client gets %v", m.Type())
	}
	q.program.answer(asked, outside.Answer{Verdict: outside.Continue, Keep: 60})
	<-q.woken
	q.until(t, "it is served", func() bool { return q.parkedNow() == 0 })
	sent := q.ipc.Sent(1)
	if m := answer(t, sent[0]); m.Type() != dhcp4.Offer || m.CHAddr()[5] != 1 || sent[0].Peer != sixd {
		t.Errorf("the client gets %v by %v", m.Type(), sent[0].Peer)
	}
	if n := q.sum(t, "dhcp4d_queries_received_total"); n != 2 {
		t.Errorf("%v datagrams were received, want 2", n)
	}
	// Its next query is not asked about.
	q.in(t, message(dhcp4.Discover, 1, wantsIPs))
	if m := answer(t, q.ipc.Sent(1)[0]); m.Type() != dhcp4.Offer {
		t.Errorf("then the client gets %v", m.Type())
	}
	for by, want := range map[string]float64{"answer": 1, "cache": 2} {
		if n := q.sum(t, "dhcp4d_outside_decided_total", "by="+by); n != want {
			t.Errorf("by %s: %v, want %v", by, n, want)
		}
	}
}

func TestWhatAVerdictBrings(t *testing.T) {
	free := netip.MustParseAddr("192.0.2.77")
	for _, tt := range []struct {
		name    string
		verdict outside.Answer
		want    string // of an OFFER: address, lease time, host name; else the series that counts
	}{
		{"continue", outside.Answer{Verdict: outside.Continue}, "192.0.2.100 3600 "},
		{"an address", outside.Answer{Verdict: outside.Continue, Address: free}, "192.0.2.77 3600 "},
		{"a lease time", outside.Answer{Verdict: outside.Continue, LeaseTime: 77}, "192.0.2.100 77 "},
		{"an option", outside.Answer{Verdict: outside.Continue, Options: []outside.Option{{Code: dhcp4.OptHostName, Value: []byte("seven")}}}, "192.0.2.100 3600 seven"},
		{"a drop", outside.Answer{Verdict: outside.Drop, Reason: "unpaid"}, "hook dhcp4d_outside_dropped_total reason=unpaid"},
		{"a drop for another reason", outside.Answer{Verdict: outside.Drop, Reason: "whatever"}, "hook dhcp4d_outside_dropped_total reason=other"},
		{"an address outside of the subnet", outside.Answer{Verdict: outside.Continue, Address: netip.MustParseAddr("10.0.0.1")}, "hook_verdict dhcp4d_outside_wrong_total reason=address_outside"},
		{"an address in no pool", outside.Answer{Verdict: outside.Continue, Address: netip.MustParseAddr("192.0.2.2")}, "hook_verdict dhcp4d_outside_wrong_total reason=address_outside"},
		{"the address of nobody", outside.Answer{Verdict: outside.Continue, Address: netip.MustParseAddr("0.0.0.0")}, "hook_timeout dhcp4d_outside_wrong_total reason=address_outside"},
		{"a pool that there is not", outside.Answer{Verdict: outside.Continue, Pool: "gold"}, "hook_verdict dhcp4d_outside_wrong_total reason=pool"},
		{"a class that there is not", outside.Answer{Verdict: outside.Continue, Classes: []string{"gold"}}, "hook_timeout dhcp4d_outside_wrong_total reason=class"},
		{"an option that is dhcp4d's own", outside.Answer{Verdict: outside.Continue, Options: []outside.Option{{Code: dhcp4.OptServerIdentifier, Value: []byte{1, 2, 3, 4}}}}, "hook_timeout dhcp4d_outside_wrong_total reason=option"},
		{"an address that another client has", outside.Answer{Verdict: outside.Continue, Address: netip.MustParseAddr("192.0.2.99")}, "hook_verdict dhcp4d_outside_wrong_total reason=address_taken"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t)
			if ack := b.ask(t, frame(t, query(message(dhcp4.Request, 9, addrOption(dhcp4.OptRequestedAddress, "192.0.2.99"), ourID)), direct)); ack.Type() != dhcp4.ACK {
				t.Fatal(ack.Type())
			}
			q := asks(t, b, nil)
			q.in(t, message(dhcp4.Discover, 1, wantsIPs))
			q.program.answer(<-q.program.asked, tt.verdict)
			q.until(t, "it is settled", func() bool { return q.parkedNow() == 0 })
			if why, counted, dropped := strings.Cut(tt.want, " dhcp4d_"); dropped {
				name, label, _ := strings.Cut("dhcp4d_"+counted, " ")
				if n := q.sum(t, "dhcp4d_packets_dropped_total", "reason="+why); n != 1 {
					t.Errorf("%v dropped as %s", n, why)
				}
				if n := q.sum(t, name, label); n != 1 {
					t.Errorf("%v counted as %s", n, label)
				}
				return
			}
			m := answer(t, q.ipc.Sent(1)[0])
			lasting, _ := m.Uint32(dhcp4.OptLeaseTime)
			host, _ := m.Option(dhcp4.OptHostName)
			if got := fmt.Sprintf("%v %d %s", m.YIAddr(), lasting, host); got != tt.want {
				t.Errorf("the client gets %s, want %s", got, tt.want)
			}
		})
	}
}

// A client that has another address than the verdict says gets no other one for it, and never keeps
// its own.
func TestAVerdictGivesItsAddressOrNone(t *testing.T) {
	b := newBench(t)
	mine, theirs := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("192.0.2.60")
	for client, a := range map[byte]netip.Addr{1: mine, 2: theirs} {
		b.ask(t, frame(t, query(message(dhcp4.Request, client, addrOption(dhcp4.OptRequestedAddress, a.String()), ourID)), direct))
	}
	q := asks(t, b, nil)
	say := func(a netip.Addr) {
		q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, 1}, 1, outside.Answer{Verdict: outside.Continue, Address: a}, time.Hour)
	}
	free := netip.MustParseAddr("192.0.2.70")
	say(free)
	for name, m := range map[string][]byte{
		"renewing":    with(mine, message(dhcp4.Request, 1)),
		"init-reboot": message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, mine.String())),
		"selecting":   message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, mine.String()), ourID),
	} {
		if nak := b.ask(t, frame(t, query(m), direct)); nak.Type() != dhcp4.NAK {
			t.Errorf("%s with an address that is free: %v of %v, want a NAK", name, nak.Type(), nak.YIAddr())
		}
	}
	say(theirs)
	before := q.wrong(t, "address_taken")
	for i, m := range [][]byte{
		with(mine, message(dhcp4.Request, 1)), message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, mine.String())), message(dhcp4.Discover, 1),
	} {
		q.in(t, m)
		if sent := q.ipc.Sent(0); len(sent) != 0 {
			m := answer(t, sent[0])
			t.Errorf("query %d is answered by %v of %v", i, m.Type(), m.YIAddr())
		}
	}
	if n := q.wrong(t, "address_taken") - before; n != 3 {
		t.Errorf("%v answers count as address_taken, want 3", n)
	}
	say(mine)
	if ack := b.ask(t, frame(t, query(with(mine, message(dhcp4.Request, 1))), direct)); ack.Type() != dhcp4.ACK || ack.YIAddr() != mine {
		t.Errorf("with its own address: %v of %v", ack.Type(), ack.YIAddr())
	}
}

func TestQueriesOfAClientKeepTheirOrder(t *testing.T) {
	b := newBench(t)
	var seen []string
	q := asks(t, b, nil)
	q.server.Settings.Load().Hooks.Lease4Select = event.Lease4Select.List(hooktest.Set(t, func(a *hook.Attachment) {
		event.Lease4Select.Run(a, func(e *event.Query) drop.Reason {
			seen = append(seen, fmt.Sprint(e.Message.Type(), e.Message.CHAddr()[5]))
			return hook.Continue
		})
	}))
	a := netip.MustParseAddr("192.0.2.11") // the second client is served first
	q.in(t, message(dhcp4.Discover, 1))
	q.in(t, message(dhcp4.Discover, 2))
	q.in(t, requested(1, a))
	q.in(t, with(a, message(dhcp4.Release, 1, ourID)))
	if q.parkedNow() != 4 {
		t.Fatalf("%d are parked, want 4: a RELEASE must not overtake", q.parkedNow())
	}
	first, second := <-q.program.asked, <-q.program.asked
	q.program.answer(second, outside.Answer{Verdict: outside.Continue})
	q.until(t, "the second is served", func() bool { return q.parkedNow() == 3 })
	q.program.answer(first, outside.Answer{Verdict: outside.Continue, Keep: 9})
	q.until(t, "the first is served", func() bool { return q.parkedNow() == 0 })
	q.ipc.Sent(2)
	if got, want := strings.Join(seen, ", "), "discover 2, discover 1, request 1"; got != want {
		t.Errorf("decided: %s, want %s", got, want)
	}
	eventually(t, "the release comes last", func() bool { return q.sum(t, "dhcp4d_queries_silent_total", "reason=released") == 1 })
}

func TestPolicies(t *testing.T) {
	old := outside.Answer{Verdict: outside.Continue, LeaseTime: 55}
	no := outside.Answer{Verdict: outside.Drop}
	for _, tt := range []struct {
		name   string
		policy asking.Policy
		known  *outside.Answer // no longer good
		want   string          // lease time of the OFFER, or the drop
	}{
		{"drop", asking.Drop, &old, "hook_timeout"},
		{"open", asking.Open, &no, "3600"},
		{"stale", asking.Stale, &old, "55"},
		{"stale, and the verdict was no", asking.Stale, &no, "hook"},
		{"stale, and nothing is known", asking.Stale, nil, "hook_timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			q := asks(t, newBench(t), func(c *asking.Config) { c.Policy = tt.policy })
			if tt.known != nil {
				q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, 1}, 1, *tt.known, 0)
			}
			q.in(t, message(dhcp4.Discover, 1))
			asked := <-q.program.asked
			q.uptime = time.Second - 1
			q.server.batch(nil)
			if q.parkedNow() != 1 {
				t.Fatal("it has not waited for its time")
			}
			q.uptime = time.Second
			q.server.batch(nil)
			if q.parkedNow() != 0 {
				t.Fatal("it waits for ever")
			}
			if tt.want[0] == 'h' {
				if n := q.sum(t, "dhcp4d_packets_dropped_total", "reason="+tt.want); n != 1 {
					t.Errorf("%v dropped as %s", n, tt.want)
				}
			} else {
				m := answer(t, q.ipc.Sent(1)[0])
				if lasting, _ := m.Uint32(dhcp4.OptLeaseTime); fmt.Sprint(lasting) != tt.want {
					t.Errorf("the lease is for %d s", lasting)
				}
			}
			// The answer comes after all: too late, and it counts once.
			q.program.answer(asked, outside.Answer{Verdict: outside.Continue})
			eventually(t, "it counts as late", func() bool { return q.wrong(t, "late") == 1 })
		})
	}
}

// TestVerdictsForOneQuery: only the policy stale has a use for one that holds for no other query.
func TestVerdictsForOneQuery(t *testing.T) {
	for policy, kept := range map[asking.Policy]int{asking.Drop: 0, asking.Open: 0, asking.Stale: 1} {
		t.Run(asking.Policies[policy], func(t *testing.T) {
			q := asks(t, newBench(t), func(c *asking.Config) { c.Policy = policy })
			q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, 1}, 1, outside.Answer{Verdict: outside.Drop}, 0) // no longer good
			q.in(t, message(dhcp4.Discover, 1))
			q.program.answer(<-q.program.asked, outside.Answer{Verdict: outside.Continue, LeaseTime: 55})
			q.until(t, "it is answered", func() bool { return q.parkedNow() == 0 })
			m := answer(t, q.ipc.Sent(1)[0])
			if lasting, _ := m.Uint32(dhcp4.OptLeaseTime); lasting != 55 {
				t.Errorf("the lease is for %d s", lasting)
			}
			if n := q.asker.Cache.Len(); n != kept {
				t.Errorf("%d verdicts are kept, want %d", n, kept)
			}
			q.in(t, message(dhcp4.Discover, 1))
			if again := <-q.program.asked; again.MessageType != byte(dhcp4.Discover) {
				t.Errorf("asked is %+v", again)
			}
		})
	}
}

func TestAProgramThatComesBackIsAskedAgain(t *testing.T) {
	q := asks(t, newBench(t), nil)
	q.in(t, message(dhcp4.Discover, 1))
	<-q.program.asked
	_ = q.program.conn.Close()
	q.program.meet()
	var asked outside.Query
	q.until(t, "it is asked again", func() bool {
		select {
		case asked = <-q.program.asked:
			return true
		default:
			return false
		}
	})
	q.program.answer(asked, outside.Answer{Verdict: outside.Continue})
	q.until(t, "it is served", func() bool { return q.parkedNow() == 0 })
	if m := answer(t, q.ipc.Sent(1)[0]); m.Type() != dhcp4.Offer {
		t.Errorf("the client gets %v", m.Type())
	}
}

func TestForget(t *testing.T) {
	q := asks(t, newBench(t), nil)
	key := []byte{2, 0, 0, 0, 0, 1}
	for _, forget := range [][]byte{outside.AppendForget(nil, key), outside.AppendForget(nil, nil)} {
		q.asker.Cache.Put(key, 1, outside.Answer{Verdict: outside.Continue}, time.Hour)
		q.program.send(forget)
		q.until(t, "it is forgotten", func() bool { return q.asker.Cache.Len() == 0 })
	}
	q.program.send(outside.AppendForget(nil, []byte("another")))
	q.in(t, message(dhcp4.Discover, 1))
	<-q.program.asked
}

func TestAReloadAsksAnewOrNoMore(t *testing.T) {
	q := asks(t, newBench(t), nil)
	passed := 0
	count := func(h *event.Hooks) *event.Hooks {
		h.Pkt4Receive = event.Pkt4Receive.List(hooktest.Set(t, func(a *hook.Attachment) {
			event.Pkt4Receive.Run(a, func(*event.Query) drop.Reason { passed++; return hook.Continue })
		}))
		return h
	}
	q.server.Settings.Store(NewSettings(q.subnets, nil, count(q.hooks(t)), q.asker))
	q.in(t, message(dhcp4.Discover, 1))
	q.program.answer(<-q.program.asked, outside.Answer{Verdict: outside.Continue})
	q.until(t, "it is served", func() bool { return q.parkedNow() == 0 })
	if passed != 1 {
		t.Errorf("the query has passed a hook %d times", passed)
	}
	q.ipc.Sent(1)
	q.in(t, message(dhcp4.Discover, 2))
	<-q.program.asked
	next := *q.asker
	q.asker = &next
	q.server.Settings.Store(NewSettings(q.subnets, nil, count(q.hooks(t)), q.asker))
	q.server.batch(nil)
	asked := <-q.program.asked
	if q.parkedNow() != 1 {
		t.Fatal("the query does not wait again")
	}
	q.server.Settings.Store(NewSettings(q.subnets, nil, new(event.Hooks), nil))
	q.server.batch(nil)
	if m := answer(t, q.ipc.Sent(1)[0]); m.Type() != dhcp4.Offer {
		t.Errorf("without the hook the client gets %v", m.Type())
	}
	q.program.answer(asked, outside.Answer{Verdict: outside.Continue})
	eventually(t, "the answer is late", func() bool { return q.wrong(t, "late") == 1 })
}

func TestTooManyForTheLot(t *testing.T) {
	q := asks(t, newBench(t), func(c *asking.Config) { c.Limits = parking.Limits{Queries: 3, Point: 2}; c.Policy = asking.Open })
	full := func() float64 { return q.sum(t, "dhcp4d_packets_dropped_total", "reason=hook_full") }
	q.in(t, message(dhcp4.Discover, 1))
	q.in(t, message(dhcp4.Discover, 2))
	q.in(t, message(dhcp4.Discover, 3))
	if full() != 1 || q.parkedNow() != 2 {
		t.Errorf("of one attachment point %v are dropped and %d wait", full(), q.parkedNow())
	}
	for i := range 3 { // from other attachment points; the last finds the lot full, and the policy decides
		at := netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("fe80::%d", 7+i)), 546)
		q.server.batch([]udp.Packet{{Data: frame(t, query(message(dhcp4.Discover, byte(4+i))), at), Peer: sixd}})
	}
	if q.parkedNow() != 3 || full() != 1 || len(q.ipc.Sent(2)) != 2 {
		t.Errorf("%d wait, %v are dropped", q.parkedNow(), full())
	}
}

// warm is a server whose queries all have a verdict in the cache.
func warm(t testing.TB, n int) (batch func()) {
	b, batch := steady(t, n)
	q := asks(t, b, nil)
	for i := range byte(n) {
		q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, i}, 1, outside.Answer{Verdict: outside.Continue}, time.Hour)
	}
	return batch
}

func TestAVerdictThatIsKnownCostsNoAllocation(t *testing.T) {
	batch := warm(t, 64)
	for range 100 {
		batch()
	}
	if n := testing.AllocsPerRun(50, batch); n != 0 {
		t.Errorf("a batch of 64 queries allocates %v times", n)
	}
}

func BenchmarkQueriesWithVerdicts(b *testing.B) {
	batch := warm(b, 64)
	b.ReportAllocs()
	for range b.N {
		batch()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/query")
}
