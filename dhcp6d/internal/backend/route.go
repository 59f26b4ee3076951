package backend

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Backend is one dhcp4d at one address. Its host may have several; one is in use.
type Backend struct {
	Name string
	Addr netip.AddrPort
	Kea  bool
	Peer *ipc.Peer // how it is authenticated; nil for a Kea

	state  *state
	seed   uint64     // hash of Name
	others []*Backend // the same backend at the other addresses of its host
	unused bool       // this is one of those
}

// Local returns the address of ours that the backend gets datagrams from. The zero Addr leaves the
// choice to the kernel.
//
// A socket on a wildcard address sends from whatever address the kernel picks, and that may change
// when the host gets another one. The backend accepts datagrams only from addresses that it knows,
// so we keep the address that it answers to.
func (b *Backend) Local() netip.Addr {
	if a := b.state.local.Load(); a != nil {
		return *a
	}
	return netip.Addr{}
}

// Route is where a query goes.
type Route struct {
	*Backend
	// Probe asks the caller to send the backend a full probe with this Mark right behind the query.
	Probe bool
	Mark  uint32
	// Why says why the backend was chosen.
	Why Choice
}

// Choice is why a query goes to its backend.
type Choice uint8

// The choices.
const (
	OnlyOne     Choice = iota // there is no other
	OfOwner                   // it alone serves the address of the query
	OfHash                    // the client's first choice among those that are up
	NoneIsUp                  // no backend is up: the first choice among those that were never heard
	NothingElse               // nor is one unheard: the first choice among those that cannot acknowledge leases
)

// String returns the choice in words.
func (c Choice) String() string {
	return [...]string{
		"it is the only backend", "it alone serves the query's address",
		"it is the client's first choice of the backends that are up",
		"no backend is up, and it was never heard", "no other backend is up, and it cannot acknowledge leases now",
	}[c]
}

// String returns the backends and their health.
func (s *Set) String() string {
	var text []string
	for _, b := range s.table.Load().list {
		text = append(text, fmt.Sprintf("%s at %v is %v", b.Name, b.Addr, b.state.health.get()))
	}
	if text == nil {
		return "none has an address yet"
	}
	return strings.Join(text, ", ")
}

// Query is a DHCPV4-QUERY that needs a backend. The caller sets the exported fields, which may lie
// in its buffers. Use one Query again and again: it owns memory.
type Query struct {
	Path    *attachment.Path // the way of the query, as far as it is believed
	Message []byte           // the DHCPv4 message that it carries, with a complete header
	Waited  time.Duration    // how long it lay in the link's socket

	// What [Set.Route] reads from them.
	kind    dhcp4.MessageType
	key     uint64     // of xid and chaddr; the answer has the same
	client  uint64     // hash of the client's identity
	address netip.Addr // ciaddr, else option 50
	named   bool       // it names a server (option 54)
	point   uint16     // hash of the subscriber, to count a few different ones: a collision does no harm

	octets []byte        // memory for the octets of an identity or a point
	view   dhcp4.Message // memory for the view of Message
	flight *flight       // where Route has noted the query; nil if nobody waits for an answer
}

// opens reports whether the query begins an exchange.
func (q *Query) opens() bool { return q.kind == dhcp4.Discover }

// Route returns where a query goes, and counts the query as sent. Otherwise it returns the reason
// why the query is dropped:
//
//   - [drop.NoBackend]: no backend is up.
//   - [drop.OwnerDown]: the only backend that may answer is down.
//   - [drop.QueueFull]: the backend has not read what it was sent before.
//   - [drop.Stale]: the query would have waited for too long when the backend reads it.
//
// A caller that cannot send the query after all calls [Set.Withdraw].
func (s *Set) Route(q *Query, limits MaxWait, now time.Time) (Route, drop.Reason) {
	t := s.table.Load()
	q.read(t.several)
	to, choice, why := t.choose(q)
	if why != drop.None {
		return Route{}, why
	}
	at := s.since(now)
	if to.state.full(q.opens(), at) {
		return Route{}, drop.QueueFull
	}
	if to.state.late(q, limits, at) {
		return Route{}, drop.Stale
	}
	number := s.depart(to, q, at)
	return Route{Backend: to, Probe: to.state.wantsMark(number, at), Mark: number, Why: choice}, drop.None
}

