package forward

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// window is how many queries a backend may have before it has shown that it
// keeps up; beyond it they are dropped, not sent to a queue that nobody reads.
// A backend that answers no probes and shows nothing gets a new window every
// reopen: it may be silent by rule.
//
// A DISCOVER gets half of it: under overload exchanges that have begun come
// first.
const (
	window = 8192
	reopen = time.Second
)

// Life of a backend.
const (
	unknown = iota // not heard of yet
	in
	tried // a Kea that was out, until something of it is heard or not; see watch.go
	out
)

// state is what is known of a backend; it survives a new address.
type state struct {
	id      atomic.Uint32 // of the member, from 1
	life    atomic.Int32
	heard   atomic.Int64 // last sign of life, on our monotonic clock; 0 = never
	refused atomic.Int64 // last time that nobody listened there
	probed  atomic.Bool  // it has answered a probe, ever

	// Queries are numbered as they are sent. Backends take them in order, so
	// an answer to one shows that all before it were taken.
	sent     atomic.Uint32
	taken    atomic.Uint32
	takenAt  atomic.Int64
	probes   probes
	series   *series
	waiting  waiting
	watching // owned by Run, under the lock of Backends

	// One that is tried gets a DISCOVER each of so many clients. Choose adds,
	// Run begins anew.
	tests  atomic.Int32
	tester [trialDiscovers]atomic.Uint64 // hash of the client
}

// testedBy tells whether a query may be lost to find out whether a backend is
// back: one that begins an exchange, for the first time. Whoever made the test
// is served by another when it asks again.
func (s *state) testedBy(q *Query, client uint64) bool {
	if !q.Opens() {
		return false
	}
	n := s.tests.Load()
	for i := range n {
		if s.tester[i].Load() == client {
			return false
		}
	}
	return n < trialDiscovers
}

// test notes that a client makes the test.
func (s *state) test(client uint64) {
	n := s.tests.Load()
	s.tester[n].Store(client)
	s.tests.Store(n + 1)
}

// caughtUp notes that all queries up to a number were taken.
func (s *state) caughtUp(number uint32, at int64) {
	if int32(number-s.taken.Load()) > 0 {
		s.taken.Store(number)
	}
	s.takenAt.Store(at)
}

// probes are the numbers of the queries before those probes that no answer has
// come to yet. Answers come in the order of the probes: that of one who is slow
// says nothing of the queries that left since.
type probes struct {
	before [64]atomic.Uint32
	asked  atomic.Uint32 // probes sent
	passed uint32        // probes that are done with; the loop that receives owns it
}

// ask notes that a probe leaves, behind so many queries.
func (p *probes) ask(sent uint32) {
	n := p.asked.Load()
	p.before[n%uint32(len(p.before))].Store(sent)
	p.asked.Store(n + 1)
}

// oldest is the place of the first probe that is not done with.
func (p *probes) oldest() (place *atomic.Uint32, some bool) {
	asked := p.asked.Load()
	if waiting := asked - p.passed; waiting > uint32(len(p.before)) {
		p.passed = asked - uint32(len(p.before))
	}
	return &p.before[p.passed%uint32(len(p.before))], p.passed != asked
}

// answered takes the answer to a probe: how many queries the backend has taken.
// A backend that was out has lost probes, and was sent nothing else since.
func (p *probes) answered(wasOut bool) (taken uint32, some bool) {
	if asked := p.asked.Load(); wasOut && asked != p.passed {
		p.passed = asked - 1
	}
	place, some := p.oldest()
	if some {
		taken = place.Load()
		p.passed++
	}
	return taken, some
}

// overtaken notes the answer to a query. Probes that left before that were
// answered before, or are lost.
func (p *probes) overtaken(number uint32) {
	for place, some := p.oldest(); some && int32(number-place.Load()) > 0; place, some = p.oldest() {
		p.passed++
	}
}

// full tells whether the backend has as much as it may have.
func (s *state) full(q *Query, now int64) bool {
	sent, room := s.sent.Load(), uint32(window)
	if q.Opens() {
		room = window / 2
	}
	if sent-s.taken.Load() < room {
		return false
	}
	if s.probed.Load() || now-s.takenAt.Load() < int64(reopen) {
		return true
	}
	s.caughtUp(sent, now)
	return false
}

// Query is what the choice of a backend goes by, and what an answer is known
// by. It lies in the bytes that it was read from.
type Query struct {
	kind    dhcp4.MessageType
	key     uint64     // of xid and chaddr
	client  []byte     // identity, in buf
	address netip.Addr // ciaddr, else option 50
	named   bool       // names a server (option 54)
	point   uint16     // hash of the attachment point
	buf     []byte
}

// Opens tells whether the query begins an exchange.
func (q *Query) Opens() bool { return q.kind == dhcp4.Discover }

// Read takes from a DHCPV4-QUERY what Choose and Sent want to know. The
// carried message has a whole header; what else is wrong with it any dhcp4d
// can say.
func (b *Backends) Read(q *Query, p *dhcp6.Packet, source netip.Addr, carried []byte) {
	*q = Query{key: keyOf(carried), buf: q.buf}
	if !b.table.Load().several {
		q.kind = kindOf(carried)
		return
	}
	m, why := dhcp4.Parse(carried)
	if why != drop.None {
		return
	}
	q.kind = m.Type()
	q.client, _ = m.AppendClientKey(q.buf[:0])
	q.buf = q.client
	if q.address = m.CIAddr(); q.address.IsUnspecified() {
		q.address, _ = m.Addr(dhcp4.OptRequestedAddress)
	}
	q.named = m.Has(dhcp4.OptServerIdentifier)
	q.point = pointOf(p, source)
}

