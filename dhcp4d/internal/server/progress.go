package server

import (
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
)

// keptQuery is the copy of a query that will enter a later batch: it is parked, or is to be decided
// again.
type keptQuery = parking.Query[progress]

// passed are the hook points that a query has passed, up to one where it was parked.
type passed uint8

const (
	nothing passed = iota
	pkt4Receive
	subnet4Select
	entered // all points before the decision
)

// progress says which hooks a query has passed, and what they have made of it.
type progress struct {
	set    *Settings // whose hooks it has passed; nil: none
	passed passed
	again  uint8 // how often the query was decided again, this time included; 0: it was parked
	member expression.Membership
	octets []byte // of the message, if hooks at buffer4_receive have changed it

	address   netip.Addr
	pool      string
	leaseTime uint32

	verdict *event.Verdict // the answer to its question; for a query that has entered, what its hooks said
	spare   event.Verdict  // memory
}

// copy makes p a copy of from that shares no memory with it.
func (p *progress) copy(from *progress) {
	if p.set, p.passed, p.again = from.set, from.passed, from.again; p.set == nil {
		return // the rest does not count
	}
	p.member.Copy(&from.member)
	p.octets = append(p.octets[:0], from.octets...)
	p.address, p.pool, p.leaseTime = from.address, from.pool, from.leaseTime
	if p.verdict = nil; from.verdict != nil {
		p.spare = *from.verdict
		p.spare.Classes = nil // the query was put into them
		p.verdict = &p.spare
	}
}

// keep notes what hooks have made of a query that has passed those at a point.
func (p *progress) keep(q *exchange, set *Settings, at passed) {
	p.set, p.passed = set, at
	if p.octets = p.octets[:0]; q.octets.Changed {
		p.octets = append(p.octets, q.event.Data...)
	}
	p.member.Copy(&q.member)
	p.address, p.pool, p.leaseTime = q.event.Address, q.event.Pool, q.event.LeaseTime
}

// keepProgress notes what hooks have made of a query, if the query may have to be decided again.
func (s *Server) keepProgress(q *exchange) {
	q.progress.set, q.progress.again = nil, 1
	if q.was != nil {
		q.progress.again += q.was.More.again
	}
	if s.Commits.Shared() && s.set.Hooks.Receiving() {
		q.progress.keep(q, s.set, entered)
		q.progress.verdict = q.event.Verdict
	}
}

// recall gives a query that was parked, or is decided again, the progress that it had. If the
// configuration has changed since, the query passes all hooks again.
func (s *Server) recall(q *exchange) {
	was := q.was
	if was.More.set == s.set {
		q.passed = was.More.passed
		q.member.Copy(&was.More.member)
		q.event.Address, q.event.Pool, q.event.LeaseTime = was.More.address, was.More.pool, was.More.leaseTime
		if len(was.More.octets) > 0 {
			q.octets.Changed, q.event.Data = true, was.More.octets
		}
		if was.More.again > 0 {
			q.event.Verdict = was.More.verdict
		} else {
			q.event.Outcome, q.event.Told = was.Outcome, was.More.verdict
		}
	}
	if was.More.again > 0 {
		if s.tracing != nil {
			q.notes.Lines = append(q.notes.Lines, "decided again, by what another dhcp4d has changed")
		}
		return
	}
	waited := s.questions.now - was.Since
	if s.questions.asker != nil {
		s.questions.asker.Metrics.Left(waited)
	}
	if s.tracing != nil {
		q.notes.Lines = append(q.notes.Lines,
			"parked for "+waited.Round(time.Microsecond).String()+" at "+pointOf[was.More.passed]+
				", for the verdict of the program outside: "+outcomes[was.Outcome])
		s.noteAway(q)
	}
}

var pointOf = [...]string{pkt4Receive: string(event.Pkt4Receive), subnet4Select: string(event.Subnet4Select)}

var outcomes = [...]string{
	parking.NoOutcome: "it waited for another query of its client",
	parking.Answered:  "answered",
	parking.Late:      "no verdict",
	parking.Refused:   "the answer was not taken",
}
