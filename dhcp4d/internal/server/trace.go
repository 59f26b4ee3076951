package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// seen is memory for a second parsing, of queries that somebody may follow.
type seen struct {
	traits  trace.Traits
	frame   ipc.Query
	message dhcp4.Message
}

// traced is the record of a query whose answer has not left yet. It is complete when the answer has
// left, or when it is clear that it will not leave. A nil traced is that of a client whom nobody
// follows: it does nothing.
type traced struct {
	to     trace.Watches
	record *trace.Record
	local  netip.AddrPort // of our socket
}

// durable adds to the record why an answer that has waited may leave.
func (t *traced) durable(kind dhcp4.MessageType) {
	switch {
	case t == nil:
	case kind == dhcp4.NAK:
		t.record.Say("no other dhcp4d has changed the lease meanwhile")
	default:
		t.record.Say("committed: the lease is on stable storage")
	}
}

// withheld adds to the record that the query is decided again, and publishes the record.
func (t *traced) withheld() {
	if t != nil {
		t.record.Say("not sent: another dhcp4d has changed the lease meanwhile; the query is decided again")
		t.publish()
	}
}

// dropped adds to the record why there is no answer, and publishes the record. Err says more about
// the reason; nil: there is no more to say.
func (t *traced) dropped(why drop.Reason, err error) {
	if t == nil {
		return
	}
	more := ""
	if err != nil {
		more = ": " + err.Error()
	}
	t.record.Say("dropped (%s): %s%s", why.Label(), why.Meaning(), more)
	t.publish()
}

// sent adds to the record what became of the answer, and publishes the record.
func (t *traced) sent(p *udp.Packet) {
	if t == nil {
		return
	}
	if p.Err != nil {
		t.record.Say("dropped (send_error): the kernel refused to send to %v: %v", p.Peer, p.Err)
	} else {
		t.record.Say("sent to dhcp6d at %v", p.Peer)
		t.record.Out = trace.NewDatagram(time.Now(), trace.IPC, "", false, trace.End(p.Local, t.local), p.Peer, p.Data)
	}
	t.publish()
}

// publish sends the record to those who follow the client.
func (t *traced) publish() { t.to.Send(t.record) }

// forget clears q, so that nothing of an earlier query gets into the record of this one.
func (q *exchange) forget() {
	q.event, q.decided, q.reserved, q.raw = event.Query{}, lease.Decision{}, nil, q.in.Data
	q.notes.Lines = q.notes.Lines[:0]
}

// follow makes the record of a query, if somebody follows its subscriber. It is called only while
// there are watches. It parses the query again, because a query that was dropped early was not
// parsed as a whole.
func (s *Server) follow(q *exchange, f fate, why drop.Reason) {
	if f == probe {
		return
	}
	traits, frame, message := &s.seen.traits, &s.seen.frame, &s.seen.message
	if frame.Parse(ipc.Content(q.raw)) != drop.None {
		return // it names no subscriber
	}
	*traits = trace.Traits{Source: frame.Context().Source.Addr(), Chain: frame.Packet()}
	broken := message.Parse(frame.DHCPv4())
	if broken == drop.None {
		traits.Read(message)
	}
	to := s.tracing.Of(traits, s.received)
	if len(to) == 0 {
		return
	}
	t := &traced{to: to, local: s.Local, record: &trace.Record{
		Time: s.received, Daemon: "dhcp4d", Message: trace.Octets(frame.DHCPv4()),
		In: trace.NewDatagram(s.received, trace.IPC, "", true, trace.End(q.in.Local, s.Local), q.in.Peer, q.raw),
	}}
	s.tellOf(t.record, q, frame, broken == drop.None, message)
	for _, note := range q.notes.Lines {
		t.record.Say("%s", note)
	}
	switch f {
	case dropped:
		s.tellWhoRefuses(t.record, q, why)
		t.dropped(why, nil)
	case answered: // the record is published when the answer has left
		t.record.Reply = trace.Octets(q.event.Data)
		s.ready.last().trace = t
	case waiting: // likewise
		t.record.Reply = trace.Octets(q.event.Data)
		s.group.Replies.last().trace = t
	case silent:
		t.record.Say("no answer (%s): %s", q.silence.Label(), q.silence.Meaning())
		t.publish()
	default:
		t.publish()
	}
}

