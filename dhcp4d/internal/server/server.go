// Package server takes a query through dhcp4d. It is the only package that knows the order of the
// steps. Hook points are in capitals.
//
//	read    IPC → from a peer → verify → parse the frame → BUFFER4_RECEIVE → parse the message → PKT4_RECEIVE
//	        → ask → who asks and from where → subnet → SUBNET4_SELECT → ask → reservation
//	serve   of subnets that share a link: the one that suits the query best
//	        → the book decides: look → decide, then LEASE4_SELECT, _RENEW, _RELEASE or _DECLINE → look → decide → apply
//	        → reply → PKT4_SEND → BUFFER4_SEND
//	        → at once: sign → IPC
//	        → an ACK whose lease is not durable yet: with its commit group, see below
//
// One goroutine takes a batch ([Server.batch]). It reads all queries of the batch, serves one after
// the other, and writes the answers that need not wait for the disk: OFFERs, NAKs, and ACKs that
// change nothing. Between reading and serving, the book prefetches the whole batch, so that its
// cache misses overlap.
//
// # Queries that wait for a program
//
// At one of the two steps called ask, the hook outside may have no verdict about a query yet. Then
// the query is parked, and the loop goes on ([Server.ask]). When the answer has come, or the time
// for it is over, the query enters the next batch, in front of the new datagrams ([Server.resume]).
// It goes the same way again, but through no hook twice.
//
// # The way of an ACK
//
//	serve                 builds it into the group that gathers ([Replies.add])
//	batch                 commits the group when the batch is done, if the disk is quick; if not, it
//	                      wakes the committer's goroutine
//	commit.Committer      writes the group's records and syncs
//	[Acks.done]           gets the group: sign → IPC, or all dropped if the store has failed
//	[Again]               keeps the queries whose answers became wrong, because another dhcp4d has
//	                      changed a lease: they enter the next batch, pass no hook of read again,
//	                      and are decided again
//	[leases.Notifier]     counts the changes, tells the observers (LEASES4_COMMITTED) and the operators
//
// The loop shares the book of leases and the commit group with other goroutines. It holds the lock
// of the table for one decision at a time, never over a hook. It holds the lock of the group while
// it serves a batch. The package comment of leases has the order of all locks.
//
// Every datagram has one fate, and a dropped one also has one drop.Reason. The ledger counts both.
package server

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Server serves queries. All exported fields are set before Run, and belong to the server from then
// on.
type Server struct {
	Log      *slog.Logger
	IPC      udp.Reader // from dhcp6d
	Replies  udp.Writer // for answers that need not wait for the disk
	Peers    *atomic.Pointer[Peers]
	Auth     Auth
	Settings *atomic.Pointer[Settings]
	Book     *leases.Book
	Commits  *commit.Committer[*Replies]
	Ability  *Ability // nil: always able
	Ledger   *Ledger
	Trace    *trace.Hub // nil: nobody can follow a subscriber
	// Refusals records clients that were refused, for people; nil: nobody looks.
	Refusals *refusals.Recent
	// Local is the address of the IPC's socket, for traces.
	Local netip.AddrPort
	// Wake ends the wait of IPC for a datagram; nil: parked queries wait for the next one.
	Wake func()
	// Again has the queries that are to be decided again; nil: there are none.
	Again *Again
	// Uptime is the time that parked queries go by; nil: that of package consult.
	Uptime func() time.Duration

	ending bool // no more datagrams come

	// The current batch.
	received time.Time
	now      lease.Time
	set      *Settings
	peers    Peers
	group    *commit.Group[*Replies] // nil while the store has failed
	tookOver time.Time               // when logTakenOver last logged
	queries  []*exchange             // their memory is used again
	open     []*lease.Query          // the terms of the queries that are read and not yet served

	// The query that is being served.
	proposed   lease.Decision // that the hooks see before the decision
	options    option.Layers
	byHooks    option.Overrides // by hooks at pkt4_send
	computed   option.Overrides // by expressions of the configuration, for options
	classes    []*network.Class // that it is in, of those that give anything
	sets       []*option.Set    // memory of options
	v6OnlyWait []byte           // option 108 of its subnet and classes
	groups     []int32          // of pools that it may have, memory
	eval       expression.Evaluator
	octets     hook.Octets // what hooks at buffer4_send make of a reply
	built      dhcp4.Message
	changed    dhcp4.Message
	warned     time.Time // when leftOut last warned

	complaints complaints

	questions questions // to a program outside, and who waits for the answers

	tracing *trace.Open // of the current batch; nil while nobody follows a subscriber
	traced  []traced    // the records of answers that leave at once
	seen    seen

	// Answers that leave at once; buf holds their bytes.
	buf   []byte
	ready outgoing
}

