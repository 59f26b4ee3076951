package table

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// model is the slow twin of lease, pool and table together: one map from
// address to what is known of it, walked from end to end for each question,
// and the rules of a DHCPv4 server written down once more, from the protocol.
type model struct {
	subnets []modelSubnet
	recs    map[netip.Addr]*rec
	order   int
}

type modelSubnet struct {
	id       uint32
	prefix   netip.Prefix
	pool     map[netip.Addr]bool
	reserved map[netip.Addr]bool
}

type rec struct {
	subnet        uint32
	client, point string
	state         lease.State // of the record, NoState without one
	expires, hold lease.Time
	order         int // of the last write or load
}

func newModel(conf []Subnet) *model {
	m := &model{recs: map[netip.Addr]*rec{}}
	m.configure(conf)
	return m
}

func (m *model) configure(conf []Subnet) {
	m.subnets = nil
	for _, s := range conf {
		ms := modelSubnet{s.ID, s.Prefix, map[netip.Addr]bool{}, map[netip.Addr]bool{}}
		for _, r := range s.Pools {
		next:
			for a := r.First; a.Compare(r.Last) <= 0; a = a.Next() {
				for _, x := range s.Excluded {
					if x.First.Compare(a) <= 0 && a.Compare(x.Last) <= 0 {
						continue next
					}
				}
				ms.pool[a] = true
			}
		}
		for _, a := range s.Reserved {
			ms.reserved[a] = true
		}
		m.subnets = append(m.subnets, ms)
	}
}

func (r *rec) bound(now lease.Time) bool { return r.state == lease.Bound && r.expires > now }
func (r *rec) declined(now lease.Time) bool {
	return r.state == lease.Declined && r.expires > now
}
func (r *rec) offered(now lease.Time) bool { return !r.bound(now) && !r.declined(now) && r.hold > now }
func (r *rec) active(now lease.Time) bool {
	return r.bound(now) || r.declined(now) || r.offered(now)
}

// tidy forgets what no one can have any claim on.
func (m *model) tidy(now lease.Time) {
	for a, r := range m.recs {
		if r.active(now) {
			continue
		}
		r.hold = 0
		if r.state == lease.NoState || r.state == lease.Declined || !m.inAnyPool(a) && !m.reservedIn(r.subnet, a) {
			delete(m.recs, a)
		}
	}
	for _, s := range m.subnets {
		m.limitQuarantine(s, now)
	}
}

func (m *model) inAnyPool(a netip.Addr) bool {
	return slices.ContainsFunc(m.subnets, func(s modelSubnet) bool { return s.pool[a] })
}

func (m *model) reservedIn(id uint32, a netip.Addr) bool {
	return slices.ContainsFunc(m.subnets, func(s modelSubnet) bool { return s.id == id && s.reserved[a] })
}

// limitQuarantine ends the oldest quarantines of a subnet with one pool.
func (m *model) limitQuarantine(s modelSubnet, now lease.Time) {
	size, resting := 0, []netip.Addr{}
	for a := range s.pool {
		if s.reserved[a] {
			continue
		}
		size++
		if r := m.recs[a]; r != nil && r.declined(now) {
			resting = append(resting, a)
		}
	}
	slices.SortFunc(resting, func(a, b netip.Addr) int { return m.recs[a].order - m.recs[b].order })
	for len(resting) > max(size/10, 1) {
		delete(m.recs, resting[0])
		resting = resting[1:]
	}
}

// asked is one message on its way through the model.
type asked struct {
	m   *model
	s   *modelSubnet
	q   *lease.Query
	p   *lease.Policy
	now lease.Time
}

// verdict is what the model demands. With anyFree the address may be any
// free one; real fills it in.
type verdict struct {
	kind    lease.Kind
	drop    drop.Reason
	addr    netip.Addr
	anyFree bool
	time    uint32
	writes  map[netip.Addr]lease.State
}

func (k *asked) mine(r *rec) bool {
	return r != nil && r.subnet == k.s.id && r.client == string(k.q.Client)
}

// others tells whether somebody else has the address, or nobody may.
func (k *asked) others(a netip.Addr) bool {
	r := k.m.recs[a]
	return r != nil && r.active(k.now) && (!k.mine(r) || r.declined(k.now))
}

// allowed tells whether the configuration lets this client have the address.
func (k *asked) allowed(a netip.Addr) bool {
	if a == k.q.Reservation {
		return k.s.prefix.Contains(a)
	}
	return k.s.pool[a] && !k.s.reserved[a]
}

// find is the client's address that fits, the latest written if there are
// several.
func (k *asked) find(fits func(a netip.Addr, r *rec) bool) (found netip.Addr) {
	for a, r := range k.m.recs {
		if k.mine(r) && !r.declined(k.now) && fits(a, r) && (!found.IsValid() || r.order > k.m.recs[found].order) {
			found = a
		}
	}
	return found
}

