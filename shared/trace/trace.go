// Package trace lets people follow the packets of one subscriber through a running daemon.
//
// A [Hub] holds the watches that are open. While there is none, a packet loop reads one atomic
// pointer per batch and does nothing else. While there is one, the loop calls [Watches.Of] for each
// packet. It makes a [Record], with copies of the packet's bytes, only for a packet of a
// subscriber that a watch follows.
//
// A packet never waits for a watch: a record that its reader does not take in time is lost, and the
// next one has the number of lost records. Watches, their rate, their queue and their records are
// bounded.
//
// Watches are found by what they follow. So a packet that no watch follows costs the same with a
// hundred watches as with one. Those that follow prefixes are tried one by one. Watches of one
// packet share its record.
package trace

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The bounds.
const (
	MaxWatches = 128  // at one time
	rate       = 50   // records per second and watch
	allRate    = 500  // records per second that watches share equally; and as many for who needs more
	queue      = 100  // records that a watch may have unread
	allQueues  = 1600 // records that watches, which share this equally, may have unread
	MaxOctets  = 2048 // of each datagram in a record
)

// ErrTooMany is the error of Watch when MaxWatches are open.
var ErrTooMany = fmt.Errorf("%d traces run, and no more may at one time; end one of them", MaxWatches)

// Hub holds the watches. Any goroutine may use it.
type Hub struct {
	mu   sync.Mutex
	open atomic.Pointer[Open]

	queries exchanges
	shared  pace // of all watches
}

// Open are the watches that are open. They never change.
type Open struct {
	hub *Hub
	all Watches
	// Each group is in one of these, by the first that its subscriber has. Others have a prefix, or
	// nothing.
	hwAddr, clientID, interfaceID, remoteID map[string][]*group
	source                                  map[netip.Addr][]*group
	others                                  []*group

	rate  int // records per second that each watch has for itself
	queue int // records that each may have unread
}

// Watches are some of them.
type Watches []*Watch

// group is the watches of one subscriber.
type group struct {
	of      *Subscriber
	watches Watches
	*pause
}

// newOpen orders the watches. Nil means none.
func (h *Hub) newOpen(all Watches) *Open {
	if len(all) == 0 {
		return nil
	}
	o := &Open{
		hub: h, all: all, rate: min(rate, allRate/len(all)), queue: min(queue, allQueues/len(all)),
		hwAddr: map[string][]*group{}, clientID: map[string][]*group{},
		interfaceID: map[string][]*group{}, remoteID: map[string][]*group{},
		source: map[netip.Addr][]*group{},
	}
	groups := map[*pause]*group{}
	for _, w := range all {
		g := groups[w.pause]
		if g == nil {
			g = &group{of: &w.of, pause: w.pause}
			groups[w.pause] = g
			o.add(g)
		}
		g.watches = append(g.watches, w)
	}
	return o
}

func (o *Open) add(g *group) {
	put := func(m map[string][]*group, key []byte) { m[string(key)] = append(m[string(key)], g) }
	switch of := g.of; {
	case of.HWAddr != nil:
		put(o.hwAddr, of.HWAddr)
	case of.ClientID != nil:
		put(o.clientID, of.ClientID)
	case of.InterfaceID != nil:
		put(o.interfaceID, of.InterfaceID)
	case of.RemoteID != nil:
		put(o.remoteID, of.RemoteID)
	case of.Source.IsSingleIP():
		o.source[of.Source.Addr()] = append(o.source[of.Source.Addr()], g)
	default:
		o.others = append(o.others, g)
	}
}

// On returns the watches that are open, nil if there is none or no hub.
func (h *Hub) On() *Open {
	if h == nil {
		return nil
	}
	return h.open.Load()
}

// All opens a watch of every packet that tells of a subscriber, for a program that hands the
// packets over one by one: there is no bound of the rate. Close must follow.
func (h *Hub) All() *Watch {
	w := &Watch{hub: h, all: true, records: make(chan *Record, queue), pause: new(pause)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open.Store(h.newOpen(Watches{w}))
	return w
}

// Watch opens a watch. Close must follow.
func (h *Hub) Watch(of Subscriber) (*Watch, error) {
	w := &Watch{of: of, hub: h, records: make(chan *Record, queue), pause: new(pause)}
	h.mu.Lock()
	defer h.mu.Unlock()
	var all Watches
	if now := h.open.Load(); now != nil {
		all = now.all
	}
	if len(all) == MaxWatches {
		return nil, ErrTooMany
	}
	for _, other := range all {
		if of.equal(&other.of) {
			w.pause, w.before = other.pause, other.pause.lost.Load()
			break
		}
	}
	h.open.Store(h.newOpen(append(slices.Clone(all), w)))
	return w, nil
}

// Of returns the watches that follow the subscriber of a packet and have room for a record of it,
// made at the time now. Send must follow. A watch without room counts the record as lost, and the
// record need not be made for it. The answer to a query that was lost is followed only by what it
// tells itself.
func (o *Open) Of(traits *Traits, now time.Time) (following Watches) {
	e, known := exchangeOf(traits)
	var ofQuery Watches
	if known && traits.Answer {
		ofQuery = o.hub.queries.of(e)
	}
	for _, w := range ofQuery {
		if w.reserve(now, o) {
			following = append(following, w)
		}
	}
	o.each(traits, func(g *group) {
		if !g.of.is(traits) || g.paused(now) {
			return
		}
		full := true
		for _, w := range g.watches {
			if slices.Contains(ofQuery, w) {
				full = false
				continue
			}
			if !w.reserve(now, o) {
				continue
			}
			full = false
			following = append(following, w)
			if known && !traits.Answer {
				o.hub.queries.remember(e, w)
			}
		}
		if full {
			g.begin(now)
		}
	})
	return following
}

// each calls f once for each group that may follow a packet.
func (o *Open) each(traits *Traits, f func(*group)) {
	call := func(gs []*group) {
		for _, g := range gs {
			f(g)
		}
	}
	call(o.hwAddr[string(traits.HWAddr)])
	call(o.clientID[string(traits.ClientID)])
	call(o.source[traits.Source])
	call(o.others)
	if traits.Chain == nil || len(o.interfaceID)+len(o.remoteID)+len(o.source) == 0 {
		return
	}
	for i := range traits.Chain.Relays() {
		r := traits.Chain.Relay(i)
		peer, ifc, remote := r.PeerAddress() != traits.Source, true, true
		for j := range i { // a level may have the identifiers of another
			before := traits.Chain.Relay(j)
			peer = peer && before.PeerAddress() != r.PeerAddress()
			ifc = ifc && !bytes.Equal(before.InterfaceID(), r.InterfaceID())
			remote = remote && !bytes.Equal(before.RemoteID(), r.RemoteID())
		}
		if peer {
			call(o.source[r.PeerAddress()])
		}
		if ifc {
			call(o.interfaceID[string(r.InterfaceID())])
		}
		if remote {
			call(o.remoteID[string(r.RemoteID())])
		}
	}
}