// exchange is a query and everything that is known about it.
type exchange struct {
	in       *udp.Packet
	was      *place      // where it was parked, or kept to be decided again; nil: it has just been read
	passed   passed      // hook points that it has passed before it was parked, or decided
	kept     parkedQuery // what hooks have made of it, if it may have to be decided again
	from     Peer        // who sent it; its Link authenticates the query and the answer
	frame    ipc.Query
	octets   hook.Octets // what hooks at buffer4_receive make of the message
	message  dhcp4.Message
	event    event.Query
	client   client
	chosen   network.Result
	member   expression.Membership // in classes, as far as it has been evaluated
	reserved *network.Reservation
	known    bool        // the client has a reservation, in the subnet or in another one of its link
	terms    lease.Query // the query in the terms of package lease
	serverID netip.Addr  // option 54 of the reply

	silence silence.Reason // why it gets no answer, if its fate is silent
	decided lease.Decision

	raw   []byte     // the datagram with its signature, if somebody follows a subscriber
	notes hook.Notes // of hooks, likewise
}

// Peers are the dhcp6d or kea-dhcp6 whose queries we take. The map never changes: a reload replaces
// it.
type Peers map[netip.AddrPort]Peer

// Peer is a dhcp6d or a kea-dhcp6.
type Peer struct {
	Name string    // in match entries
	Kea  bool      // a kea-dhcp6, which knows neither keys nor probes
	Link *ipc.Peer // authenticates its datagrams; nil for a Kea
}

// Auth authenticates datagrams between us and our peers. Without keys it does nothing. Each
// goroutine that signs has a Signer of its own.
type Auth struct {
	Name   string // ours, as a backend
	Opener *ipc.Opener
	Signer *ipc.Signer
}

// Name is the component's name in logs and errors.
func (s *Server) Name() string { return "server" }

// Run serves until the IPC's socket is closed.
func (s *Server) Run(context.Context) error {
	udp.Serve(s.IPC, s.Log, s.batch)
	s.end()
	return nil
}

// end settles the queries that still wait. It decides those that are to be decided again. Those
// that wait for the program outside get no more time.
func (s *Server) end() {
	s.ending = true
	s.Again.end()
	for s.Again.waits() || s.questions.waits() {
		s.batch(nil)
	}
}

// batch handles the datagrams of one read.
func (s *Server) batch(in []udp.Packet) {
	s.received, s.now = s.Book.BeginBatch()
	s.set, s.peers = s.Settings.Load(), *s.Peers.Load()
	s.tracing = s.Trace.On()
	s.buf = s.buf[:0]
	s.ready.reset()
	s.open = s.open[:0]
	resumed := s.resume()
	for _, p := range resumed {
		s.take(&p.Packet, p)
	}
	for p := s.Again.take(); p != nil; p = s.Again.take() {
		s.take(&p.Packet, p)
	}
	for i := range in {
		s.take(&in[i], nil)
	}
	s.flushQuestions()
	s.Book.Prefetch(s.open)
	s.group = s.Commits.LockGroup()
	for i := range s.open {
		q := s.queries[i]
		fate, why := s.serve(q)
		s.settle(q, fate, why)
	}
	pending := s.group != nil && s.Commits.UnlockGroup(s.group)
	s.Book.EndBatch()
	s.Replies.Write(s.ready.packets)
	s.Ledger.sent(&s.ready)
	if len(s.traced) > 0 {
		s.traced = completed(s.traced, s.ready.packets)
	}
	if pending {
		s.Commits.Commit()
	}
	s.endQuestions(resumed)
}

