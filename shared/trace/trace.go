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
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
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

// Subscriber is the subscriber that a watch follows. A packet must match all fields that are set.
type Subscriber struct {
	HWAddr      []byte       // of the DHCPv4 message
	ClientID    []byte       // option 61
	Source      netip.Prefix // has the IPv6 address of the client, or of a relay on the way
	InterfaceID []byte       // of any relay on the way
	RemoteID    []byte       // the same, with the enterprise number
}

// IsZero reports whether nothing is set.
func (s *Subscriber) IsZero() bool {
	return s.HWAddr == nil && s.ClientID == nil && !s.Source.IsValid() && s.InterfaceID == nil && s.RemoteID == nil
}

// equal reports whether two subscribers are written alike.
func (s *Subscriber) equal(o *Subscriber) bool {
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	return s.Source == o.Source && same(s.HWAddr, o.HWAddr) && same(s.ClientID, o.ClientID) &&
		same(s.InterfaceID, o.InterfaceID) && same(s.RemoteID, o.RemoteID)
}

// Traits are what a packet says about its subscriber. Nil and invalid values are not known.
type Traits struct {
	HWAddr, ClientID []byte
	Source           netip.Addr    // of the datagram that reached dhcp6d
	Chain            *dhcp6.Packet // nil: not known
	// Answer means that the packet is an answer, which says less than its query. It belongs to the
	// subscriber if its query did. The query has the same Xid and hardware address.
	Answer bool
	Xid    uint32
}

// Read sets the fields that a DHCPv4 message has values for.
func (w *Traits) Read(m *dhcp4.Message) {
	w.HWAddr, w.Xid = m.CHAddr(), uint32(m.Xid())
	w.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
}

// is reports whether a packet belongs to the subscriber.
func (s *Subscriber) is(w *Traits) bool {
	if (s.HWAddr != nil && !bytes.Equal(s.HWAddr, w.HWAddr)) ||
		(s.ClientID != nil && !bytes.Equal(s.ClientID, w.ClientID)) {
		return false
	}
	source := !s.Source.IsValid() || s.Source.Contains(w.Source)
	interfaceID, remoteID := s.InterfaceID == nil, s.RemoteID == nil
	if w.Chain != nil {
		for i := range w.Chain.Relays() {
			r := w.Chain.Relay(i)
			source = source || s.Source.Contains(r.PeerAddress())
			interfaceID = interfaceID || bytes.Equal(s.InterfaceID, r.InterfaceID())
			remoteID = remoteID || bytes.Equal(s.RemoteID, r.RemoteID())
		}
	}
	return source && interfaceID && remoteID
}

// Record is what became of one packet of a subscriber.
type Record struct {
	Time   time.Time `json:"time"`
	Daemon string    `json:"daemon"`
	// Exchange is the transaction id and the client of the DHCPv4 message: the same in both
	// daemons.
	Exchange string `json:"exchange"`
	// Steps are the packet's way in plain words. The last one is what became of it.
	Steps []string `json:"steps"`
	// In is the datagram that came in, Out the one that was sent because of it.
	In  *Datagram `json:"in,omitempty"`
	Out *Datagram `json:"out,omitempty"`
	// Message and Reply are the DHCPv4 messages in a query and in an answer, cut at MaxOctets. Each
	// is empty if there is none.
	Message []byte `json:"message,omitempty"`
	Reply   []byte `json:"reply,omitempty"`
	// Lost is how many records before this one were lost.
	Lost int `json:"lost,omitempty"`
}

// Say adds a step.
func (r *Record) Say(format string, args ...any) {
	r.Steps = append(r.Steps, fmt.Sprintf(format, args...))
}

// The sockets of a [Datagram].
const (
	Link = "link" // of dhcp6d, to clients and relays
	IPC  = "ipc"  // between the daemons
)

