package server

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// serve decides about a query and builds the reply.
func (s *Server) serve(q *exchange) (fate, drop.Reason) {
	if s.group == nil {
		return dropped, drop.StoreError
	}
	if q.chosen.Subnet.Link != nil && !s.settleLink(q) {
		return dropped, s.unfit(q)
	}
	if v := q.event.Verdict; v != nil && !s.heed(q, v) {
		return dropped, drop.HookVerdict
	}
	if why := s.conclude(q); why != drop.None {
		return dropped, why
	}
	d := &q.decided
	if d.Kind == lease.Silent {
		q.silence = d.Silence
		return silent, drop.None
	}
	// An ACK waits until its lease is durable. A NAK of a shared store waits too, because another
	// dhcp4d may have changed what it rests on.
	early := d.Kind == lease.Ack && (d.Change != lease.None || d.After > s.Commits.Durable())
	if early || (d.Kind == lease.Nak && s.Commits.Shared()) {
		return s.wait(q)
	}
	start := len(s.buf)
	out, why := s.build(q, s.buf)
	if why != drop.None {
		return dropped, why
	}
	s.buf = s.sign(q, out, start)
	s.ready.add(s.buf[start:], wayBack(q.in), answerOf(d.Kind), nil)
	return answered, drop.None
}

// wait builds the reply into the commit group, which sends it when the group is durable. With a
// shared store, the group also keeps the query, which may have to be decided again.
func (s *Server) wait(q *exchange) (fate, drop.Reason) {
	replies := s.group.Replies
	if q.decided.Kind == lease.Nak {
		if s.Commits.Full(s.group) {
			return dropped, drop.QueueFull
		}
		replies.unsure = true
		q.basis = basis{kind: knowledge, id: lease.ID{Addr: q.terms.Named()}, client: replies.keepClient(q.terms.Client),
			knows: s.Commits.Durable()}
	}
	start := len(replies.buf)
	out, why := s.build(q, replies.buf)
	if why != drop.None {
		return dropped, why
	}
	replies.buf = replies.add(out, start, wayBack(q.in), answerOf(q.decided.Kind), q.from.IPC, q.basis)
	if s.Commits.Shared() && q.progress.again <= mostTimes {
		replies.last().query = replies.keepQuery(q)
	}
	return waiting, drop.None
}

// conclude decides about a query. Its classes and its pool may refuse the client. Otherwise the
// rules and the leases decide.
func (s *Server) conclude(q *exchange) drop.Reason {
	refused := s.classify(q)
	if q.chosen.Subnet.Refuses && refused == network.NotRefused {
		refused = refusedByPool(q)
	}
	nak := refused == network.RefusedNak && q.message.Type() == dhcp4.Request
	if refused != network.NotRefused && !nak {
		return drop.ClassRefused
	}
	s.options = s.optionsFor(q, -1)
	wait, ok := s.options.Lookup(dhcp4.OptIPv6OnlyPreferred)
	s.v6OnlyWait, q.terms.V6Only = wait, q.terms.V6Only && ok
	d := &q.decided
	if nak {
		*d = lease.Decision{Kind: lease.Nak, Why: lease.Refused}
		return drop.None
	}
	s.decide(q)
	if d.TakenOver {
		s.logTakenOver(q, d)
	}
	if d.Kind != lease.Dropped {
		return drop.None
	}
	if d.Drop == drop.Hook && s.isOrdered(q) {
		s.wrong(outside.AddressTaken)
		return drop.HookVerdict
	}
	return d.Drop
}

