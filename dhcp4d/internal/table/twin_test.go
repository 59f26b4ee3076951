package table

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

func ip(last int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(last)}) }

func rangeOf(first, last int) []free.Range { return []free.Range{{First: ip(first), Last: ip(last)}} }

// Configurations that a reload changes between. Subnet 7 is always there.
var configurations = [][]Subnet{
	{{ID: 7, Prefix: netip.MustParsePrefix("192.0.2.0/27"), Pools: rangeOf(3, 12), Reserved: []netip.Addr{ip(5), ip(25), ip(26)}},
		{ID: 9, Prefix: netip.MustParsePrefix("192.0.2.32/27"), Pools: rangeOf(34, 38)}},
	{{ID: 7, Prefix: netip.MustParsePrefix("192.0.2.0/27"), Pools: rangeOf(6, 14), Excluded: rangeOf(8, 8), Reserved: []netip.Addr{ip(5), ip(25), ip(26), ip(7)}}},
	{{ID: 9, Prefix: netip.MustParsePrefix("192.0.2.32/27"), Pools: rangeOf(34, 36), Reserved: []netip.Addr{ip(35)}},
		{ID: 7, Prefix: netip.MustParsePrefix("192.0.2.0/28"), Pools: rangeOf(3, 6)}},
}

// reservationOf is who may have a reserved address: client 1 has .5, the attachment point 2 has
// .25, the hardware address 3 has .26; .7 and .35 are kept for somebody who never comes.
func reserve(q *lease.Query, conf *Subnet) {
	has := func(a netip.Addr) bool { return slices.Contains(conf.Reserved, a) }
	switch {
	case q.Client[1] == 1 && has(ip(5)):
		q.Reservation = ip(5)
	case spots[string(q.Point)].place == "port2" && has(ip(25)):
		q.Reservation, q.ByPoint = ip(25), true
	case q.HWAddr[2] == 3 && has(ip(26)):
		q.Reservation, q.ByHardware = ip(26), true
	}
}

type held struct {
	addr  netip.Addr
	until lease.Time
}

// machine runs table and model side by side, keeps what would be on disk, and
// believes in leases as the clients do.
type machine struct {
	t       *Table
	m       *model
	conf    []Subnet
	p       lease.Policy
	now     lease.Time
	seq     uint64
	disk    map[netip.Addr]lease.Binding
	clients map[string]held
}

// client draws who sends and from where.
// spot is what the model knows of an attachment point.
type spot struct {
	place, server string
	shared        bool   // by hosts
	counted       string // what leases are counted by, empty for the point itself
}

// spots are all attachment points, by their octets.
var spots = map[string]spot{}

// at is the attachment point of a host there.
func (s spot) at(source netip.Addr) []byte {
	p := attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("2001:db8::1"), Name: []byte(s.place)}
	if s.shared {
		p.Kind, p.Address, p.Server = attachment.Direct, source, []byte(s.server)
	}
	octets := attachment.AppendCount(nil, p.Append(nil), []byte(s.counted))
	spots[string(octets)] = s
	return octets
}

// somewhere is where clients are: at ports, on links, and on one that two
// dhcp6d serve.
var somewhere = []spot{
	{"port1", "", false, ""}, {"port2", "", false, ""}, {"port3", "", false, ""},
	{"eth0", "west", true, ""}, {"eth0", "west", true, ""}, {"eth1", "west", true, ""}, {"eth7", "east", true, ""},
	{"port1", "", false, "rack"}, {"port4", "", false, "rack"}, {"eth0", "west", true, "rack"},
}

func (x *machine) client(t *rapid.T) (q lease.Query, id string) {
	i := rapid.IntRange(0, len(x.conf)-1).Draw(t, "subnet")
	q = lease.Query{Subnet: i, CIAddr: netip.IPv4Unspecified(),
		Client: []byte{lease.KeyIdentifier, byte(rapid.IntRange(1, 7).Draw(t, "client"))},
	}
	// A client is mostly where it always is, with the addresses that it has.
	host := q.Client[1]
	spot := int(host) % len(somewhere)
	if rapid.IntRange(0, 4).Draw(t, "moved") == 0 {
		spot = rapid.IntRange(0, len(somewhere)-1).Draw(t, "spot")
	}
	source := host
	if rapid.IntRange(0, 9).Draw(t, "another address") == 0 {
		source = byte(rapid.IntRange(1, 9).Draw(t, "source"))
	}
	if rapid.IntRange(0, 9).Draw(t, "another host") == 0 {
		host = byte(rapid.IntRange(1, 9).Draw(t, "host"))
	}
	q.Source = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: source})
	q.HWType, q.HWAddr = 1, []byte{2, 0, host}
	q.Point = somewhere[spot].at(q.Source)
	if n := rapid.SampledFrom([]int{0, 0, 5, 6, 20, lease.MaxRemoteID}).Draw(t, "Remote-Id"); n > 0 {
		q.RemoteID = bytes.Repeat([]byte{host}, n)
	}
	reserve(&q, &x.conf[i])
	if rapid.IntRange(0, 3).Draw(t, "has wish") == 0 {
		q.Wish, q.HasWish = rapid.Uint32Range(0, 2000).Draw(t, "wish"), true
	}
	return q, fmt.Sprint(x.conf[i].ID, q.Client)
}