// Datagram is a UDP datagram in a record.
type Datagram struct {
	Time   time.Time `json:"time"`
	Socket string    `json:"socket"`
	// Interface is that of the link, empty if the routes chose it.
	Interface string `json:"interface,omitempty"`
	// From and To are its source and destination. The address of From is unspecified if the kernel
	// chose it.
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
	// Length is its payload in octets, and Data the payload, cut at MaxOctets.
	Length int    `json:"length"`
	Data   []byte `json:"data"`
}

// NewDatagram makes a datagram with a copy of its payload. local and peer are its ends; in says
// that it was received.
func NewDatagram(at time.Time, socket, ifc string, in bool, local, peer netip.AddrPort, payload []byte) *Datagram {
	d := &Datagram{
		Time: at, Socket: socket, Interface: ifc, From: local, To: peer, Length: len(payload), Data: Octets(payload),
	}
	if in {
		d.From, d.To = peer, local
	}
	return d
}

// End returns our end of a datagram on a socket: with its own address, if that is known.
func End(a netip.Addr, bound netip.AddrPort) netip.AddrPort {
	if a.IsValid() {
		return netip.AddrPortFrom(a, bound.Port())
	}
	return bound
}

// Exchange returns the name of a DHCPv4 message's exchange, which is the same in both daemons: the
// transaction id and the client.
func Exchange(m *dhcp4.Message) string {
	if id, _ := m.Option(dhcp4.OptClientIdentifier); len(id) > 0 {
		return fmt.Sprintf("xid %#08x, client %x", uint32(m.Xid()), id)
	}
	return fmt.Sprintf("xid %#08x, hardware %x", uint32(m.Xid()), m.CHAddr())
}

// Describe returns a DHCPv4 message in a line of words.
func Describe(m *dhcp4.Message) string {
	var text strings.Builder
	id, _ := m.Option(dhcp4.OptClientIdentifier)
	fmt.Fprintf(&text, "%s, xid %#08x, hardware %s, client identifier %s",
		strings.ToUpper(m.Type().String()), uint32(m.Xid()), orNone(m.CHAddr()), orNone(id))
	say := func(name string, a netip.Addr, ok bool) {
		if ok && !a.IsUnspecified() {
			fmt.Fprintf(&text, ", %s %v", name, a)
		}
	}
	option := func(name string, code byte) {
		a, ok := m.Addr(code)
		say(name, a, ok)
	}
	say("ciaddr", m.CIAddr(), true)
	say("yiaddr", m.YIAddr(), true)
	option("requested address", dhcp4.OptRequestedAddress)
	option("server identifier", dhcp4.OptServerIdentifier)
	if why, ok := m.Option(dhcp4.OptMessage); ok {
		fmt.Fprintf(&text, ", message %.80q", why)
	}
	return text.String()
}

func orNone(b []byte) string {
	if len(b) == 0 {
		return "none"
	}
	return hex.EncodeToString(b)
}

// Octets returns a copy of a datagram for a record.
func Octets(b []byte) []byte { return bytes.Clone(b[:min(len(b), MaxOctets)]) }

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

// pauseFor is how long the watches of a subscriber are left alone after none of them had room. So a
// hundred that nobody reads cost packets no more than one.
const pauseFor = 20 * time.Millisecond

// pause is what the watches of one subscriber share.
type pause struct {
	began atomic.Int64 // nanoseconds of Unix time
	lost  atomic.Int64 // records in pauses
}

// begin begins a pause.
func (p *pause) begin(now time.Time) { p.began.Store(now.UnixNano()) }

// paused reports whether there is a pause. It counts the record.
func (p *pause) paused(now time.Time) bool {
	if d := now.UnixNano() - p.began.Load(); d < 0 || d >= int64(pauseFor) {
		return false
	}
	p.lost.Add(1)
	return true
}

// Send hands a record to the watches. It never waits. The record must not be changed afterwards.
func (ws Watches) Send(r *Record) {
	for _, w := range ws {
		w.send(r)
	}
}

// exchanges remember who follows the last queries, so that their answers are followed.
type exchanges struct {
	mu      sync.Mutex
	watches map[exchange]Watches // the slices never change
}

