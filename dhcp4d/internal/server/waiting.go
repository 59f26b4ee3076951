package server

import (
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// outgoing is datagrams that are to be sent by one writer; kinds says what
// each is, zero being the answer to a probe.
type outgoing struct {
	packets []udp.Packet
	kinds   []dhcp4.MessageType
}

func (o *outgoing) reset() { o.packets, o.kinds = o.packets[:0], o.kinds[:0] }

func (o *outgoing) add(p udp.Packet, kind dhcp4.MessageType) {
	o.packets = append(o.packets, p)
	o.kinds = append(o.kinds, kind)
}

// Waiting is what leaves when a commit group is durable: ACKs, and what the
// observers are told.
type Waiting struct {
	outgoing
	buf     []byte // of the ACKs
	signed  []bool // by packet: it leaves with a signature
	events  [lease.EventCount]int
	observe bool // somebody wants changes
	changes []change
	relays  []event.Relay
	ids     []byte            // of the relays
	ifcs    map[string]string // names of interfaces of dhcp6d, each made once
	orders  []chan<- error    // of operators; each takes one error or nil
}

// change is a lease that changed; its relays are a part of Waiting.relays.
type change struct {
	event    lease.Event
	by       string // who ordered it
	binding  int    // index into the group's records
	ifc      string
	from, to int
}

// NewWaiting makes an empty list; observe says that changes are to be kept for
// observers.
func NewWaiting(observe bool) *Waiting { return &Waiting{observe: observe} }

// Len is the number of replies, those to operators included.
func (w *Waiting) Len() int { return len(w.packets) + len(w.orders) }

// Reset forgets everything and keeps the memory.
func (w *Waiting) Reset() {
	w.reset()
	w.buf, w.signed = w.buf[:0], w.signed[:0]
	w.events = [lease.EventCount]int{}
	w.changes, w.relays, w.ids = w.changes[:0], w.relays[:0], w.ids[:0]
	clear(w.orders)
	w.orders = w.orders[:0]
}

// wait adds the ACK buf[start:] and returns buf. The signature comes when it
// leaves, in the order in which the other side sees them, and finds its room
// behind the ACK.
func (w *Waiting) wait(buf []byte, start int, to netip.AddrPort, kind dhcp4.MessageType, signed bool) []byte {
	end := len(buf)
	if signed {
		buf = append(buf, room[:]...)
	}
	w.add(udp.Packet{Data: buf[start:end:len(buf)], Peer: to}, kind)
	w.signed = append(w.signed, signed)
	return buf
}

var room [ipc.SignatureLen]byte

// note remembers a change whose record is the group's i-th.
func (w *Waiting) note(f *ipc.Query, d *lease.Decision, i int) {
	w.events[d.Event]++
	if !w.observe || d.Event == lease.NoEvent {
		return
	}
	c := change{event: d.Event, binding: i, ifc: w.name(f.Context().Interface), from: len(w.relays)}
	for i := range f.Packet().Relays() {
		r := f.Packet().Relay(i)
		w.relays = append(w.relays, event.Relay{
			LinkAddress: r.LinkAddress(), PeerAddress: r.PeerAddress(),
			InterfaceID: w.keep(r.InterfaceID()), RemoteID: w.keep(r.RemoteID()),
		})
	}
	c.to = len(w.relays)
	w.changes = append(w.changes, c)
}

// maxNames bounds the names of interfaces that are kept.
const maxNames = 1024

// name is the name of an interface as a string, mostly one that was made before.
func (w *Waiting) name(b []byte) string {
	if s, ok := w.ifcs[string(b)]; ok {
		return s
	}
	if w.ifcs == nil || len(w.ifcs) >= maxNames {
		w.ifcs = make(map[string]string)
	}
	s := string(b)
	w.ifcs[s] = s
	return s
}

// order remembers a change that an operator has ordered, whose record is the
// group's i-th.
func (w *Waiting) order(e lease.Event, i int, by string) {
	w.events[e]++
	if w.observe {
		w.changes = append(w.changes, change{event: e, binding: i, by: by})
	}
}

// keep copies b; where ids moves to a larger array, earlier copies stay in the
// old one.
func (w *Waiting) keep(b []byte) []byte {
	if b == nil {
		return nil
	}
	n := len(w.ids)
	w.ids = append(w.ids, b...)
	return w.ids[n:len(w.ids):len(w.ids)]
}

// Committed sends what waited for a group. It belongs to whoever commits, one at
// a time.
type Committed struct {
	Replies udp.Writer
	Name    string // ours, as a backend
	Signer  *ipc.Signer
	Ledger  *Ledger
	Tell    *Tell
}

// Done is what the committer calls with every group, durable or failed.
func (c *Committed) Done(g *commit.Group[*Waiting], err error) {
	w := g.Replies
	defer func() {
		for _, o := range w.orders {
			o <- err
		}
	}()
	if err != nil {
		c.Ledger.failed(len(w.packets))
		return
	}
	now := time.Now()
	for i := range w.packets {
		if w.signed[i] {
			w.packets[i].Data = c.Signer.Append(w.packets[i].Data, 0, c.Name, now)
		}
	}
	c.Replies.Write(w.packets)
	c.Ledger.sent(&w.outgoing)
	c.Tell.committed(g.Records.Records, w)
}

// answerOf is the message type of an answer.
func answerOf(k lease.Kind) dhcp4.MessageType {
	switch k {
	case lease.Offer:
		return dhcp4.Offer
	case lease.Nak:
		return dhcp4.NAK
	}
	return dhcp4.ACK
}
