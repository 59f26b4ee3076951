package radius

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"layeh.com/radius"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// find and the lists of names agree with a look at every session.
func TestSessionsAreFoundAsByALookAtAll(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of string) string { return fmt.Sprintf("%s%d", of, random.IntN(6)) }
	all, none, one, more := newSessions(), 0, 0, 0
	for round := range 20000 {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(random.IntN(40))})
		switch random.IntN(3) {
		case 0:
			all.remove(a)
		default:
			all.put(session{client: client{user: pick("u"), port: pick("p"), mac: pick("m")}, address: a,
				id: sessionOf(a, uint64(random.IntN(3)))})
		}
		w := wanted{names: names{pick("u"), pick("p"), pick("m")}}
		for i := range w.names {
			if random.IntN(2) == 0 {
				w.names[i] = ""
			}
		}
		switch random.IntN(4) {
		case 0:
			w.address = a
		case 1:
			w.id = sessionOf(a, 1)
		case 2:
			w.names[random.IntN(len(w.names))] = pick("u")
		}
		if w == (wanted{}) {
			continue
		}
		var want []*session
		for _, s := range all.at {
			if w.fits(s) {
				want = append(want, s)
			}
		}
		got, several := all.find(&w)
		switch len(want) {
		case 0:
			none++
		case 1:
			one++
		default:
			more++
		}
		if several != (len(want) > 1) || (len(want) == 1) != (got != nil) || (got != nil && got != want[0]) {
			t.Fatalf("round %d: %+v finds %v, %v; of all %d fit", round, w, got, several, len(want))
		}
	}
	if none < 100 || one < 100 || more < 100 {
		t.Errorf("%d, %d and %d rounds with no, one and several sessions", none, one, more)
	}
	for a := range all.at {
		all.remove(a)
	}
	for i := range all.called {
		if len(all.called[i]) > 0 {
			t.Errorf("of no session there are the names %v", all.called[i])
		}
	}
}

// A client that has gone on to another address, and whose lease of the old one ends then, is no
// longer a session at the old one.
func TestASessionEndsAtItsOwnAddress(t *testing.T) {
	access := serve(t, func(p *radius.Packet) *radius.Packet { return signed(p.Response(radius.CodeAccessAccept), p) })
	f := serve(t, func(p *radius.Packet) *radius.Packet { return p.Response(radius.CodeAccountingResponse) })
	r := made(t, nil, "RADIUS_SERVERS="+access.at, "RADIUS_ACCOUNTING_SERVERS="+f.at)
	r.decide(asked())
	first, second := event("allocated", 1_800_000_000), event("allocated", 1_800_000_100)
	over := event("expired", 1_800_000_200)
	second.Address, second.Start = netip.MustParseAddr("192.0.2.8"), 1_800_000_100
	for _, e := range []*outside.Event{first, second, over} {
		if err := r.told(e); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.sessions.at) != 1 || r.sessions.at[second.Address] == nil {
		t.Errorf("%v", r.sessions.at)
	}
}