// exchange identifies a query and its answer.
type exchange struct {
	xid    uint32
	chaddr [16]byte
}

// exchangeOf is false if a packet does not tell its exchange.
func exchangeOf(traits *Traits) (e exchange, known bool) {
	e.xid = traits.Xid
	copy(e.chaddr[:], traits.HWAddr)
	return e, traits.HWAddr != nil
}

// of returns the watches that follow an exchange.
func (x *exchanges) of(e exchange) Watches {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.watches[e]
}

// remember notes that a watch follows an exchange, instead of the oldest one of that watch.
func (x *exchanges) remember(e exchange, w *Watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.watches[e]
	if w.closed || slices.Contains(now, w) {
		return
	}
	if x.watches == nil {
		x.watches = make(map[exchange]Watches)
	}
	x.watches[e] = append(slices.Clip(now), w)
	if len(w.queries) < remembered {
		w.queries = append(w.queries, e)
		return
	}
	x.forget(w.queries[w.next], w)
	w.queries[w.next] = e
	w.next = (w.next + 1) % remembered
}

// forget makes an answer no longer that of a watch. The lock is held.
func (x *exchanges) forget(e exchange, w *Watch) {
	left := slices.DeleteFunc(slices.Clone(x.watches[e]), func(o *Watch) bool { return o == w })
	if len(left) == 0 {
		delete(x.watches, e)
		return
	}
	x.watches[e] = left
}

// end forgets all that a watch follows.
func (x *exchanges) end(w *Watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w.closed = true
	for _, e := range w.queries {
		x.forget(e, w)
	}
	if len(x.watches) == 0 {
		x.watches = nil // a map keeps its size
	}
}

// pace counts the records of a second.
type pace struct {
	mu     sync.Mutex
	second int64 // of Unix time
	sent   int
}

// take reports whether the second has room for one more record.
func (p *pace) take(now time.Time, limit int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := now.Unix(); s != p.second {
		p.second, p.sent = s, 0
	}
	if p.sent >= limit {
		return false
	}
	p.sent++
	return true
}

// Watch is an open watch.
type Watch struct {
	of      Subscriber
	hub     *Hub
	all     bool // there is no bound but the queue: whoever reads paces the packets
	records chan *Record

	// Under the lock of the exchanges.
	queries []exchange // the last queries; their answers are followed
	next    int        // of queries
	closed  bool

	mu     sync.Mutex
	second int64 // of Unix time, in which sent records were made
	sent   int
	making int // records for which a place is kept
	lost   int // apart from pauses

	pause  *pause
	before int64 // what it had lost at the last record
}

// remembered is how many exchanges a watch remembers, to recognise their answers.
const remembered = 64

// reserve reports whether there is room for a record, and takes it. What the watches share of the
// rate is used when the watch has used its own.
func (w *Watch) reserve(now time.Time, o *Open) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all {
		w.making++
		return true
	}
	if s := now.Unix(); s != w.second {
		w.second, w.sent = s, 0
	}
	if w.sent >= rate || len(w.records)+w.making >= o.queue || (w.sent >= o.rate && !w.hub.shared.take(now, allRate)) {
		w.lost++
		return false
	}
	w.sent++
	w.making++
	return true
}

// Records returns the channel of the records. It is never closed.
func (w *Watch) Records() <-chan *Record { return w.records }

// Close ends the watch.
func (w *Watch) Close() {
	w.hub.mu.Lock()
	defer w.hub.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(w.hub.open.Load().all), func(o *Watch) bool { return o == w })
	w.hub.open.Store(w.hub.newOpen(left))
	w.hub.queries.end(w)
}

// send hands over a record for which there is room.
func (w *Watch) send(r *Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.making--
	paused := w.pause.lost.Load()
	if lost := w.lost + int(paused-w.before); lost > 0 {
		own := *r
		own.Lost, w.lost, w.before = lost, 0, paused
		r = &own
	}
	w.records <- r // never waits: reserve kept a place
}
