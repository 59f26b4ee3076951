package table

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

const start lease.Time = 1_700_000_000

// site is a table with its policy and clock, used as the server uses it.
type site struct {
	*Table
	p     lease.Policy
	now   lease.Time
	seq   uint64
	group lease.Batch
	ended []string
}

func newSite(options Options, subnets ...Subnet) *site {
	s := &site{now: start, p: lease.Policy{ServerID: ip(1), Authoritative: true, Times: lease.Times{Default: 3600, Min: 60, Max: 7200}, Hold: 60, Quarantine: 86400,
		T2: func(leaseTime uint32) uint32 { return leaseTime / 8 * 7 }}}
	options.Ended = func(e lease.Event, b *lease.Binding, _ uint64) {
		s.ended = append(s.ended, e.String()+" "+b.Addr.String())
	}
	s.Table = New(subnets, options)
	return s
}

func small(last int) Subnet {
	return Subnet{ID: 7, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: rangeOf(10, last)}
}

// from makes a query of client c at point p.
func from(c, p string) lease.Query {
	return lease.Query{Client: append([]byte{lease.KeyIdentifier}, c...), Point: append([]byte{byte(attachment.InterfaceID)}, p...)}
}

func (s *site) ask(q lease.Query) lease.Decision {
	var f lease.Facts
	s.Look(&q, s.now, &f)
	d := lease.Decide(&q, &s.p, &f, s.now)
	s.seq++
	s.Apply(&q, &d, s.now, s.seq, &s.group)
	return d
}

func (s *site) discover(q lease.Query) lease.Decision { q.Type = dhcp4.Discover; return s.ask(q) }
func (s *site) request(q lease.Query, a netip.Addr) lease.Decision {
	q.Type, q.Requested, q.ServerID = dhcp4.Request, a, s.p.ServerID
	return s.ask(q)
}
func (s *site) renew(q lease.Query, a netip.Addr) lease.Decision {
	q.Type, q.CIAddr = dhcp4.Request, a
	return s.ask(q)
}
func (s *site) release(q lease.Query, a netip.Addr) lease.Decision {
	q.Type, q.CIAddr, q.ServerID = dhcp4.Release, a, s.p.ServerID
	return s.ask(q)
}
func (s *site) decline(q lease.Query, a netip.Addr) lease.Decision {
	q.Type, q.Requested, q.ServerID = dhcp4.Decline, a, s.p.ServerID
	return s.ask(q)
}

func (s *site) obtain(t *testing.T, q lease.Query) netip.Addr {
	t.Helper()
	o := s.discover(q)
	a := s.request(q, o.Addr)
	if o.Kind != lease.Offer || a.Kind != lease.Ack || a.Addr != o.Addr {
		t.Fatalf("DISCOVER: %+v, REQUEST: %+v", o, a)
	}
	return a.Addr
}

