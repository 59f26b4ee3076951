package server

import (
	"cmp"
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// read parses a datagram and finds the subnet of its query, which is then undecided. Any other fate
// is final.
func (s *Server) read(q *exchange) (fate, drop.Reason) {
	if fate, why := s.receive(q); fate != undecided {
		return fate, why
	}
	if why := s.parseFrame(q); why != drop.None {
		return dropped, why
	}
	if why := s.parseMessage(q); why != drop.None {
		return dropped, why
	}
	if fate, why := s.atPkt4Receive(q); fate != undecided {
		return fate, why
	}
	if why := s.selectSubnet(q); why != drop.None {
		return dropped, why
	}
	if fate, why := s.atSubnet4Select(q); fate != undecided {
		return fate, why
	}
	s.keepProgress(q)
	granted, shares := s.enter(q), q.chosen.Subnet.Link != nil
	if !granted && !shares { // a subnet that shares the link may grant it: see settleLink
		return dropped, s.unfit(q)
	}
	return undecided, drop.None
}

// receive checks who has sent a datagram, and answers it if it is a probe.
func (s *Server) receive(q *exchange) (fate, drop.Reason) {
	in := q.in
	q.client.kind, q.client.key, q.silence = 0, q.client.key[:0], silence.None
	var known bool
	if q.from, known = s.peers[in.Peer]; !known {
		return dropped, drop.WrongPeer
	}
	if in.Truncated {
		return dropped, drop.Truncated
	}
	if q.was != nil {
		return undecided, drop.None // it was verified before
	}
	var why drop.Reason
	if in.Data, why = s.Auth.Opener.Open(in.Data, q.from.IPC, s.received); why != drop.None {
		return dropped, why
	}
	if p, ok := ipc.ParseProbe(in.Data); ok {
		return s.probed(q, p)
	}
	return undecided, drop.None
}

// parseFrame parses the DHCPv6 side of a query. A query that was parked, or is decided again, gets
// what hooks have made of it before.
func (s *Server) parseFrame(q *exchange) drop.Reason {
	if why := q.frame.Parse(q.in.Data); why != drop.None {
		return why
	}
	q.event = event.Query{Received: s.received, DHCP6D: q.in.Peer, Frame: &q.frame, Data: q.frame.DHCPv4()}
	if s.tracing != nil {
		q.event.Notes = &q.notes
	}
	q.client.locate(&q.frame, &q.from)
	q.passed, q.octets.Changed = nothing, false
	if q.was != nil {
		s.recall(q)
	}
	return drop.None
}

// parseMessage parses the DHCPv4 message of a query.
func (s *Server) parseMessage(q *exchange) drop.Reason {
	if q.passed == nothing {
		if why := s.atBuffer4Receive(q); why != hook.Continue {
			return why
		}
		q.member.Forget()
	}
	if why := q.message.Parse(q.event.Data); why != drop.None {
		return why
	}
	q.client.kind = q.message.Type()
	if why := q.message.CheckRequest(); why != drop.None {
		return why
	}
	q.event.Message, q.reserved, q.known = &q.message, nil, false
	return drop.None
}

// atPkt4Receive runs the hooks at pkt4_receive. Only a query that is undecided goes on.
func (s *Server) atPkt4Receive(q *exchange) (fate, drop.Reason) {
	if s.set.asks {
		s.evaluate(q)
		q.event.Evaluator = &s.eval
	}
	if q.passed == nothing {
		if why := s.set.Hooks.Pkt4Receive.Run(&q.event); why != hook.Continue {
			return dropped, why
		}
	}
	return s.ask(q, &s.set.Hooks.LastAtPkt4Receive, pkt4Receive)
}

// selectSubnet finds out who asks and from where, and selects the subnet.
func (s *Server) selectSubnet(q *exchange) drop.Reason {
	if why := q.client.read(&q.message); why != drop.None {
		return why
	}
	q.client.where.Classes = q.event.Evaluator
	q.chosen = s.set.selector.Select(&q.client.where)
	if q.chosen.Subnet == nil {
		return drop.NoSubnet
	}
	if q.chosen.Trusted {
		q.client.identity.Agent = q.client.agent
	}
	q.event.Subnet = q.chosen.Subnet
	return drop.None
}

// atSubnet4Select runs the hooks at subnet4_select. Only a query that is undecided goes on.
func (s *Server) atSubnet4Select(q *exchange) (fate, drop.Reason) {
	if q.passed < subnet4Select {
		if why := s.set.Hooks.Subnet4Select.Run(&q.event); why != hook.Continue {
			return dropped, why
		}
	}
	if fate, why := s.ask(q, &s.set.Hooks.LastAtSubnet4Select, subnet4Select); fate != undecided {
		return fate, why
	}
	if a := q.event.Address; a.IsValid() && s.tracing != nil {
		q.notes.Lines = append(q.notes.Lines,
			fmt.Sprintf("hooks choose %v: the client gets that address or no answer", a))
	}
	return undecided, drop.None
}

// enter sets what depends on the subnet of a query. It returns false if hooks have chosen an
// address that the subnet does not grant.
func (s *Server) enter(q *exchange) bool {
	if s.ignoresID(q) {
		q.client.ignoreID(&q.message)
	}
	reservations := &q.chosen.Subnet.Reservations
	if reservations.Asks() {
		q.known = false
		s.evaluate(q)
	}
	q.reserved = reservations.Of(&q.client.identity, &s.eval)
	q.known = q.reserved != nil
	q.client.fill(&q.terms, q.chosen.Subnet.Position, &q.message, q.reserved)
	q.terms.Shared = s.Commits.Shared()
	if a := q.event.Address; a.IsValid() {
		if !q.chosen.Subnet.Grants(a, q.reserved) {
			return false
		}
		q.terms.Reservation, q.terms.Ordered = a, true
		q.terms.ByPoint, q.terms.ByHardware, q.terms.ByFlex = false, false, false
	}
	s.identify(q)
	return true
}

// ignoresID reports whether the hardware address alone is the client of a query.
func (s *Server) ignoresID(q *exchange) bool {
	sub := q.chosen.Subnet
	if !sub.AsksIdentity() {
		return sub.IgnoreID
	}
	q.known = false
	s.evaluate(q)
	return sub.IgnoresID(&s.eval)
}

// identify sets the server identifier that the client of a query knows: that of its subnet, or the
// address that a trusted 4o6 relay agent puts in its place to get the client's renewals (RFC 5107
// section 4).
func (s *Server) identify(q *exchange) {
	q.serverID = q.chosen.Subnet.ServerID
	for _, sub := range q.chosen.Subnet.Link {
		if q.terms.ServerID == sub.ServerID {
			q.terms.ServerID = q.serverID // each of them is ours
			break
		}
	}
	if !q.chosen.Trusted || !network.IsHost(q.client.serverID) {
		return
	}
	q.serverID = q.client.serverID
	if q.terms.ServerID == q.serverID {
		q.terms.ServerID = q.chosen.Subnet.ServerID
	}
}

// evaluate sets the query that expressions look at.
func (s *Server) evaluate(q *exchange) {
	s.eval.Begin(expression.Query{Path: &q.client.path, Message: &q.message, Local: q.frame.Context().Local,
		Known: q.known}, s.set.classes, &q.member)
}

// classify finds the classes of a query in its subnet, and sets what they say of its lease: times,
// pools and what the limit counts by. It returns whether they, or the reservation, refuse the
// client.
func (s *Server) classify(q *exchange) (refused network.Refusal) {
	s.evaluate(q)
	q.event.Evaluator = &s.eval
	s.classes = q.chosen.Subnet.AppendClasses(s.classes[:0], &s.eval)
	q.terms.Times = lease.Times{}
	for _, c := range s.classes {
		refused = max(refused, c.Refused)
		q.terms.Times = cmp.Or(c.Times, q.terms.Times)
	}
	if r := q.reserved; r != nil {
		refused = max(refused, r.Refused)
		q.terms.Times = cmp.Or(r.Times, q.terms.Times)
	}
	s.setLeaseTime(q)
	if sub := q.chosen.Subnet; sub.LimitBy != nil && sub.Limit > 0 {
		if name, ok := sub.LimitBy.Octets(&s.eval); ok && len(name) > 0 {
			q.client.countBy(&q.terms, name)
		}
	}
	if g := q.chosen.Subnet.Groups; g != nil {
		s.groups = g.AppendFor(s.groups[:0], s.classes, q.reserved, q.event.Pool)
		q.terms.Groups = s.groups
	}
	return refused
}

// refusedByPool reports whether a REQUEST is for an address of a pool that is refused.
func refusedByPool(q *exchange) network.Refusal {
	named := q.terms.Named()
	if q.message.Type() != dhcp4.Request || !named.IsValid() || named == q.terms.Reservation {
		return network.NotRefused
	}
	if pool := q.chosen.Subnet.PoolOf(named); pool >= 0 {
		return q.chosen.Subnet.Pools[pool].Refused
	}
	return network.NotRefused
}

// atBuffer4Receive has the hooks at buffer4_receive look at the octets of a query.
func (s *Server) atBuffer4Receive(q *exchange) drop.Reason {
	hooks := &s.set.Hooks.Buffer4Receive
	if hooks.Empty() {
		return drop.None
	}
	q.member.Forget()
	s.eval.Begin(expression.Query{Path: &q.client.path, Local: q.frame.Context().Local}, nil, &q.member)
	q.event.Evaluator, q.event.View, q.event.Octets = &s.eval, &q.message, &q.octets
	why := hooks.Run(&q.event)
	q.event.Evaluator, q.event.View, q.event.Octets = nil, nil, nil
	return why
}