// take reads a datagram, and keeps its query for serve. Was is where the query was parked or waited
// to be decided again, nil for a new datagram.
func (s *Server) take(in *udp.Packet, was *place) {
	q := s.exchangeAt(len(s.open))
	q.in, q.was = in, was
	if s.tracing != nil {
		q.forget()
	}
	if fate, why := s.read(q); fate != undecided {
		s.settle(q, fate, why)
		return
	}
	s.open = append(s.open, &q.terms)
}

// refuses reports whether a reason means that a client is refused. The other reasons are about the
// datagram.
func refuses(why drop.Reason) bool {
	switch why {
	case drop.NoSubnet, drop.ClassRefused, drop.NoAddress, drop.PointLimit, drop.Draining, drop.LeaseRefused:
		return true
	}
	return false
}

// refusalOf returns that the client of a query was refused, with a reason or by a NAK.
func (s *Server) refusalOf(q *exchange, why drop.Reason) refusals.Refusal {
	r := refusals.Refusal{Time: s.received.Unix(), Link: q.client.where.LinkAddress, Source: q.client.path.Client(),
		Why: why}
	if q.chosen.Subnet != nil {
		r.Subnet = q.chosen.Subnet.ID
	}
	if why == drop.None {
		r.Nak = q.decided.Why
	}
	r.SetHWAddr(q.message.CHAddr())
	return r
}

// exchangeAt returns the memory for the i-th query of a batch.
func (s *Server) exchangeAt(i int) *exchange {
	if i == len(s.queries) {
		s.queries = append(s.queries, new(exchange))
	}
	return s.queries[i]
}

