package table

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// model is the slow twin of lease, free and table together: one map from
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
	hw, remote    string
	source        netip.Addr
	changed       lease.Time
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

func (r *rec) laterThan(o *rec) bool {
	return r.changed > o.changed || (r.changed == o.changed && r.order > o.order)
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
		if r.state == lease.NoState || r.state == lease.Declined || (!m.inAnyPool(a) && !m.reservedIn(r.subnet, a)) {
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

// same: the record is of the query's client identifier.
func (k *asked) same(r *rec) bool {
	return r != nil && r.subnet == k.s.id && r.client == string(k.q.Client)
}

// mine: and it is the client's, by the policy for moves.
func (k *asked) mine(r *rec) bool {
	switch {
	case !k.same(r), k.p.Moves == lease.MoveAtOnce, !k.held(r), k.here(r):
		return k.same(r)
	case k.p.Moves == lease.MoveNever, !r.bound(k.now), r.expires == lease.Never:
		return false
	}
	for _, o := range k.m.recs {
		if k.same(o) && k.held(o) && k.here(o) {
			return false
		}
	}
	return k.now >= r.changed+(r.expires-r.changed)*7/8
}

// behind: of several bindings at other attachment points one may follow, the
// best; this is another.
func (k *asked) behind(a netip.Addr, r *rec) bool {
	if k.p.Moves != lease.MoveWhenSilent || !r.bound(k.now) || k.here(r) {
		return false
	}
	for b, o := range k.m.recs {
		if b == a || !k.same(o) || !o.bound(k.now) || k.here(o) {
			continue
		}
		if (k.allowed(b) && !k.allowed(a)) || (k.allowed(b) == k.allowed(a) && o.laterThan(r)) {
			return true
		}
	}
	return false
}

func (k *asked) held(r *rec) bool { return r.bound(k.now) || r.offered(k.now) }

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
		if k.mine(r) && !k.behind(a, r) && !r.declined(k.now) && fits(a, r) && (!found.IsValid() || r.laterThan(k.m.recs[found]) || (!k.m.recs[found].laterThan(r) && found.Less(a))) {
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

// countedBy is what the limit counts a point by.
func countedBy(point string) string {
	if name := spots[point].counted; name != "" {
		return name
	}
	return point
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
		if r.active(k.now) && countedBy(r.point) == countedBy(string(k.q.Point)) {
			n++
		}
	}
	return n >= k.p.Limit
}

// takeover: the reservation of this attachment point or hardware address,
// which another client has there.
func (k *asked) takeover(a netip.Addr, starting bool) bool {
	r := k.m.recs[a]
	if a != k.q.Reservation || r == nil || !k.held(r) {
		return false
	}
	return (k.q.ByPoint && starting && k.near(r)) || (k.q.ByHardware && k.here(r) && r.hw == string(k.q.HWAddr))
}

// near: the record is of the query's place, as far as can be told.
func (k *asked) near(r *rec) bool {
	if r.point == "" {
		return true
	}
	a, b := spots[r.point], spots[string(k.q.Point)]
	return (a.server != b.server && a.shared && b.shared) || (a.server == b.server && a.place == b.place)
}

// here: and it is of whom the query comes from.
func (k *asked) here(r *rec) bool {
	if !k.near(r) {
		return false
	}
	a, b := spots[r.point], spots[string(k.q.Point)]
	hw, source := r.hw == string(k.q.HWAddr), r.source == k.q.Source
	switch {
	case r.point == "", !a.shared:
		return true
	case a.server != b.server:
		return hw && source
	}
	return hw || source
}

// mayEnd: and it may end the lease.
func (k *asked) mayEnd(r *rec) bool {
	return k.here(r) && (r.point == "" || !spots[r.point].shared || r.hw == string(k.q.HWAddr))
}

// crowded: many hosts of the link use the identifier.
func (k *asked) crowded() bool {
	n := 0
	for _, r := range k.m.recs {
		if k.same(r) && r.active(k.now) && k.near(r) && !k.here(r) {
			n++
		}
	}
	main := k.m.recs[k.main()]
	return n >= 4 && k.p.Moves != lease.MoveAtOnce && !(main != nil && k.held(main))
}

// away: the address is the identifier's, but not the client's.
func (k *asked) away(a netip.Addr) bool {
	r := k.m.recs[a]
	return k.same(r) && k.held(r) && !k.mine(r)
}

// reservable: the client has a reservation, and could have it now.
func (k *asked) reservable(starting bool) bool {
	a := k.q.Reservation
	return a.IsValid() && (!k.others(a) || k.takeover(a, starting))
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
	case dhcp4.Discover:
		return k.discover()
	case dhcp4.Release:
		a := q.CIAddr
		if !isSet(a) {
			a = q.Requested
		}
		r := k.m.recs[a]
		if k.forUs() && k.same(r) && r.bound(k.now) && k.mayEnd(r) {
			k.m.order++
			r.state, r.expires, r.hold, r.changed, r.order = lease.Released, k.now, 0, k.now, k.m.order
			return verdict{writes: map[netip.Addr]lease.State{a: lease.Released}}
		}
		return verdict{}
	case dhcp4.Decline:
		a := q.Requested
		if !isSet(a) {
			a = q.CIAddr
		}
		r := k.m.recs[a]
		if k.forUs() && k.same(r) && k.held(r) && k.mayEnd(r) {
			k.m.order++
			r.state, r.expires, r.hold, r.order = lease.Declined, k.now.After(k.p.Quarantine), 0, k.m.order
			return verdict{writes: map[netip.Addr]lease.State{a: lease.Declined}}
		}
		return verdict{}
	}
	other := isSet(q.ServerID) && q.ServerID != k.p.ServerID && !isSet(q.CIAddr)
	main := k.m.recs[k.main()]
	if k.away(q.Named()) && !(main != nil && main.bound(k.now)) && !k.elsewhere() && !other {
		if main != nil && main.offered(k.now) {
			main.hold = 0
		}
		return verdict{}
	}
	switch {
	case isSet(q.CIAddr):
		return k.believing(q.CIAddr, true)
	case isSet(q.ServerID) && isSet(q.Requested):
		return k.selecting(q.Requested)
	case isSet(q.Requested):
		return k.believing(q.Requested, false)
	}
	// The address is not said.
	holds := k.offer().IsValid() || k.current().IsValid() || k.stale().IsValid() || k.elsewhere()
	switch {
	case isSet(q.ServerID) && (holds || q.ServerID != k.p.ServerID):
		return k.selecting(k.main())
	case isSet(q.ServerID), holds, k.p.Authoritative:
		return verdict{kind: lease.Nak}
	}
	return verdict{}
}

// forUs: the message names our server identifier, or none.
func (k *asked) forUs() bool { return !isSet(k.q.ServerID) || k.q.ServerID == k.p.ServerID }

func isSet(a netip.Addr) bool { return a.IsValid() && !a.IsUnspecified() }

func (k *asked) elsewhere() bool {
	found := false
	for _, r := range k.m.recs {
		if k.same(r) && r.bound(k.now) {
			if k.here(r) {
				return false
			}
			found = true
		}
	}
	return found && k.p.Moves == lease.MoveNever
}

func (k *asked) discover() verdict {
	hold := func(a netip.Addr) verdict {
		v := verdict{kind: lease.Offer, addr: a, time: k.wanted()}
		k.hold(a)
		return v
	}
	none := func(why drop.Reason) verdict { return verdict{kind: lease.Dropped, drop: why} }
	own := k.m.recs[k.q.Reservation]
	isCurrent := k.mine(own) && own.bound(k.now)
	switch {
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
	case k.full(), k.crowded():
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
	if k.takeover(a, true) && !k.mine(k.m.recs[a]) && k.m.recs[a].bound(k.now) {
		// Nobody but this point or hardware address can have it, so nothing has to be held; but
		// an offer of another address is kept as it is.
		return
	}
	until := k.now.After(k.p.Hold)
	if r := k.m.recs[a]; k.mine(r) && r.bound(k.now) && r.expires >= until {
		return
	}
	for _, r := range k.m.recs {
		if k.mine(r) && !k.stays(r) {
			r.hold = 0
		}
	}
	r := k.m.recs[a]
	if !k.same(r) {
		r = &rec{subnet: k.s.id, client: string(k.q.Client)}
		k.m.recs[a] = r
	}
	r.hold = until
	if !r.bound(k.now) {
		r.point, r.hw, r.source, r.remote = string(k.q.Point), string(k.q.HWAddr), k.q.Source, string(k.q.RemoteID)
	}
}

// stays: what the identifier has at another attachment point is left alone.
func (k *asked) stays(r *rec) bool {
	return k.p.Moves != lease.MoveAtOnce && r.active(k.now) && !k.here(r)
}

func (k *asked) selecting(a netip.Addr) verdict {
	q := k.q
	if q.ServerID != k.p.ServerID {
		if o := k.offer(); o.IsValid() && o == k.main() && k.here(k.m.recs[o]) && !k.elsewhere() {
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
	case a != k.q.Reservation && k.reservable(!renewal):
		return nak
	case !bound && !k.s.pool[a] && !k.s.reserved[a] && a != k.q.Reservation:
		if len(k.p.Peers) > 0 {
			return silence
		}
		return unknown
	case a != k.q.Reservation && k.s.reserved[a]:
		if renewal || k.main().IsValid() {
			return nak
		}
		return unknown
	case a == k.q.Reservation && k.others(a) && !k.takeover(a, !renewal):
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
	point := string(k.q.Point)
	if k.mine(r) && r.bound(k.now) {
		moved := !k.here(r)
		renamed := spots[r.point].counted != spots[point].counted
		if !moved && r.point != "" && !renamed {
			point = r.point
		}
		if !k.allowed(a) || (moved && k.full() && a != k.q.Reservation) {
			v.time = uint32(r.expires - k.now)
			return v
		}
		if !moved && r.expires == end {
			return v
		}
	} else {
		offered := k.mine(r) && r.offered(k.now)
		if ((k.full() || k.crowded()) && a != k.q.Reservation) || (k.p.Drain && !offered) {
			return verdict{kind: lease.Nak}
		}
		for b, o := range k.m.recs {
			if b != a && k.same(o) && !o.declined(k.now) && !k.stays(o) {
				if o.bound(k.now) {
					v.writes[b] = lease.Released
				}
				delete(k.m.recs, b)
			}
		}
	}
	k.m.order++
	k.m.recs[a] = &rec{subnet: k.s.id, client: string(k.q.Client), point: point, state: lease.Bound, expires: end, order: k.m.order,
		hw: string(k.q.HWAddr), source: k.q.Source, remote: string(k.q.RemoteID), changed: k.now}
	v.writes[a] = lease.Bound
	return v
}