func (k *asked) current() netip.Addr {
	return k.find(func(a netip.Addr, r *rec) bool { return r.bound(k.now) && k.allowed(a) })
}
func (k *asked) stale() netip.Addr {
	return k.find(func(a netip.Addr, r *rec) bool { return r.bound(k.now) && !k.allowed(a) })
}
func (k *asked) offer() netip.Addr {
	return k.find(func(a netip.Addr, r *rec) bool { return r.offered(k.now) })
}
func (k *asked) former() netip.Addr {
	return k.find(func(a netip.Addr, r *rec) bool { return !r.active(k.now) })
}

// main is the one address that stands for the client.
func (k *asked) main() netip.Addr {
	for _, a := range []netip.Addr{k.current(), k.offer(), k.stale(), k.former()} {
		if a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

func (k *asked) full() bool {
	if k.p.Limit == 0 {
		return false
	}
	if r := k.m.recs[k.main()]; r != nil && r.active(k.now) && k.here(r) {
		return false
	}
	n := 0
	for _, r := range k.m.recs {
		if r.active(k.now) && r.point == string(k.q.Point) {
			n++
		}
	}
	return n >= k.p.Limit
}

// takeover: the reservation of this attachment point, which another client
// has there.
func (k *asked) takeover(a netip.Addr) bool {
	r := k.m.recs[a]
	return k.q.ByPoint && a == k.q.Reservation && r != nil && r.active(k.now) && !r.declined(k.now) && k.here(r)
}

// here: the record is of the query's attachment point, or of an unknown one.
func (k *asked) here(r *rec) bool { return r.point == "" || r.point == string(k.q.Point) }

// reservable: the client has a reservation, and could have it now.
func (k *asked) reservable(starting bool) bool {
	a := k.q.Reservation
	return a.IsValid() && (!k.others(a) || starting && k.takeover(a))
}

func (k *asked) wanted() uint32 {
	if !k.q.HasWish {
		return k.p.Default
	}
	return min(max(k.q.Wish, k.p.Min), k.p.Max)
}

func (k *asked) answer() verdict {
	q := k.q
	switch q.Type {
	case lease.TypeDiscover:
		return k.discover()
	case lease.TypeRelease:
		r := k.m.recs[q.CIAddr]
		if (!q.ServerID.IsValid() || q.ServerID == k.p.ServerID) && k.mine(r) && r.bound(k.now) && k.here(r) {
			r.state, r.expires, r.hold = lease.Released, k.now, 0
			return verdict{writes: map[netip.Addr]lease.State{q.CIAddr: lease.Released}}
		}
		return verdict{}
	case lease.TypeDecline:
		r := k.m.recs[q.Requested]
		if q.ServerID == k.p.ServerID && k.mine(r) && (r.bound(k.now) || r.offered(k.now)) && k.here(r) {
			k.m.order++
			r.state, r.expires, r.hold, r.order = lease.Declined, k.now.After(k.p.Quarantine), 0, k.m.order
			return verdict{writes: map[netip.Addr]lease.State{q.Requested: lease.Declined}}
		}
		return verdict{}
	}
	server, requested, ciaddr := q.ServerID.IsValid(), q.Requested.IsValid(), q.CIAddr.IsValid() && !q.CIAddr.IsUnspecified()
	switch {
	case server && ciaddr && q.ServerID != k.p.ServerID, !server && requested && ciaddr && q.Requested != q.CIAddr, !requested && !ciaddr:
		return verdict{kind: lease.Dropped, drop: drop.Contradiction}
	case ciaddr:
		return k.believing(q.CIAddr, true)
	case server:
		return k.selecting()
	}
	return k.believing(q.Requested, false)
}

func (k *asked) elsewhere() bool {
	r := k.m.recs[k.main()]
	return k.p.RefuseMoves && r != nil && r.bound(k.now) && !k.here(r)
}

func (k *asked) discover() verdict {
	hold := func(a netip.Addr) verdict {
		v := verdict{kind: lease.Offer, addr: a, time: k.wanted()}
		k.hold(a)
		return v
	}
	none := func(why drop.Reason) verdict { return verdict{kind: lease.Dropped, drop: why} }
	isCurrent := k.current().IsValid() && k.current() == k.q.Reservation
	switch {
	case k.q.ServerID.IsValid():
		return none(drop.Contradiction)
	case k.elsewhere():
		return verdict{}
	case k.reservable(true) && (!k.p.Drain || isCurrent):
		return hold(k.q.Reservation)
	case k.current().IsValid():
		if k.full() {
			return none(drop.PointLimit)
		}
		return hold(k.current())
	}
	offer := k.offer()
	offered := offer.IsValid() && k.allowed(offer)
	stands := k.m.recs[k.main()]
	switch {
	case k.p.Drain && !offered && !(stands != nil && stands.bound(k.now)):
		return none(drop.Draining)
	case k.full():
		return none(drop.PointLimit)
	case offered:
		return hold(offer)
	}
	if former := k.former(); former.IsValid() && k.allowed(former) && k.main() == former {
		return hold(former)
	}
	if a := k.q.Requested; a.IsValid() && k.allowed(a) && !k.others(a) {
		if r := k.m.recs[a]; r == nil || !k.mine(r) || !r.active(k.now) {
			return hold(a)
		}
	}
	for a := range k.s.pool {
		if k.freeForAll(a) {
			return verdict{kind: lease.Offer, anyFree: true, time: k.wanted()}
		}
	}
	return none(drop.NoAddress)
}

func (k *asked) freeForAll(a netip.Addr) bool {
	r := k.m.recs[a]
	return k.s.pool[a] && !k.s.reserved[a] && (r == nil || !r.active(k.now))
}

// hold notes an offer; the client's other one ends.
func (k *asked) hold(a netip.Addr) {
	if k.takeover(a) && !k.mine(k.m.recs[a]) && k.m.recs[a].bound(k.now) {
		// Nobody but this point can have it, so nothing has to be held; but
		// an offer of another address is kept as it is.
		return
	}
	until := k.now.After(k.p.Hold)
	if r := k.m.recs[a]; k.mine(r) && r.bound(k.now) && r.expires >= until {
		return
	}
	for _, r := range k.m.recs {
		if k.mine(r) {
			r.hold = 0
		}
	}
	r := k.m.recs[a]
	if !k.mine(r) {
		r = &rec{subnet: k.s.id, client: string(k.q.Client)}
		k.m.recs[a] = r
	}
	r.hold = until
	if !r.bound(k.now) {
		r.point = string(k.q.Point)
	}
}

func (k *asked) selecting() verdict {
	q, a := k.q, k.q.Requested
	if q.ServerID != k.p.ServerID {
		if o := k.offer(); o.IsValid() && o == k.main() && k.m.recs[o].point == string(q.Point) {
			k.m.recs[o].hold = 0
		}
		if slices.Contains(k.p.Peers, q.ServerID) {
			return verdict{kind: lease.Nak}
		}
		return verdict{}
	}
	if k.elsewhere() {
		return verdict{}
	}
	if k.reservable(true) {
		if a != q.Reservation {
			return verdict{kind: lease.Nak}
		}
	} else {
		if k.others(a) || !k.allowed(a) {
			return verdict{kind: lease.Nak}
		}
		if other := k.main(); other.IsValid() && other != a && (k.m.recs[other].offered(k.now) || other == k.current()) {
			return verdict{kind: lease.Nak}
		}
	}
	if !k.allowed(a) {
		return verdict{kind: lease.Nak}
	}
	return k.acknowledge(a)
}

// believing is a client that believes it has address a already.
func (k *asked) believing(a netip.Addr, renewal bool) verdict {
	nak, silence := verdict{kind: lease.Nak}, verdict{}
	r := k.m.recs[a]
	bound := k.mine(r) && r.bound(k.now)
	unknown := silence
	if k.p.Authoritative {
		unknown = nak
	}
	switch {
	case !k.s.prefix.Contains(a):
		return nak
	case k.elsewhere():
		return silence
	case !bound && !k.s.pool[a] && !k.s.reserved[a] && a != k.q.Reservation:
		return silence
	case a != k.q.Reservation && k.reservable(!renewal):
		return nak
	case a != k.q.Reservation && k.s.reserved[a]:
		if renewal || k.main().IsValid() {
			return nak
		}
		return unknown
	case a == k.q.Reservation && k.others(a) && (renewal || !k.takeover(a)):
		return nak
	case a == k.q.Reservation || bound:
		return k.acknowledge(a)
	}
	if renewal {
		switch {
		case k.others(a), k.current().IsValid():
			return nak
		case !k.mine(r) && !k.p.Authoritative:
			return silence
		}
		return k.acknowledge(a)
	}
	switch {
	case k.main().IsValid() && k.main() != a:
		return nak
	case k.mine(r) && !r.declined(k.now):
		return k.acknowledge(a)
	}
	return unknown
}

func (k *asked) acknowledge(a netip.Addr) verdict {
	r := k.m.recs[a]
	v := verdict{kind: lease.Ack, addr: a, time: k.wanted(), writes: map[netip.Addr]lease.State{}}
	end := k.now.After(v.time)
	if k.mine(r) && r.bound(k.now) {
		moved := !k.here(r)
		if !k.allowed(a) || moved && k.full() && a != k.q.Reservation {
			v.time = uint32(r.expires - k.now)
			return v
		}
		if !moved && r.expires == end {
			return v
		}
	} else {
		offered := k.mine(r) && r.offered(k.now)
		if k.full() && a != k.q.Reservation || k.p.Drain && !offered {
			return verdict{kind: lease.Nak}
		}
		for b, o := range k.m.recs {
			if b != a && k.mine(o) && !o.declined(k.now) {
				if o.bound(k.now) {
					v.writes[b] = lease.Released
				}
				delete(k.m.recs, b)
			}
		}
	}
	k.m.order++
	k.m.recs[a] = &rec{subnet: k.s.id, client: string(k.q.Client), point: string(k.q.Point), state: lease.Bound, expires: end, order: k.m.order}
	v.writes[a] = lease.Bound
	return v
}