// obtain is a client that does as it should: DISCOVER, and REQUEST of what it
// was offered.
func (x *machine) obtain(t *rapid.T) {
	q, id := x.client(t)
	q.Type = dhcp4.Discover
	if d := x.exchange(t, &q, id); d.Kind == lease.Offer {
		x.now += lease.Time(rapid.SampledFrom([]int{0, 0, 0, 1, 70}).Draw(t, "pause"))
		q.Type, q.Requested, q.ServerID = dhcp4.Request, d.Addr, x.p.ServerID
		x.exchange(t, &q, id)
	}
}

// keep is a client that renews what it has.
func (x *machine) keep(t *rapid.T) {
	q, id := x.client(t)
	if h := x.clients[id]; h.addr.IsValid() {
		q.Type, q.CIAddr = dhcp4.Request, h.addr
		x.exchange(t, &q, id)
	}
}

// message is anything at all.
func (x *machine) message(t *rapid.T) {
	q, id := x.client(t)
	q.Type = rapid.SampledFrom([]dhcp4.MessageType{1, 1, 1, 3, 3, 3, 3, 3, 4, 7}).Draw(t, "type")

	addr := rapid.SampledFrom([]netip.Addr{{}, {}, ip(rapid.IntRange(0, 40).Draw(t, "addr")), x.clients[id].addr, x.clients[id].addr, x.offerOf(&q)}).Draw(t, "named")
	server := rapid.SampledFrom([]netip.Addr{{}, {}, x.p.ServerID, x.p.ServerID, x.p.ServerID, ip(2), ip(3), netip.IPv4Unspecified()}).Draw(t, "server")
	switch form := rapid.IntRange(0, 9).Draw(t, "form"); {
	case q.Type == dhcp4.Discover:
		q.Requested = addr
		if form == 0 {
			q.ServerID = server
		}
	case q.Type == dhcp4.Decline:
		q.Requested, q.ServerID = addr, server
		if form == 0 {
			q.Requested, q.CIAddr = netip.Addr{}, addr
		}
	case q.Type == dhcp4.Release:
		q.CIAddr, q.ServerID = addr, server
		if form == 0 {
			q.Requested, q.CIAddr = addr, netip.IPv4Unspecified()
		}
	case form == 0: // SELECTING without an address
		q.ServerID = server
	case form < 4: // SELECTING
		q.Requested, q.ServerID = addr, server
	case form < 6: // INIT-REBOOT
		q.Requested = addr
	case form < 9: // RENEWING
		q.CIAddr = addr
	default:
		q.Requested, q.CIAddr, q.ServerID = addr, addr, server
	}
	x.exchange(t, &q, id)
}

// offerOf is the address that is held for the client, so that messages are
// not all refused.
func (x *machine) offerOf(q *lease.Query) netip.Addr {
	x.m.tidy(x.now)
	k := asked{x.m, &x.m.subnets[q.Subnet], q, &x.p, x.now}
	return k.offer()
}

func (x *machine) exchange(t *rapid.T, q *lease.Query, id string) lease.Decision {
	x.m.tidy(x.now)
	var f lease.Facts
	x.t.Look(q, x.now, &f)
	d := lease.Decide(q, &x.p, &f, x.now)
	x.seq++
	var group lease.Batch
	x.t.Apply(q, &d, x.now, x.seq, &group)

	k := asked{x.m, &x.m.subnets[q.Subnet], q, &x.p, x.now}
	v := k.answer()
	if v.anyFree {
		if !k.freeForAll(d.Addr) {
			t.Fatalf("offers %v, which is not free", d.Addr)
		}
		v.addr = d.Addr
		k.hold(d.Addr)
	}
	if d.Kind != v.kind || d.Drop != v.drop || d.Time != v.time || ((d.Kind == lease.Offer || d.Kind == lease.Ack) && d.Addr != v.addr) {
		t.Fatalf("%+v\nfacts %+v\ndecided %+v\nthe model says %+v", *q, f, d, v)
	}
	writes := map[netip.Addr]lease.State{}
	for _, b := range group.Records {
		writes[b.Addr] = b.State
		x.disk[b.Addr] = b
	}
	if len(writes) != len(v.writes) {
		t.Fatalf("%+v\ndecided %+v\nwrites %v, the model %v", *q, d, writes, v.writes)
	}
	for a, s := range v.writes {
		if writes[a] != s {
			t.Fatalf("writes %v, the model %v", writes, v.writes)
		}
	}
	x.believe(t, q, &d, id)
	return d
}