// build appends the response to a query to buf, without its signature. Hooks at pkt4_send and
// buffer4_send see it.
func (s *Server) build(q *exchange, buf []byte) ([]byte, drop.Reason) {
	out, mark := ipc.BeginResponse(buf, &q.frame)
	message := len(out)
	answer := s.reply(q, &q.decided, s.v6OnlyWait, mark.Around)
	out, why := reply.Append(out, &q.message, answer)
	if why != drop.None {
		return out, why
	}
	end := len(out)
	if out, why = mark.End(out); why != drop.None {
		return out, why
	}
	q.event.Data, q.event.Address = out[message:end], q.decided.Addr
	if !s.set.Hooks.Pkt4Send.Empty() {
		if out, why = s.atPkt4Send(q, answer, &mark, out, message); why != drop.None {
			return out, why
		}
	}
	if !answer.LeftOut.Empty() {
		s.leftOut(q, &answer.LeftOut)
	}
	if !s.set.Hooks.Buffer4Send.Empty() {
		return s.atBuffer4Send(q, answer, &mark, out, message)
	}
	return out, drop.None
}

// decide decides about a query, carries the decision out in memory, and adds its record to the
// commit group. If there are hooks, they first see a proposal, without a lock. The table may change
// meanwhile, so the decision is then made anew. decide sets the record that an ACK rests on.
func (s *Server) decide(q *exchange) {
	var wanted netip.Addr
	if s.set.Hooks.Deciding() {
		s.proposed = s.Book.Propose(&q.terms, s.now)
		var why drop.Reason
		if wanted, why = s.askHooks(q, &s.proposed); why != hook.Continue {
			q.decided = lease.Decision{Kind: lease.Dropped, Drop: why}
			return
		}
		s.setLeaseTime(q)
	}
	records := &s.group.Records
	before := len(records.Records)
	d := &q.decided
	*d = s.Book.Decide(&q.terms, wanted, s.now,
		leases.Group{Records: records, Seq: s.group.Seq, Full: s.Commits.Full(s.group)})
	q.basis = basis{kind: olderRecord, id: d.ID}
	switch last := len(records.Records) - 1; {
	case last >= before: // the lease is the last record; before it are those that the client loses for it
		q.basis.kind, q.basis.record = ownRecord, last
		s.group.Replies.changes.ByQuery(d.Event, last, &q.frame, s.set.Leases.Observed())
	case d.After == s.group.Seq:
		q.basis.kind = sharedRecord
	}
}

// setLeaseTime puts the lease time that hooks have set into the terms.
func (s *Server) setLeaseTime(q *exchange) {
	if t := q.event.LeaseTime; t > 0 {
		q.terms.Times = lease.Times{Default: t, Min: t, Max: t}
	}
}

// logTakenOver logs that a reserved address goes to another client of the same hardware address or
// attachment point, at most once a second.
func (s *Server) logTakenOver(q *exchange, d *lease.Decision) {
	if s.received.Sub(s.tookOver) < time.Second {
		return
	}
	s.tookOver = s.received
	s.Log.Info("a reserved address goes to another client identifier", "address", d.Addr,
		"client", hex.EncodeToString(q.terms.Client), "hardware", hex.EncodeToString(q.terms.HWAddr))
}

// askHooks runs the hooks that see a proposal. Wanted is valid if they want another address.
func (s *Server) askHooks(q *exchange, d *lease.Decision) (wanted netip.Addr, why drop.Reason) {
	hooks := s.leaseHooks(d.Change)
	if hooks == nil || hooks.Empty() {
		return wanted, hook.Continue
	}
	q.event.Decision, q.event.Address = d, d.Addr
	if why = hooks.Run(&q.event); why != hook.Continue || q.event.Address == d.Addr {
		return wanted, why
	}
	if !q.event.Address.IsValid() {
		return wanted, drop.Hook // there is no such address
	}
	return q.event.Address, hook.Continue
}

// leaseHooks returns the hooks that run before a change, nil if there are none.
func (s *Server) leaseHooks(c lease.Change) *hook.List[event.Query] {
	switch c {
	case lease.Hold, lease.Bind:
		return &s.set.Hooks.Lease4Select
	case lease.Extend:
		return &s.set.Hooks.Lease4Renew
	case lease.Release:
		return &s.set.Hooks.Lease4Release
	case lease.Decline:
		return &s.set.Hooks.Lease4Decline
	}
	return nil
}