// keyOf is what a query and its answer have in common: xid and chaddr.
func keyOf(m []byte) uint64 {
	h := mix(uint64(binary.BigEndian.Uint32(m[4:])) ^ binary.BigEndian.Uint64(m[28:]))
	return max(1, mix(h^binary.BigEndian.Uint64(m[36:])))
}

// kindOf looks for the message type in the options.
func kindOf(m []byte) dhcp4.MessageType {
	for m = m[dhcp4.HeaderLen:]; len(m) >= 3 && m[0] != dhcp4.OptEnd; {
		switch {
		case m[0] == dhcp4.OptMessageType:
			return dhcp4.MessageType(m[2])
		case m[0] == 0:
			m = m[1:]
		default:
			m = m[min(len(m), 2+int(m[1])):]
		}
	}
	return 0
}

// pointOf tells attachment points apart well enough to count a few.
func pointOf(p *dhcp6.Packet, source netip.Addr) uint16 {
	a := source.As16()
	h := hash(a[:])
	if n := p.Relays(); n > 0 {
		r := p.Relay(n - 1)
		peer := r.PeerAddress().As16()
		h = mix(h^hash(peer[:])) ^ hash(r.InterfaceID())
	}
	return uint16(mix(h))
}

// table is what the packet loops see: replaced as a whole, never changed.
type table struct {
	several bool // more than one is configured
	list    []Backend
	from    map[netip.AddrPort]int
	owned   []owned
}

// owned is a range of addresses and the place of its owner in the list.
type owned struct {
	first, last netip.Addr
	owner       int
}

// Owners that are no place in the list.
const (
	anybody = -1 // the address has no owner
	nobody  = -2 // its owner has no address yet
)

// Choose returns the backend that a query goes to, or why it goes to none:
// NoBackend, OwnerDown, Overload.
func (b *Backends) Choose(q *Query, now time.Time) (*Backend, drop.Reason) {
	c, why := b.table.Load().choose(q)
	if why != drop.None {
		return nil, why
	}
	if c.state.full(q, b.since(now)) {
		return nil, drop.Overload
	}
	return c, drop.None
}

func (t *table) choose(q *Query) (*Backend, drop.Reason) {
	key := hash(q.client)
	if owner := t.ownerOf(q.address); owner != anybody {
		if owner != nobody && t.list[owner].serves(q, key) {
			return t.list[owner].chosen(q, key), drop.None
		}
		// Whoever looks for a new lease may have it from another, and an
		// exchange whose server has gone is refused by another and begins
		// anew. Everything else would cost a client the lease that it has.
		if q.kind != dhcp4.Discover && !q.named {
			return nil, drop.OwnerDown
		}
	}
	if c := t.prefer(q, key); c != nil {
		return c.chosen(q, key), drop.None
	}
	return nil, drop.NoBackend
}

// serves tells whether the owner of an address gets a query about it. One that
// is tried gets all that nobody else may have: they cost nobody anything.
func (c *Backend) serves(q *Query, client uint64) bool {
	switch c.state.life.Load() {
	case out:
		return false
	case tried:
		return !q.Opens() || c.state.testedBy(q, client)
	}
	return true
}

// chosen notes what choosing the backend means to it.
func (c *Backend) chosen(q *Query, client uint64) *Backend {
	if q.Opens() && c.state.life.Load() == tried {
		c.state.test(client)
	}
	return c
}

// ownerOf is the place of the backend that alone serves an address.
func (t *table) ownerOf(a netip.Addr) int {
	if len(t.owned) == 0 || !a.IsValid() {
		return anybody
	}
	low, high := 0, len(t.owned)
	for low < high {
		if i := (low + high) / 2; t.owned[i].last.Less(a) {
			low = i + 1
		} else {
			high = i
		}
	}
	if low < len(t.owned) && !a.Less(t.owned[low].first) {
		return t.owned[low].owner
	}
	return anybody
}

// prefer is the first choice of a client among the backends that are in, or
// else among those that may be; nil when all are known to be out. Key is the
// client's.
func (t *table) prefer(q *Query, key uint64) *Backend {
	if len(t.list) == 1 {
		if c := &t.list[0]; c.state.life.Load() != out {
			return c
		}
		return nil
	}
	var best [in + 1]*Backend
	var top [in + 1]uint64
	for i := range t.list {
		c := &t.list[i]
		life := c.state.life.Load()
		if life == tried && c.state.testedBy(q, key) {
			life = in
		}
		if life > in {
			continue
		}
		if w := mix(key ^ c.seed); best[life] == nil || w > top[life] {
			best[life], top[life] = c, w
		}
	}
	if best[in] != nil {
		return best[in]
	}
	return best[unknown]
}

// hash is FNV-1a, 64 bits: short keys, no allocation, the same everywhere.
func hash(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// mix spreads a hash over all bits (the finalizer of splitmix64), so that the
// weights of one client towards several backends are independent.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