// believe keeps what clients think, and holds that no two of them ever have
// one address. A reservation of an attachment point may move there.
func (x *machine) believe(t *rapid.T, q *lease.Query, d *lease.Decision, id string) {
	switch {
	case d.Kind == lease.Ack:
		for other, h := range x.clients {
			if other != id && h.addr == d.Addr && h.until > x.now {
				if !((q.ByPoint || q.ByHardware) && d.Addr == q.Reservation) {
					t.Fatalf("%v acknowledged to %s and, until %d, to %s", d.Addr, id, h.until, other)
				}
				delete(x.clients, other)
			}
		}
		x.clients[id] = held{d.Addr, x.now + lease.Time(d.Time)}
	case d.Kind == lease.Nak && x.clients[id].addr == q.Named(),
		d.Change == lease.Release, d.Change == lease.Decline:
		delete(x.clients, id)
	}
}

func (x *machine) compare(t *rapid.T) {
	x.m.tidy(x.now)
	for x.t.Expire(x.now, 3) {
	}
	seen := 0
	x.t.Scan(0, 1000, func(b *lease.Binding) {
		seen++
		r := x.m.recs[b.Addr]
		if r == nil {
			t.Fatalf("the model knows nothing of %+v", *b)
		}
		state, end := r.state, r.expires
		if r.offered(x.now) {
			state, end = lease.Offered, r.hold
		}
		place := string(b.Point) == r.point && string(b.RemoteID) == r.remote
		if b.State != state || b.Expires != end || string(b.Client) != r.client || b.Subnet != r.subnet || (r.active(x.now) && !place) {
			t.Fatalf("%+v\nthe model has %+v", *b, *r)
		}
	})
	if seen != len(x.m.recs) || seen != x.t.Len() {
		t.Fatalf("%d entries, Len %d, the model has %d", seen, x.t.Len(), len(x.m.recs))
	}
	points := map[string]uint32{}
	for _, r := range x.m.recs {
		if r.active(x.now) {
			points[countedBy(r.point)]++
		}
	}
	for octets := range spots {
		got := uint32(0)
		if ref, _ := x.t.findPoint(attachment.CountOf([]byte(octets))); ref != 0 {
			got = x.t.pointAt(ref).active
		}
		if got != points[countedBy(octets)] {
			t.Fatalf("point %x counts %d, the model %d", octets, got, points[countedBy(octets)])
		}
	}
	for i, s := range x.m.subnets {
		var want Counts
		for _, r := range x.m.recs {
			switch {
			case r.subnet != s.id:
			case r.bound(x.now):
				want.Bound++
			case r.declined(x.now):
				want.Declined++
			case r.offered(x.now):
				want.Offered++
			default:
				want.Former++
			}
		}
		if got := x.t.Counts(i); got != want {
			t.Fatalf("subnet %d counts %+v, the model %+v", s.id, got, want)
		}
		k := asked{m: x.m, s: &x.m.subnets[i], now: x.now}
		free := uint32(0)
		for a := range s.pool {
			if k.freeForAll(a) {
				free++
			}
		}
		if _, got := x.t.Pool(i, 0); got != free {
			t.Fatalf("subnet %d has %d free addresses, the model %d", s.id, got, free)
		}
	}
}

// give binds an address to a client by order of the operator, who does not
// know where the client is attached.
func (x *machine) give(t *rapid.T) {
	x.m.tidy(x.now)
	q, id := x.client(t)
	q.Point, q.RemoteID, q.Source = nil, nil, netip.Addr{}
	a := ip(rapid.IntRange(0, 40).Draw(t, "addr"))
	p := x.p
	p.Moves = lease.MoveAtOnce
	k := asked{x.m, &x.m.subnets[q.Subnet], &q, &p, x.now}
	for b, r := range x.m.recs {
		if b != a && k.same(r) && !r.declined(x.now) {
			return
		}
	}
	stand := x.t.Stand(&q, a, x.now)
	if (k.main().IsValid() && k.main() != a) || !stand.InPool || stand.ForOther || (stand.Standing != lease.Free && stand.Standing != lease.Former && stand.Standing != lease.Held) {
		return
	}
	until := x.now + 500
	var group lease.Batch
	x.seq++
	x.t.Apply(&q, &lease.Decision{Change: lease.Bind, ID: lease.ID{Addr: a}, Expires: until}, x.now, x.seq, &group)
	k.m.order++
	k.m.recs[a] = &rec{subnet: k.s.id, client: string(q.Client), hw: string(q.HWAddr), state: lease.Bound, expires: until, changed: x.now, order: k.m.order}
	if len(group.Records) != 1 || len(group.Records[0].Point) != 0 {
		t.Fatalf("writes %+v", group.Records)
	}
	x.disk[a] = group.Records[0]
	x.clients[id] = held{a, until}
}