// tellWhoRefuses adds to the record which classes, or which hook, have dropped a query.
func (s *Server) tellWhoRefuses(r *trace.Record, q *exchange, why drop.Reason) {
	if why == drop.ClassRefused {
		for _, c := range s.classes {
			if c.Refused != network.NotRefused {
				r.Say("class %s refuses its clients", c.Name)
			}
		}
	}
	if q.event.Hook != "" {
		r.Say("%v does not let it pass", q.event.Culprit)
	}
}

// tellOf adds to the record the steps of a query up to the decision.
func (s *Server) tellOf(r *trace.Record, q *exchange, frame *ipc.Query, readable bool, m *dhcp4.Message) {
	back := frame.Context()
	r.Say("received from dhcp6d at %v, %d octets; it came to that by %s from %v through %d relays",
		q.in.Peer, len(q.raw), octets.Show(back.Interface), back.Source, frame.Packet().Relays())
	if !readable {
		r.Say("the DHCPv4 message in it cannot be read")
		return
	}
	r.Exchange = trace.Exchange(m)
	r.Say("%s", trace.Describe(m))
	switch {
	case q.event.Subnet != nil:
		r.Say("subnet %d, %v, by %s (%v)", q.event.Subnet.ID, q.event.Subnet.Prefix, q.chosen.Step,
			&q.client.where)
		if q.event.Subnet.Link != nil {
			r.Say("it shares the network %s with %d others, and suits the query best", q.event.Subnet.Network,
				len(q.event.Subnet.Link)-1)
		}
		if q.reserved != nil && q.reserved.Addr.IsValid() {
			r.Say("%v is reserved for it", q.reserved.Addr)
		}
	case q.event.Message != nil && q.chosen.Subnet == nil:
		r.Say("no match entry of DHCP4D_SUBNETS claims it (%v); dhcp4d explain tells step by step",
			&q.client.where)
	}
	if q.event.Subnet != nil && (q.decided.Kind == lease.Nak || q.decided.Kind == lease.Dropped) {
		s.tellOfAddress(r, q, m)
	}
	if text := inWords(&q.decided); text != "" {
		r.Say("decision: %s", text)
	}
}

// tellOfAddress adds to the record why a client cannot have the address that it asks for.
func (s *Server) tellOfAddress(r *trace.Record, q *exchange, m *dhcp4.Message) {
	address := m.CIAddr()
	if address.IsUnspecified() {
		var ok bool
		if address, ok = m.Addr(dhcp4.OptRequestedAddress); !ok {
			return
		}
	}
	subnet := q.event.Subnet
	if !subnet.Prefix.Contains(address) {
		r.Say("%v is not in %v", address, subnet.Prefix)
	}
	if of := subnet.Reservations.At(address); of != nil && of != q.reserved {
		r.Say("%v is reserved for another client", address)
	}
	b, ok := s.Book.Standing(address)
	if !ok {
		return
	}
	whose := "another client"
	if bytes.Equal(b.Client, q.terms.Client) {
		whose = "this client"
	}
	until := time.Unix(int64(b.Expires), 0).Format(time.RFC3339)
	switch {
	case b.State == lease.Declined:
		r.Say("%v is in quarantine until %s, because a client met it in use", address, until)
	case b.State == lease.Bound && b.Expires == lease.Never:
		r.Say("%v is bound to %s for ever", address, whose)
	case b.State == lease.Bound, b.State == lease.Offered:
		r.Say("%v is %v to %s until %s", address, b.State, whose, until)
	default:
		r.Say("%v was last %s's and is %v", address, whose, b.State)
	}
}

// inWords returns a decision as text. It is empty for silence and drops: their fate is in the
// record.
func inWords(d *lease.Decision) string {
	lasting := fmt.Sprint(time.Duration(d.Time) * time.Second)
	if d.Time == lease.Infinite {
		lasting = "ever"
	}
	switch d.Kind {
	case lease.Offer:
		if d.Addr.IsUnspecified() {
			return "OFFER without an address, as the client can do without IPv4 (option 108)"
		}
		return fmt.Sprintf("OFFER of %v for %s, held in memory", d.Addr, lasting)
	case lease.Ack:
		if d.Change == lease.None {
			return fmt.Sprintf("ACK of %v for %s; the lease is as it was", d.Addr, lasting)
		}
		return fmt.Sprintf("ACK of %v for %s; the lease is %s", d.Addr, lasting, d.Event)
	case lease.Nak:
		return "NAK: " + d.Why.String()
	case lease.Inform:
		return "ACK with options and no lease, for an INFORM"
	}
	return ""
}
