// Package trace lets people follow the packets of one subscriber through a running daemon.
//
// A [Hub] holds the watches that are open. While there is none, a packet loop reads one atomic
// pointer per batch and does nothing else. While there is one, the loop calls [Watches.Of] for each
// packet. Only for a packet of a subscriber that a watch follows, it makes a [Record] with copies
// of the packet's bytes.
//
// A packet never waits for a watch: a record that its reader does not take in time is lost, and the
// next one has the number of lost records. Watches, their rate, their queue and their records are
// bounded.
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
	MaxWatches = 4    // at one time
	rate       = 50   // records per second and watch
	queue      = 100  // records that a watch may have unread
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

// Who is what a packet says about its subscriber. Nil and invalid values are not known.
type Who struct {
	HWAddr, ClientID []byte
	Source           netip.Addr    // of the datagram that reached dhcp6d
	Chain            *dhcp6.Packet // nil: not known
	// Answer means that the packet is an answer, which says less than its query. It belongs to the
	// subscriber if its query did. The query has the same Xid and hardware address.
	Answer bool
	Xid    uint32
}

// Read sets the fields that a DHCPv4 message has values for.
func (w *Who) Read(m *dhcp4.Message) {
	w.HWAddr, w.Xid = m.CHAddr(), uint32(m.Xid())
	w.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
}

// is reports whether a packet belongs to the subscriber.
func (s *Subscriber) is(w *Who) bool {
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
	mu      sync.Mutex
	watches atomic.Pointer[Watches]
}

// Watches are those that are open. They never change.
type Watches []*Watch

// On returns the watches, nil if there is none or no hub.
func (h *Hub) On() *Watches {
	if h == nil {
		return nil
	}
	return h.watches.Load()
}

// All opens a watch of every packet that tells of a subscriber, for a program that hands the
// packets over one by one: there is no bound of the rate. Close must follow.
func (h *Hub) All() *Watch {
	w := &Watch{hub: h, all: true, records: make(chan *Record, queue)}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watches.Store(&Watches{w})
	return w
}

// Watch opens a watch. Close must follow.
func (h *Hub) Watch(of Subscriber) (*Watch, error) {
	w := &Watch{of: of, hub: h, records: make(chan *Record, queue)}
	h.mu.Lock()
	defer h.mu.Unlock()
	var open Watches
	if now := h.watches.Load(); now != nil {
		open = *now
	}
	if len(open) == MaxWatches {
		return nil, ErrTooMany
	}
	open = append(slices.Clone(open), w)
	h.watches.Store(&open)
	return w, nil
}

// Of returns the watches that follow the subscriber of a packet and have room for a record of it,
// made at the time now. Send must follow. A watch without room counts the record as lost, and the
// record need not be made for it.
func (ws *Watches) Of(who *Who, now time.Time) (following Watches) {
	for _, w := range *ws {
		if w.follows(who, now) {
			following = append(following, w)
		}
	}
	return following
}

// Send hands a record to the watches. It never waits. The record must not be changed afterwards.
func (ws Watches) Send(r *Record) {
	for _, w := range ws {
		w.send(r)
	}
}

// Watch is an open watch.
type Watch struct {
	of      Subscriber
	hub     *Hub
	all     bool // there is no bound but the queue: whoever reads paces the packets
	records chan *Record

	mu     sync.Mutex
	second int64 // of Unix time, in which sent records were made
	sent   int
	making int // records for which a place is kept
	lost   int
	asked  [remembered]exchange // the last queries; their answers are followed
	next   int                  // of asked
}

// remembered is how many exchanges a watch remembers, to recognise their answers.
const remembered = 64

// exchange identifies a query and its answer.
type exchange struct {
	xid    uint32
	chaddr [16]byte
	set    bool
}

// follows reports whether a packet belongs to the watch's subscriber. If it is a query, it
// remembers it.
func (w *Watch) follows(who *Who, now time.Time) bool {
	e := exchange{xid: who.Xid, set: true}
	copy(e.chaddr[:], who.HWAddr)
	known := who.HWAddr != nil
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := known && slices.Contains(w.asked[:], e)
	if !w.of.is(who) && (!who.Answer || !asked) {
		return false
	}
	if known && !asked && !who.Answer {
		w.asked[w.next] = e
		w.next = (w.next + 1) % remembered
	}
	return w.reserveLocked(now)
}

// reserveLocked reports whether there is room for a record, and takes it.
func (w *Watch) reserveLocked(now time.Time) bool {
	if w.all {
		w.making++
		return true
	}
	if s := now.Unix(); s != w.second {
		w.second, w.sent = s, 0
	}
	if w.sent == rate || len(w.records)+w.making == queue {
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
	open := slices.DeleteFunc(slices.Clone(*w.hub.watches.Load()), func(o *Watch) bool { return o == w })
	if len(open) == 0 {
		w.hub.watches.Store(nil)
		return
	}
	w.hub.watches.Store(&open)
}

// send hands over a record for which there is room.
func (w *Watch) send(r *Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.making--
	if w.lost > 0 {
		own := *r
		own.Lost, w.lost = w.lost, 0
		r = &own
	}
	w.records <- r // never waits: reserveLocked kept a place
}