func (x *machine) restart(t *rapid.T) {
	x.m.tidy(x.now)
	x.t = New(x.conf, Options{})
	x.m.recs = map[netip.Addr]*rec{}
	var records []lease.Binding
	for _, b := range x.disk {
		records = append(records, b)
	}
	for _, b := range rapid.Permutation(records).Draw(t, "order on disk") {
		if err := x.t.Load(&b, x.now); err != nil {
			t.Fatal(err)
		}
	}
	x.t.Loaded(x.now)

	slices.SortFunc(records, func(a, b lease.Binding) int {
		if a.Expires != b.Expires {
			return int(a.Expires - b.Expires)
		}
		return a.Addr.Compare(b.Addr)
	})
	for i, b := range records {
		x.m.order++
		r := &rec{subnet: b.Subnet, client: string(b.Client), point: string(b.Point), state: b.State, expires: b.Expires, order: x.m.order,
			hw: string(b.HWAddr), source: b.Source, remote: string(b.RemoteID), changed: b.Changed}
		later := slices.ContainsFunc(records[i+1:], func(o lease.Binding) bool {
			return o.Subnet == b.Subnet && string(o.Client) == r.client && o.State != lease.Declined
		})
		if r.active(x.now) || !later {
			x.m.recs[b.Addr] = r
		}
	}
}

func TestTableBehavesLikeTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := &machine{conf: configurations[0], now: 1_700_000_000, disk: map[netip.Addr]lease.Binding{}, clients: map[string]held{},
			p: lease.Policy{ServerID: ip(1), Times: lease.Times{Default: 900, Min: 100, Max: 1500}, Hold: 60, Quarantine: 1200,
				Authoritative: rapid.Bool().Draw(t, "authoritative"), Limit: rapid.SampledFrom([]int{0, 0, 1, 3}).Draw(t, "limit"),
				Moves: rapid.SampledFrom([]lease.Moves{lease.MoveWhenSilent, lease.MoveWhenSilent, lease.MoveAtOnce, lease.MoveNever}).Draw(t, "moves"),
				T2:    func(leaseTime uint32) uint32 { return leaseTime * 7 / 8 }}}
		if rapid.Bool().Draw(t, "has a peer") {
			x.p.Peers = []netip.Addr{ip(2)}
		}
		x.t, x.m = New(x.conf, Options{}), newModel(x.conf)
		t.Repeat(map[string]func(*rapid.T){
			"message": x.message, "another message": x.message,
			"obtain": x.obtain, "obtain more": x.obtain, "keep": x.keep, "keep more": x.keep,
			"time": func(t *rapid.T) {
				x.now += lease.Time(rapid.SampledFrom([]int{0, 1, 10, 59, 60, 61, 300, 900, 100_000}).Draw(t, "seconds"))
				if rapid.Bool().Draw(t, "expire") {
					x.t.Expire(x.now, rapid.IntRange(1, 5).Draw(t, "max"))
				}
			},
			"reload": func(t *rapid.T) {
				x.m.tidy(x.now)
				for x.t.Expire(x.now, 100) {
				}
				x.conf = rapid.SampledFrom(configurations).Draw(t, "configuration")
				x.p.Drain = rapid.IntRange(0, 4).Draw(t, "drain") == 0
				x.t.Reconfigure(x.conf)
				x.m.configure(x.conf)
			},
			"restart": func(t *rapid.T) {
				if rapid.IntRange(0, 3).Draw(t, "really") == 0 {
					x.restart(t)
				}
			},
			"release by the operator": func(t *rapid.T) {
				x.m.tidy(x.now)
				a := ip(rapid.IntRange(0, 40).Draw(t, "addr"))
				var group lease.Batch
				x.seq++
				done := x.t.Release(lease.ID{Addr: a}, x.now, x.seq, &group)
				r := x.m.recs[a]
				if done != (r != nil && r.bound(x.now)) {
					t.Fatalf("released: %v", done)
				}
				if done {
					delete(x.clients, fmt.Sprint(r.subnet, []byte(r.client)))
					x.m.order++
					r.state, r.expires, r.hold, r.changed, r.order = lease.Released, x.now, 0, x.now, x.m.order
					x.disk[a] = group.Records[0]
				}
			},
			"give by the operator": x.give,
			"":                     x.compare,
		})
	})
}