// settle counts, traces and logs the fate of a datagram.
func (s *Server) settle(q *exchange, f fate, why drop.Reason) {
	s.Ledger.settle(q.client.kind, f, why, q.silence, q.was != nil)
	switch f {
	case parked:
		return
	case probe:
		s.Ability.heard(q.in.Peer)
	case silent:
		s.logSilent(q)
	}
	if nak := q.decided.Kind == lease.Nak; s.Refusals != nil {
		switch {
		case refuses(why), f == answered && nak:
			r := s.refusalOf(q, why)
			s.Refusals.Add(&r)
		case f == waiting && nak:
			s.group.Replies.refuse(s.refusalOf(q, why))
		}
	}
	if s.tracing != nil {
		s.follow(q, f, why)
	}
	if why == drop.Unauthentic && s.Auth.Opener.AfterRestart() {
		s.logDrop(q, why) // after a restart this is normal
	} else if why != drop.None {
		s.complaints.about(s.Log, s.Auth.Name, q.in.Peer, why, s.received)
		s.logDrop(q, why)
	}
}

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
	s.keepForAgain(q)
	if !s.enter(q) && q.chosen.Subnet.Link == nil {
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
	if in.Data, why = s.Auth.Opener.Open(in.Data, q.from.Link, s.received); why != drop.None {
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

// keepForAgain notes what hooks have made of a query, if the query may have to be decided again.
func (s *Server) keepForAgain(q *exchange) {
	q.kept.set = nil
	if s.Commits.Shared() && s.set.Hooks.Receiving() {
		q.kept.keep(q, s.set, entered)
		q.kept.verdict = q.event.Verdict
	}
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
	var on basis
	if why := s.conclude(q, &on); why != drop.None {
		return dropped, why
	}
	d := &q.decided
	if d.Kind == lease.Silent {
		q.silence = d.Silence
		return silent, drop.None
	}
	waits := d.Kind == lease.Ack && (d.Change != lease.None || d.After > s.Commits.Durable())
	if d.Kind == lease.Nak && s.Commits.Shared() { // another dhcp4d may have changed what it rests on
		if s.Commits.Full(s.group) {
			return dropped, drop.QueueFull
		}
		waits, on = true, s.group.Replies.nak(&q.terms, s.Commits.Durable())
	}
	buf := &s.buf
	if waits {
		buf = &s.group.Replies.buf
	}
	start := len(*buf)
	out, why := s.build(q, *buf)
	if why != drop.None {
		return dropped, why
	}
	if waits {
		if s.Commits.Shared() {
			if q.was != nil {
				on.again = q.was.More.again
			}
			if on.again < mostTimes {
				on.query, on.kept = s.group.Replies.keep(q)
			}
		}
		*buf = s.group.Replies.add(out, start, wayBack(q.in), answerOf(d.Kind), q.from.Link, on)
		return waiting, drop.None
	}
	*buf = s.sign(q, out, start)
	s.ready.add((*buf)[start:], wayBack(q.in), answerOf(d.Kind))
	return answered, drop.None
}

// conclude decides about a query. Its classes and its pool may refuse the client. Otherwise the
// rules and the leases decide. It sets what an answer rests on.
func (s *Server) conclude(q *exchange, on *basis) drop.Reason {
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
	s.decide(q, on)
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

// decide decides about a query, carries the decision out in memory, and adds its record to the
// commit group. If there are hooks, they first see a proposal, without a lock. The table may change
// meanwhile, so the decision is then made anew. decide sets the record that an ACK rests on.
func (s *Server) decide(q *exchange, on *basis) {
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
	on.id, on.record = d.ID, inEarlier
	switch last := len(records.Records) - 1; {
	case last >= before: // the lease is the last record; before it are those that the client loses for it
		on.record = last
		s.group.Replies.changes.ByQuery(d.Event, last, &q.frame, s.set.Leases.Observed())
	case d.After == s.group.Seq:
		on.record = inThisGroup
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

// probed answers a probe: it says that we are alive, and whether we are able to serve. A probe that
// may be a replay is answered too, so that its sender can prove itself, but it counts as dropped.
func (s *Server) probed(q *exchange, p ipc.Probe) (fate, drop.Reason) {
	ability, sender := s.Ability.Now(), q.from.Link.Sender()
	if p.Full && sender == ipc.Present {
		ability = s.Ability.probed(wayBack(q.in), q.from.Link, p, s.received)
	}
	start := len(s.buf)
	s.buf = p.AppendReply(s.buf, ability)
	if len(s.buf) > start {
		s.buf = s.Auth.Signer.AppendProbeReply(s.buf, start, q.from.Link, s.received)
		s.ready.add(s.buf[start:], wayBack(q.in), 0)
	}
	if p.Full && sender == ipc.Doubtful {
		return dropped, drop.Unauthentic
	}
	return probe, drop.None
}

// logDrop logs a dropped query at debug level. No other level names clients.
func (s *Server) logDrop(q *exchange, why drop.Reason) {
	if s.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.Log.Debug("query dropped", "reason", why.Label(), "dhcp6d", q.in.Peer, "type", q.client.kind,
			"client", q.client.key, "octets", len(q.in.Data))
	}
}

// logSilent logs a query that gets no answer, and the rule for that, at debug level. No other level
// names clients.
func (s *Server) logSilent(q *exchange) {
	if s.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.Log.Debug("query not answered, by rule", "reason", q.silence.Label(), "meaning", q.silence.Meaning(),
			"dhcp6d", q.in.Peer, "type", q.client.kind, "client", q.client.key, "subnet", q.chosen.Subnet.ID)
	}
}