// read takes from the query what the choice of a backend depends on. For a single backend that is
// less. It does not check the carried message; the backend does.
func (q *Query) read(several bool) {
	q.kind, q.key, q.client, q.address, q.named, q.point, q.flight = 0, keyOf(q.Message), 0, netip.Addr{}, false, 0, nil
	if !several {
		q.kind = kindOf(q.Message)
		return
	}
	m := &q.view
	if m.Parse(q.Message) != drop.None {
		q.client = hash(nil)
		return
	}
	q.kind = m.Type()
	q.octets, _ = m.AppendClientKey(q.octets[:0])
	q.client = hash(q.octets)
	if q.address = m.CIAddr(); q.address.IsUnspecified() {
		q.address, _ = m.Addr(dhcp4.OptRequestedAddress)
	}
	q.named = m.Has(dhcp4.OptServerIdentifier)
	q.octets = q.Path.AppendSubscriber(q.octets[:0])
	q.point = uint16(mix(hash(q.octets)))
}

// keyOf returns a hash of what a query and its answer have in common: xid and chaddr. It is never
// 0.
func keyOf(m []byte) uint64 {
	h := mix(uint64(binary.BigEndian.Uint32(m[4:])) ^ binary.BigEndian.Uint64(m[28:]))
	return max(1, mix(h^binary.BigEndian.Uint64(m[36:])))
}

// kindOf reads the message type, and nothing else.
func kindOf(m []byte) dhcp4.MessageType {
	for m = m[dhcp4.HeaderLen:]; len(m) >= 3 && m[0] != dhcp4.OptEnd; {
		budget.Spend(1)
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

// table is what the packet loops see of the configuration. It never changes.
type table struct {
	several bool // more than one backend is configured
	list    []Backend
	from    map[netip.AddrPort]*Backend // by all addresses
	owned   []owned                     // ascending
}

// owned is a range of addresses, and the place of its owner in the list.
type owned struct {
	first, last netip.Addr
	owner       int
}

// Owners that are no index of the list.
const (
	anybody = -1 // the address has no owner
	nobody  = -2 // the owner's name is not resolved yet
)

// choose returns the backend for a query.
//
// A client that looks for a new lease may get it from any backend. If a REQUEST names a server that
// is gone, another one refuses it, and the client begins anew. Everything else must reach the owner
// of its address, or the client would lose the lease that it has.
func (t *table) choose(q *Query) (*Backend, Choice, drop.Reason) {
	owner := t.ownerOf(q.address)
	if owner >= 0 && t.list[owner].serves(q) {
		return &t.list[owner], OfOwner, drop.None
	}
	if owner != anybody && !q.opens() && !q.named {
		return nil, 0, drop.OwnerDown
	}
	if to, choice := t.prefer(q); to != nil {
		return to, choice, drop.None
	}
	return nil, 0, drop.NoBackend
}

// ownerOf returns the place of the backend that alone serves an address.
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

// serves reports whether the owner of an address gets a query about it. A backend on trial, or an
// unable one, gets what only it can serve: otherwise it would be dropped.
func (b *Backend) serves(q *Query) bool {
	switch b.state.health.get() {
	case Down:
		return false
	case Unable:
		return !q.opens() && !q.named
	case Trial:
		return !q.opens() || b.state.trial.takes(q)
	}
	return true
}

// prefer returns the backend of the best rank for a query that any backend could serve. Among
// those of equal rank it is the client's first choice by rendezvous hashing. It is nil if no
// backend may have the query.
func (t *table) prefer(q *Query) (*Backend, Choice) {
	if len(t.list) == 1 {
		if t.list[0].state.health.get() == Down {
			return nil, 0
		}
		return &t.list[0], OnlyOne
	}
	var best *Backend
	var top uint64
	highest := never
	for i := range t.list {
		b := &t.list[i]
		r := b.rank(q)
		if r == never || r < highest {
			continue
		}
		if w := mix(q.client ^ b.seed); r > highest || w > top {
			best, top, highest = b, w, r
		}
	}
	// The choices OfHash, NoneIsUp and NothingElse are the ranks in falling order.
	return best, NothingElse - Choice(max(highest, ifNothingElse)-ifNothingElse)
}

// Ranks of a backend for a query that others could serve as well. An unable backend comes last, but
// still gets queries: it knows best what it can answer, and may have recovered before we know.
type rank int8

const (
	never rank = iota
	ifNothingElse
	ifNoneIsUp
	preferred
)

func (b *Backend) rank(q *Query) rank {
	switch b.state.health.get() {
	case Up:
		return preferred
	case Unheard:
		return ifNoneIsUp
	case Unable:
		return ifNothingElse
	case Trial:
		if b.state.trial.takes(q) {
			return preferred
		}
	}
	return never
}

// hash is FNV-1a of 64 bits. It is the same in every process and allocates nothing.
func hash(b []byte) uint64 {
	budget.Spend(len(b))
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// mix spreads a hash over all bits (the finalizer of splitmix64), so that the weights of one client
// towards several backends are independent.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