func TestAllocation(t *testing.T) {
	t.Run("D4-11 the same client on two subnets holds two leases", func(t *testing.T) {
		s := newSite(Options{}, small(20), Subnet{ID: 8, Prefix: netip.MustParsePrefix("198.51.100.0/24"),
			Pools: []free.Range{{First: netip.MustParseAddr("198.51.100.5"), Last: netip.MustParseAddr("198.51.100.9")}}})
		a, b := from("a", "p"), from("a", "p")
		b.Subnet = 1
		x, y := s.obtain(t, a), s.obtain(t, b)
		if s.renew(a, x).Kind != lease.Ack || s.renew(b, y).Kind != lease.Ack || s.renew(b, x).Kind != lease.Nak {
			t.Error("the leases are not apart")
		}
	})
	t.Run("D4-15 two clients never get the same offer while it is held", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		a := s.discover(from("a", "p")).Addr
		q := from("b", "p")
		q.Requested = a
		if b := s.discover(q).Addr; a == b || !b.IsValid() {
			t.Errorf("offered %v and %v", a, b)
		}
		s.now += 60
		if b := s.discover(func() lease.Query { q := from("c", "p"); q.Requested = a; return q }()).Addr; b != a {
			t.Errorf("after the hold %v is offered instead of %v", b, a)
		}
	})
	t.Run("D4-15 a client gets its old address back as long as it can", func(t *testing.T) {
		s := newSite(Options{}, small(12))
		a, b := from("a", "p"), from("b", "p")
		x := s.obtain(t, a)
		s.now += 3600
		y := s.obtain(t, b)
		if x == y {
			t.Fatal("the expired address went first although others were never used")
		}
		if o := s.discover(a); o.Addr != x {
			t.Errorf("offered %v, had %v", o.Addr, x)
		}
		if d := s.request(a, x); d.Event != lease.EventReused {
			t.Errorf("event %v", d.Event)
		}
	})
	t.Run("D4-15 the longest unused address goes first when none is new", func(t *testing.T) {
		s := newSite(Options{}, small(12))
		var got []netip.Addr
		for _, c := range []string{"a", "b", "c"} {
			got = append(got, s.obtain(t, from(c, "p")))
		}
		for _, i := range []int{1, 0, 2} {
			s.release(from(string(rune('a'+i)), "p"), got[i])
		}
		for _, want := range []int{1, 0, 2} {
			if d := s.discover(from(fmt.Sprint("new", want), "p")); d.Addr != got[want] {
				t.Errorf("offered %v, want %v", d.Addr, got[want])
			}
		}
	})
	t.Run("D4-16 a full pool is silence until something ends", func(t *testing.T) {
		s := newSite(Options{}, small(10))
		s.obtain(t, from("a", "p"))
		if d := s.discover(from("b", "p")); d.Drop != drop.NoAddress {
			t.Errorf("got %+v", d)
		}
		s.now += 3600
		if d := s.discover(from("b", "p")); d.Kind != lease.Offer {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("D4-19 foreign 54: the reservation is free again", func(t *testing.T) {
		s := newSite(Options{}, small(10))
		q := from("a", "p")
		x := s.discover(q).Addr
		q.Type, q.Requested, q.ServerID = dhcp4.Request, x, ip(99)
		if d := s.ask(q); d.Kind != lease.Silent {
			t.Errorf("got %+v", d)
		}
		if d := s.discover(from("b", "p")); d.Addr != x {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("D4-20 right, wrong and late", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		q := from("a", "p")
		x := s.discover(q).Addr
		if d := s.request(q, x.Next()); d.Kind != lease.Nak {
			t.Errorf("wrong: %+v", d)
		}
		s.now += 100
		if d := s.request(q, x); d.Kind != lease.Ack {
			t.Errorf("late: %+v", d)
		}
	})
	t.Run("D4-23 decline by the holder quarantines", func(t *testing.T) {
		s := newSite(Options{}, small(11))
		q := from("a", "p")
		x := s.obtain(t, q)
		s.decline(q, x)
		y := s.obtain(t, q)
		if x == y || s.discover(from("b", "p")).Kind != lease.Dropped {
			t.Errorf("%v was declined, then %v given", x, y)
		}
		s.now += 86400
		if d := s.discover(from("b", "p")); d.Kind != lease.Offer {
			t.Errorf("after the quarantine: %+v", d)
		}
	})
	t.Run("D4-24 release by the holder frees, the holder gets the address again", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		q := from("a", "p")
		x := s.obtain(t, q)
		if s.release(from("b", "p"), x); s.Counts(0) != (Counts{Bound: 1}) {
			t.Error("another client released it")
		}
		if s.release(q, x); s.Counts(0) != (Counts{Former: 1}) {
			t.Error("not released")
		}
		if y := s.obtain(t, q); x != y {
			t.Errorf("had %v, got %v", x, y)
		}
	})
	t.Run("D4-27 ten equal DISCOVERs and REQUESTs: one lease, ten equal answers", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		q := from("a", "p")
		o := s.discover(q)
		for range 9 {
			if d := s.discover(q); d != o {
				t.Errorf("got %+v, first %+v", d, o)
			}
		}
		first := s.request(q, o.Addr)
		for range 9 {
			d := s.request(q, o.Addr)
			if d.Addr != first.Addr || d.Time != first.Time || d.Change != lease.None || d.After != s.latest {
				t.Errorf("got %+v, first %+v", d, first)
			}
		}
		if s.Counts(0) != (Counts{Bound: 1}) || len(s.group.Records) != 1 {
			t.Errorf("%+v, %d records", s.Counts(0), len(s.group.Records))
		}
	})
	t.Run("Q-36 one more than the limit gets no offer, at that point", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		s.p.Limit = 3
		a := s.obtain(t, from("a", "p"))
		s.decline(from("a", "p"), a)
		b := s.obtain(t, from("b", "p"))
		s.discover(from("c", "p"))
		if d := s.discover(from("d", "p")); d.Drop != drop.PointLimit {
			t.Errorf("got %+v", d)
		}
		if d := s.discover(from("d", "elsewhere")); d.Kind != lease.Offer {
			t.Errorf("elsewhere: %+v", d)
		}
		s.release(from("b", "p"), b)
		if d := s.discover(from("e", "p")); d.Kind != lease.Offer {
			t.Errorf("after a release: %+v", d)
		}
	})
	t.Run("RA-6 many clients at one point without identifiers", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		seen := map[netip.Addr]bool{}
		for i := range 10 {
			q := lease.Query{Client: lease.AppendKey(nil, nil, 1, []byte{2, 0, 0, 0, 0, byte(i)}), Point: []byte{1, 1}}
			seen[s.obtain(t, q)] = true
		}
		if len(seen) != 10 {
			t.Errorf("%d addresses", len(seen))
		}
	})
}

func TestReservations(t *testing.T) {
	conf := small(20)
	conf.Reserved = []netip.Addr{ip(10), ip(200)}
	t.Run("a reserved address goes to nobody else", func(t *testing.T) {
		s := newSite(Options{}, conf)
		for i := range 10 {
			q := from(fmt.Sprint(i), "p")
			q.Requested = ip(10)
			if d := s.discover(q); d.Addr == ip(10) || d.Kind != lease.Offer {
				t.Fatalf("got %+v", d)
			}
		}
		if d := s.discover(from("more", "p")); d.Drop != drop.NoAddress {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("a reservation outside the pools is given and comes back", func(t *testing.T) {
		s := newSite(Options{}, conf)
		q := from("a", "p")
		q.Reservation = ip(200)
		for range 2 {
			if x := s.obtain(t, q); x != ip(200) {
				t.Errorf("got %v", x)
			}
			s.now += 5000
		}
		if s.release(q, ip(200)); s.discover(q).Addr != ip(200) {
			t.Error("not offered after its release")
		}
	})
	t.Run("a client that holds another address moves at renewal, and what it had becomes free", func(t *testing.T) {
		s := newSite(Options{}, conf)
		q := from("a", "p")
		x := s.obtain(t, q)
		q.Reservation = ip(200)
		if d := s.renew(q, x); d.Kind != lease.Nak {
			t.Errorf("got %+v", d)
		}
		s.group.Reset()
		if y := s.obtain(t, q); y != ip(200) || s.Counts(0) != (Counts{Bound: 1}) {
			t.Errorf("got %v, %+v", y, s.Counts(0))
		}
		if len(s.group.Records) != 2 || s.group.Records[0].State != lease.Released || s.group.Records[0].Addr != x {
			t.Errorf("records %+v", s.group.Records)
		}
	})
	t.Run("a reservation by attachment point moves to a new CPE at once", func(t *testing.T) {
		s := newSite(Options{}, conf)
		old, next := from("old", "p"), from("new", "p")
		old.Reservation, old.ByPoint = ip(200), true
		next.Reservation, next.ByPoint = ip(200), true
		s.obtain(t, old)
		if x := s.obtain(t, next); x != ip(200) {
			t.Errorf("got %v", x)
		}
		if d := s.renew(old, ip(200)); d.Kind != lease.Nak {
			t.Errorf("the old one: %+v", d)
		}
		if !slices.Contains(s.ended, "released 192.0.2.200") {
			t.Errorf("events %v", s.ended)
		}
	})
}

func TestQuarantineTakesAtMostATenthOfAPool(t *testing.T) {
	conf := Subnet{ID: 7, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: append(rangeOf(1, 20), rangeOf(101, 105)...)}
	s := newSite(Options{}, conf)
	s.p.ServerID = ip(250)
	for i := range 100 {
		q := from(fmt.Sprint(i), "p")
		s.decline(q, s.obtain(t, q))
		s.now++
	}
	if c := s.Counts(0); c != (Counts{Declined: 3}) {
		t.Errorf("%+v", c)
	}
	if n := len(s.ended); n != 97 || s.ended[0] != "reclaimed 192.0.2.1" {
		t.Errorf("%d events, first %v", n, s.ended[0])
	}
}

func TestOffersAreBounded(t *testing.T) {
	t.Run("the point with most offers loses its oldest", func(t *testing.T) {
		s := newSite(Options{Offers: 5}, small(100))
		quiet := s.discover(from("quiet", "q")).Addr
		var flood []netip.Addr
		for i := range 50 {
			flood = append(flood, s.discover(from(fmt.Sprint(i), "flood")).Addr)
		}
		if c := s.Counts(0); c != (Counts{Offered: 5}) {
			t.Errorf("%+v", c)
		}
		var b lease.Binding
		if !s.Get(lease.ID{Addr: quiet}, &b) || b.State != lease.Offered {
			t.Error("the offer of another point went")
		}
		if s.Get(lease.ID{Addr: flood[0]}, &b) || !s.Get(lease.ID{Addr: flood[49]}, &b) {
			t.Error("not the oldest went")
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		s := newSite(Options{Offers: 8}, small(100))
		type hold struct{ client, point string }
		var twin []hold
		for range rapid.IntRange(1, 60).Draw(t, "messages") {
			h := hold{fmt.Sprint(rapid.IntRange(0, 20).Draw(t, "client")), ""}
			h.point = fmt.Sprint(h.client[0] % 4)
			i := slices.Index(twin, h)
			if rapid.IntRange(0, 3).Draw(t, "request") == 0 && i >= 0 {
				var b lease.Binding
				s.ByClient(7, from(h.client, "").Client, func(o *lease.Binding) { b = *o })
				q := from(h.client, h.point)
				if d := s.request(q, b.Addr); d.Kind != lease.Ack {
					t.Fatalf("got %+v", d)
				}
				s.release(q, b.Addr)
				twin = slices.Delete(twin, i, i+1)
				continue
			}
			s.discover(from(h.client, h.point))
			if i >= 0 {
				twin = slices.Delete(twin, i, i+1)
			}
			twin = append(twin, h)
			if len(twin) > 8 {
				// The one that went must be the oldest of a point with most.
				twin = twin[:8]
				count, most := map[string]int{}, 0
				for _, o := range twin {
					count[o.point]++
					most = max(most, count[o.point])
				}
				gone := -1
				for i, o := range twin {
					held := false
					s.ByClient(7, from(o.client, "").Client, func(b *lease.Binding) { held = held || b.State == lease.Offered })
					if !held && gone >= 0 {
						t.Fatal("two offers went")
					}
					if !held {
						gone = i
					}
				}
				if gone < 0 || count[twin[gone].point] != most || slices.ContainsFunc(twin[:gone], func(o hold) bool { return o.point == twin[gone].point }) {
					t.Fatalf("number %d of %v went", gone, twin)
				}
				twin = append(slices.Delete(twin, gone, gone+1), h)
			}
			if got := s.Counts(0).Offered; got != len(twin) {
				t.Fatalf("%d offers, want %d", got, len(twin))
			}
		}
	})
}

func TestPending(t *testing.T) {
	s := newSite(Options{}, small(20))
	q := from("a", "p")
	x := s.obtain(t, q)
	group := s.seq
	if d := s.request(q, x); d.Change != lease.None || d.After != group {
		t.Errorf("a repetition does not wait for group %d: %+v", group, d)
	}
	t.Run("after more than 2^32 groups", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		s.seq = 1 << 32
		x := s.obtain(t, q)
		if d := s.request(q, x); d.After != 1<<32+2 {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("beyond 32 bits", func(t *testing.T) {
		s.seq = 1<<32 - 2
		for range 4 {
			s.now++
			s.renew(q, x)
			if d := s.renew(q, x); d.After != s.seq-1 {
				t.Errorf("group %d: %+v", s.seq-1, d)
			}
		}
	})
}

func TestReload(t *testing.T) {
	q := from("a", "p")
	t.Run("a lease outside the pools is kept, not extended, and replaced", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		x := s.obtain(t, q)
		conf := small(20)
		conf.Pools = rangeOf(30, 40)
		s.Reconfigure([]Subnet{conf})
		s.now += 1000
		if d := s.renew(q, x); d.Kind != lease.Ack || d.Time != 2600 || d.Change != lease.None {
			t.Errorf("got %+v", d)
		}
		s.now += 2600
		if d := s.discover(q); d.Addr != ip(30) || s.Len() != 1 {
			t.Errorf("got %+v, %d entries", d, s.Len())
		}
	})
	t.Run("a lease of a subnet that is gone is kept until it ends", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		x := s.obtain(t, q)
		s.Reconfigure(nil)
		var b lease.Binding
		if !s.Get(lease.ID{Addr: x}, &b) || b.Subnet != 7 {
			t.Errorf("got %+v", b)
		}
		s.now += 3600
		s.Expire(s.now, 10)
		if s.Len() != 0 || !slices.Contains(s.ended, "expired "+x.String()) {
			t.Errorf("%d entries, events %v", s.Len(), s.ended)
		}
	})
	t.Run("an address that changed the subnet is not given out before its lease ends", func(t *testing.T) {
		s := newSite(Options{}, small(10))
		s.obtain(t, q)
		conf := small(10)
		conf.ID = 8
		s.Reconfigure([]Subnet{conf})
		if d := s.discover(from("b", "p")); d.Drop != drop.NoAddress {
			t.Errorf("got %+v", d)
		}
		s.now += 3600
		if d := s.discover(from("b", "p")); d.Addr != ip(10) {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("offers and the order of free addresses live on", func(t *testing.T) {
		s := newSite(Options{}, small(12))
		x := s.obtain(t, q)
		y := s.obtain(t, from("b", "p"))
		z := s.discover(from("c", "p")).Addr
		s.release(from("b", "p"), y)
		s.release(q, x)
		conf := small(12)
		conf.Reserved = []netip.Addr{ip(200)}
		s.Reconfigure([]Subnet{conf})
		for _, want := range []netip.Addr{y, x} {
			if d := s.discover(from("new"+want.String(), "p")); d.Addr != want {
				t.Errorf("got %v, want %v", d.Addr, want)
			}
		}
		if d := s.request(from("c", "p"), z); d.Kind != lease.Ack {
			t.Errorf("got %+v", d)
		}
	})
}

func TestLoad(t *testing.T) {
	good := lease.Binding{ID: lease.ID{Addr: ip(10)}, Subnet: 7, State: lease.Bound, Client: []byte("\x01client"), HWType: 1, HWAddr: []byte{1, 2, 3, 4, 5, 6},
		Point: []byte("\x04point"), RemoteID: []byte("\x00\x00\x0d\xe9line"), Source: netip.MustParseAddr("fe80::1"), Start: start - 100, Changed: start - 10, Expires: start + 100}
	t.Run("a record comes back as it was written", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		if err := s.Load(&good, start); err != nil {
			t.Fatal(err)
		}
		s.Loaded(start)
		var b lease.Binding
		if !s.Get(lease.ID{Addr: ip(10)}, &b) || fmt.Sprint(b) != fmt.Sprint(good) {
			t.Errorf("got %+v", b)
		}
	})
	t.Run("a second record of an address takes the place of the first", func(t *testing.T) {
		s := newSite(Options{}, small(20))
		other := good
		other.Client, other.State = []byte("\x01other"), lease.Released
		for _, b := range []lease.Binding{good, other, good, other} {
			if err := s.Load(&b, start); err != nil {
				t.Fatal(err)
			}
		}
		s.Loaded(start)
		if s.Counts(0) != (Counts{Former: 1}) || s.Len() != 1 {
			t.Errorf("%+v", s.Counts(0))
		}
	})
	for name, spoil := range map[string]func(*lease.Binding){
		"an IPv6 address":         func(b *lease.Binding) { b.Addr = netip.IPv6Loopback() },
		"a port set":              func(b *lease.Binding) { b.Ports = 1 },
		"a state of memory":       func(b *lease.Binding) { b.State = lease.Offered },
		"no client":               func(b *lease.Binding) { b.Client = nil },
		"a long client":           func(b *lease.Binding) { b.Client = make([]byte, 257) },
		"a long point":            func(b *lease.Binding) { b.Point = make([]byte, 256) },
		"a long hardware address": func(b *lease.Binding) { b.HWAddr = make([]byte, 17) },
		"a long Remote-Id":        func(b *lease.Binding) { b.RemoteID = make([]byte, lease.MaxRemoteID+1) },
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			s, b := newSite(Options{}, small(20)), good
			spoil(&b)
			if err := s.Load(&b, start); err == nil || s.Len() != 0 {
				t.Errorf("error %v, %d entries", err, s.Len())
			}
		})
	}
}

func TestLongestClientKeyAndInfiniteLease(t *testing.T) {
	s := newSite(Options{}, small(20))
	s.p.Max = lease.Infinite
	q := from(string(make([]byte, 255)), string(make([]byte, 200)))
	q.HWAddr, q.Source = make([]byte, 16), netip.MustParseAddr("2001:db8::1")
	q.RemoteID = bytes.Repeat([]byte("r"), lease.MaxRemoteID)
	q.Wish, q.HasWish = lease.Infinite, true
	x := s.obtain(t, q)
	s.now += 1 << 33 / 2
	s.Expire(s.now, 1000)
	var b lease.Binding
	if !s.Get(lease.ID{Addr: x}, &b) || b.Expires != lease.Never || string(b.Client) != string(q.Client) || string(b.Point) != string(q.Point) || b.Source != q.Source ||
		string(b.RemoteID) != string(q.RemoteID) {
		t.Errorf("got %+v", b)
	}
}

// A lease has the Remote-Id of the query that bound it or last renewed it. A Remote-Id that changes
// costs no record: it is stored with the next one.
func TestRemoteIDFollowsTheRenewals(t *testing.T) {
	s := newSite(Options{}, small(20))
	q := from("a", "p")
	with := func(id string) lease.Query { q.RemoteID = []byte(id); return q }
	a := s.obtain(t, with("\x00\x00\x0d\xe9line 7"))
	for _, c := range []struct {
		name, id string
		later    lease.Time
		want     string
	}{
		{"as it was bound", "", -1, "\x00\x00\x0d\xe9line 7"},
		{"another one, in a repeated REQUEST that writes nothing", "\x00\x00\x0d\xe9line 8", 0, "\x00\x00\x0d\xe9line 7"},
		{"another one", "\x00\x00\x0d\xe9line 8", 1, "\x00\x00\x0d\xe9line 8"},
		{"a longer one", strings.Repeat("x", lease.MaxRemoteID), 1, strings.Repeat("x", lease.MaxRemoteID)},
		{"none any more", "", 1, ""},
		{"one again", "\x00\x00\x00\x09a", 1, "\x00\x00\x00\x09a"},
	} {
		s.group.Reset()
		if c.later >= 0 {
			s.now += c.later
			if d := s.renew(with(c.id), a); d.Kind != lease.Ack || d.Moved || (d.Change == lease.Extend) != (c.later > 0) {
				t.Fatalf("%s: %+v", c.name, d)
			}
		}
		var b lease.Binding
		if !s.Get(lease.ID{Addr: a}, &b) || string(b.RemoteID) != c.want || string(b.Point) != string(q.Point) {
			t.Errorf("%s: the lease has %q", c.name, b.RemoteID)
		}
		if n := len(s.group.Records); c.later > 0 && (n != 1 || string(s.group.Records[0].RemoteID) != c.want) {
			t.Errorf("%s: %d records, %+v", c.name, n, s.group.Records)
		}
	}
}

// A Remote-Id that names the port of the attachment point is not kept twice.
func TestRemoteIDOfThePointIsKeptOnce(t *testing.T) {
	id := []byte("\x00\x00\x0d\xe9line 7")
	b := lease.Binding{ID: lease.ID{Addr: ip(10)}, Subnet: 7, State: lease.Bound, Client: []byte("\x01client"), Expires: start + 100, RemoteID: id,
		Point: (&attachment.Parts{Kind: attachment.RemoteID, Address: netip.MustParseAddr("2001:db8::1"), Name: id}).Append(nil)}
	s := newSite(Options{}, small(20))
	if err := s.Load(&b, start); err != nil {
		t.Fatal(err)
	}
	s.Loaded(start)
	var got lease.Binding
	if !s.Get(b.ID, &got) || len(got.RemoteID) > 0 || string(got.Remote()) != string(id) {
		t.Errorf("%q beside the point, %q in all", got.RemoteID, got.Remote())
	}
}

// Clients that change the length of their Remote-Id with each message take no more memory than
// those that keep the longest one.
func TestMemoryIsBoundedWhateverTheLengthsOfRemoteIDs(t *testing.T) {
	const clients = 2000
	chunks := func(lengths ...int) int {
		s, c := newSite(Options{}, wide()), client{}
		of := func(i, n int) lease.Query {
			q := *c.set(i)
			q.RemoteID = bytes.Repeat([]byte("r"), n)
			return q
		}
		for i := range clients {
			s.obtain(t, of(i, lengths[0]))
		}
		for _, n := range lengths {
			s.now++
			s.group.Reset()
			for i := range clients {
				if d := s.renew(of(i, n), free.Addr(firstAddr+uint32(i))); d.Kind != lease.Ack {
					t.Fatalf("%+v", d)
				}
			}
		}
		return len(s.arena.chunks.All)
	}
	var all []int
	for range 2 {
		for n := lease.MinRemoteID; n <= lease.MaxRemoteID; n += 7 {
			all = append(all, n)
		}
	}
	if cycled, longest := chunks(all...), chunks(lease.MaxRemoteID); cycled > longest+1 {
		t.Errorf("%d chunks, with the longest ones only %d", cycled, longest)
	}
}

func TestScanPages(t *testing.T) {
	s := newSite(Options{}, small(250))
	for i := range 100 {
		s.obtain(t, from(fmt.Sprint(i), "p"))
	}
	seen := map[netip.Addr]bool{}
	pages := 0
	for at := uint32(0); ; pages++ {
		n := 0
		at = s.Scan(at, 7, func(b *lease.Binding) { seen[b.Addr] = true; n++ })
		if n > 7 {
			t.Fatalf("%d on a page", n)
		}
		if at == 0 {
			break
		}
	}
	if len(seen) != 100 || pages != 14 {
		t.Errorf("%d addresses on %d pages", len(seen), pages+1)
	}
}

// An imported lease, or one that the operator gave, does not tell where its
// client is attached.
func TestUnknownAttachmentPoint(t *testing.T) {
	given := func(t *testing.T, moves lease.Moves) (*site, netip.Addr) {
		t.Helper()
		s := newSite(Options{}, small(20))
		s.p.Moves, s.p.Limit = moves, 1
		b := lease.Binding{ID: lease.ID{Addr: ip(12)}, Subnet: 7, State: lease.Bound, Client: from("a", "p").Client, Start: start, Changed: start, Expires: start + 1000}
		if err := s.Load(&b, start); err != nil {
			t.Fatal(err)
		}
		s.Loaded(start)
		return s, b.Addr
	}
	t.Run("is that of the first renewal", func(t *testing.T) {
		s, a := given(t, lease.MoveNever)
		if d := s.renew(from("a", "p"), a); d.Kind != lease.Ack || d.Moved {
			t.Fatalf("got %+v", d)
		}
		if n := len(s.group.Records); n != 1 || string(s.group.Records[0].Point) != string(from("a", "p").Point) {
			t.Errorf("writes %+v", s.group.Records)
		}
		if d := s.renew(from("a", "q"), a); d.Kind != lease.Silent || d.Silence != silence.Elsewhere {
			t.Errorf("from another point: %+v", d)
		}
		if d := s.release(from("a", "q"), a); d.Change != lease.None {
			t.Errorf("released from another point: %+v", d)
		}
	})
	t.Run("does not stop a RELEASE", func(t *testing.T) {
		s, a := given(t, lease.MoveWhenSilent)
		if d := s.release(from("b", "p"), a); d.Change != lease.None {
			t.Errorf("by another client: %+v", d)
		}
		if d := s.release(from("a", "p"), a); d.Change != lease.Release {
			t.Errorf("got %+v", d)
		}
	})
	t.Run("DISCOVER gets the address, also where the point is full", func(t *testing.T) {
		s, a := given(t, lease.MoveWhenSilent)
		s.obtain(t, from("b", "p"))
		if d := s.discover(from("a", "p")); d.Kind != lease.Offer || d.Addr != a {
			t.Errorf("got %+v", d)
		}
	})
}

func TestOfClientFindsLeasesOfSubnetsThatAreGone(t *testing.T) {
	other := Subnet{ID: 8, Prefix: netip.MustParsePrefix("198.51.100.0/24"),
		Pools: []free.Range{{First: netip.MustParseAddr("198.51.100.5"), Last: netip.MustParseAddr("198.51.100.9")}}}
	s := newSite(Options{}, small(20), other)
	a, b := from("a", "p"), from("a", "p")
	b.Subnet = 1
	x, y := s.obtain(t, a), s.obtain(t, b)
	s.Reconfigure([]Subnet{other})
	var found []netip.Addr
	pages := 0
	for at := uint32(0); pages == 0 || at != 0; pages++ {
		at = s.OfClient(a.Client, at, 1, func(b *lease.Binding) { found = append(found, b.Addr) })
	}
	if !slices.Equal(found, []netip.Addr{x, y}) || pages != 2 {
		t.Errorf("found %v on %d pages, want %v and %v", found, pages, x, y)
	}
}

func TestStandForAHook(t *testing.T) {
	s := newSite(Options{}, small(20))
	a, b := from("a", "p"), from("b", "p")
	x := s.obtain(t, a)
	b.Type = dhcp4.Discover
	var f lease.Facts
	s.Look(&b, s.now, &f)
	d := lease.Decide(&b, &s.p, &f, s.now)
	taken, free := s.Stand(&b, x, s.now), s.Stand(&b, ip(17), s.now)
	if d.Redirect(&b, &s.p, &taken, s.now) {
		t.Error("redirected to an address of another client")
	}
	if !d.Redirect(&b, &s.p, &free, s.now) {
		t.Error("not redirected to a free address")
	}
	s.Apply(&b, &d, s.now, 1, &s.group)
	if d := s.request(b, ip(17)); d.Kind != lease.Ack {
		t.Errorf("got %+v", d)
	}
}

// Many clients come, stay a while and go: nothing may be left of them.
func TestNothingLeaks(t *testing.T) {
	s, c := newSite(Options{Offers: 1000}, wide()), client{}
	for round := range 3 {
		for i := range 20000 {
			s.discover(*c.set(i + round*20000))
			if i%100 == 0 {
				s.now++
			}
		}
	}
	s.now += 100
	for s.Expire(s.now, 1000) {
	}
	if s.Len() != 0 || s.offers.n != 0 || s.points.used > 4096 {
		t.Errorf("%d entries, %d offers, %d points", s.Len(), s.offers.n, s.points.used)
	}
	if n := len(s.arena.chunks.All); n > 2 {
		t.Errorf("%d chunks of arena", n)
	}
}

// wide is a subnet with 16 million addresses.
func wide() Subnet {
	return Subnet{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		Pools: []free.Range{{First: netip.MustParseAddr("10.0.0.1"), Last: netip.MustParseAddr("10.255.255.254")}}}
}

// A record that the store refuses gives way to that of the client who holds the address, unless a
// later group has written the address again.
func TestARefusedRecordGivesWayToTheHolders(t *testing.T) {
	const now, seq = 1000, 7
	for _, c := range []struct {
		name   string
		later  bool // a later group renews the lease
		holder func(*lease.Binding)
		want   string // client of what is known then; none if empty
		fails  bool
	}{
		{"bound to another", false, func(*lease.Binding) {}, "other", false},
		{"in quarantine of another", false, func(b *lease.Binding) { b.State = lease.Declined }, "other", false},
		{"and renewed in a later group", true, func(*lease.Binding) {}, "mine", false},
		{"and nobody knows who has it", false, func(b *lease.Binding) { *b = lease.Binding{} }, "", true},
		{"and the holder cannot be loaded", false, func(b *lease.Binding) { b.Client = nil }, "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ten := free.Range{First: netip.MustParseAddr("192.0.2.10"), Last: netip.MustParseAddr("192.0.2.19")}
			tab := New([]Subnet{{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []free.Range{ten}}}, Options{})
			q := &lease.Query{Client: []byte("mine"), Point: []byte("p")}
			id := lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}
			var group lease.Batch
			tab.Apply(q, &lease.Decision{Change: lease.Bind, ID: lease.ID{Addr: id.Addr}, Expires: now + 60}, now, seq, &group)
			if c.later {
				tab.Apply(q, &lease.Decision{Change: lease.Extend, ID: lease.ID{Addr: id.Addr}, Expires: now + 90}, now, seq+1, &group)
			}
			holder := lease.Binding{ID: id, Subnet: 1, State: lease.Bound, Client: []byte("other"), Expires: now + 3600, Changed: now - 5}
			c.holder(&holder)
			if err := tab.Refused(id, &holder, seq, now); (err != nil) != c.fails {
				t.Errorf("the error is %v", err)
			}
			var known lease.Binding
			if tab.Get(id, &known); string(known.Client) != c.want {
				t.Errorf("it belongs to %q, want %q", known.Client, c.want)
			}
			size, free := tab.Pool(0, 0)
			if wanted := size - 1; (c.want != "" && free != wanted) || (c.want == "" && free != size) {
				t.Errorf("%d of %d addresses are free", free, size)
			}
			f := new(lease.Facts)
			tab.Look(q, now, f)
			if mine := f.Own.Standing == lease.Mine; mine != c.later {
				t.Errorf("the loser has %+v", f.Own)
			}
		})
	}
}

// TestWhatOthersHaveMadeOfALeaseIsKnown has another process change a lease that this one knows,
// offers, or is about to write.
func TestWhatOthersHaveMadeOfALeaseIsKnown(t *testing.T) {
	const now, seq = 1000, 7
	id := lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}
	mine := &lease.Query{Type: dhcp4.Request, Client: []byte("mine"), Point: []byte("p"), CIAddr: id.Addr}
	bind := func(tab *Table, change lease.Change, seq uint64) {
		var group lease.Batch
		tab.Apply(mine, &lease.Decision{Change: change, ID: id, Expires: now + 60}, now, seq, &group)
	}
	for _, c := range []struct {
		name    string
		before  func(tab *Table)
		foreign func(*lease.Binding)
		state   lease.Standing // to the client
		free    uint32         // of ten addresses
		later   bool           // it must be read again
	}{
		{"a free address is bound", func(*Table) {}, func(*lease.Binding) {}, lease.Mine, 9, false},
		{"a free address is bound to another", func(*Table) {}, func(b *lease.Binding) { b.Client = []byte("other") }, lease.Taken, 9, false},
		{"an offer is bound", func(tab *Table) { bind(tab, lease.Hold, seq) }, func(*lease.Binding) {}, lease.Mine, 9, false},
		{"an offer is bound to another", func(tab *Table) { bind(tab, lease.Hold, seq) }, func(b *lease.Binding) { b.Client = []byte("other") }, lease.Taken, 9, false},
		{"a lease is released", func(tab *Table) { bind(tab, lease.Bind, seq) }, func(b *lease.Binding) { b.State, b.Expires = lease.Released, now }, lease.Former, 10, false},
		{"a lease is in quarantine", func(tab *Table) { bind(tab, lease.Bind, seq) }, func(b *lease.Binding) { b.State = lease.Declined }, lease.Quarantined, 9, false},
		{"a lease is gone", func(tab *Table) { bind(tab, lease.Bind, seq) }, func(b *lease.Binding) { *b = lease.Binding{ID: id} }, lease.Free, 10, false},
		{"what nobody knows is gone", func(*Table) {}, func(b *lease.Binding) { *b = lease.Binding{ID: id} }, lease.Free, 10, false},
		{"a lease that a later group writes stays", func(tab *Table) { bind(tab, lease.Bind, seq+1) }, func(b *lease.Binding) { *b = lease.Binding{ID: id} }, lease.Mine, 9, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := New([]Subnet{{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []free.Range{{First: id.Addr, Last: netip.MustParseAddr("192.0.2.19")}}}}, Options{})
			c.before(tab)
			foreign := lease.Binding{ID: id, Subnet: 1, State: lease.Bound, Client: []byte("mine"), Point: []byte("p"), Expires: now + 3600, Changed: now}
			c.foreign(&foreign)
			if later, err := tab.Foreign(&foreign, seq, now); err != nil || later != c.later {
				t.Fatalf("it must be read again: %t; %v", later, err)
			}
			var f lease.Facts
			tab.Look(mine, now, &f)
			if _, free := tab.Pool(0, 0); f.Named.Standing != c.state || free != c.free {
				t.Errorf("to the client it is %v, %d addresses are free; want %v, %d", f.Named.Standing, free, c.state, c.free)
			}
		})
	}
}

// A lease that was loaded, or written billions of groups ago, does not wait for a later group.
func TestWhatOthersHaveMadeOfAnOldLeaseIsKnown(t *testing.T) {
	const now = 1000
	id := lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}
	for _, seq := range []uint64{5, 1<<31 + 5, 1<<32 + 5} {
		tab := New([]Subnet{{ID: 1, Prefix: netip.MustParsePrefix("192.0.2.0/24"), Pools: []free.Range{{First: id.Addr, Last: id.Addr}}}}, Options{})
		b := lease.Binding{ID: id, Subnet: 1, State: lease.Bound, Client: []byte("one"), Expires: now + 60, Changed: now}
		if err := tab.Load(&b, now); err != nil {
			t.Fatal(err)
		}
		tab.Loaded(now)
		b.Client = []byte("two")
		if later, err := tab.Foreign(&b, seq, now); later || err != nil || tab.IsLater(id.Addr, seq) {
			t.Errorf("after group %d it must be read again: %t; %v", seq, later, err)
		}
	}
}
