// Package server takes a query through dhcp4d. It is the only package that knows the order of the
// steps. Hook points are in capitals.
//
//	read    IPC → from a peer → verify → parse the frame → BUFFER4_RECEIVE → parse the message
//	        → PKT4_RECEIVE → ask → who asks and from where → subnet → SUBNET4_SELECT → ask
//	        → reservation
//	serve   of subnets that share a link: the one that suits the query best
//	        → classes and pools, which may refuse the client
//	        → the book decides: look → decide, then LEASE4_SELECT, _RENEW, _RELEASE or _DECLINE
//	        → look → decide → apply
//	        → reply → PKT4_SEND → BUFFER4_SEND
//	        → at once: sign → IPC
//	        → an ACK whose lease is not durable yet: with its commit group, see below
//
// One goroutine takes a batch ([Server.batch]). It reads all queries of the batch, serves one after
// the other, and writes the answers that need not wait for the disk: OFFERs, NAKs (see below), and
// ACKs of leases that are durable already. Between reading and serving, the book prefetches the
// whole batch, so that its cache misses overlap.
//
// # Queries that wait for a program
//
// At one of the two steps called ask, the hook outside may have no verdict about a query yet. Then
// the query is parked, and the loop goes on ([Server.ask]). When the answer has come, or the time
// for it is over, the query enters the next batch, in front of the new datagrams ([Server.resume]).
// It goes the same way again, but through no hook twice, unless the configuration has changed
// meanwhile.
//
// # The way of an ACK
//
//	[Server.wait]      builds it into the gathering commit group, with what it rests on ([Replies])
//	batch              commits the group when the batch is done, if the disk is quick; if not, it
//	                   wakes the committer's goroutine
//	commit.Committer   writes the group's records and syncs
//	[Acks.done]        gets the group: signs and sends the answers whose bases still hold, or drops
//	                   all of them if the store has failed
//	[Again]            takes the queries of the other answers, because another dhcp4d has changed a
//	                   lease: they enter the next batch, as those that were parked, and are decided
//	                   again
//	[leases.Notifier]  counts the changes, and tells observers (LEASES4_COMMITTED) and operators
//
// A NAK goes the same way if other dhcp4d use the store too.
//
// The loop shares the book of leases and the commit group with other goroutines. It holds the lock
// of the table for one decision at a time, never over a hook. It holds the lock of the group while
// it serves a batch. The package comment of leases has the order of these locks and of those around
// them.
//
// Every datagram has one fate, and a dropped one also has one drop.Reason. The ledger counts both.
package server

import (
	"context"
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
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
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
	seen    seen

	// Answers that leave at once; buf holds their bytes.
	buf   []byte
	ready outgoing
}

// exchange is a query and everything that is known about it.
type exchange struct {
	in       *udp.Packet
	was      *keptQuery // as it was kept, parked or to be decided again; nil: it has just been read
	passed   passed     // hook points that it has passed before it was kept
	progress progress   // what hooks have made of it, if it may have to be decided again
	from     Peer       // who sent it; its IPC authenticates the query and the answer
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
	basis   basis // of an answer that waits

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
	IPC  *ipc.Peer // authenticates its datagrams; nil for a Kea
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
	s.ready.send(s.Replies, s.Ledger)
	if pending {
		s.Commits.Commit()
	}
	s.endQuestions(resumed)
}

// take reads a datagram, and keeps its query for serve. Was is the query as it was kept, nil for a
// new datagram.
func (s *Server) take(in *udp.Packet, was *keptQuery) {
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
	if s.Refusals != nil {
		s.noteRefusal(q, f, why)
	}
	if s.tracing != nil {
		s.follow(q, f, why)
	}
	if why == drop.None {
		return
	}
	if normal := why == drop.Unauthentic && s.Auth.Opener.AfterRestart(); !normal {
		s.complaints.about(s.Log, s.Auth.Name, q.in.Peer, why, s.received)
	}
	s.logDrop(q, why)
}

// noteRefusal notes for people that the client of a query is refused. A NAK that waits is noted
// when it leaves.
func (s *Server) noteRefusal(q *exchange, f fate, why drop.Reason) {
	nak := q.decided.Kind == lease.Nak
	switch {
	case refuses(why), f == answered && nak:
		r := s.refusalOf(q, why)
		s.Refusals.Add(&r)
	case f == waiting && nak:
		s.group.Replies.refuse(s.refusalOf(q, why))
	}
}

// probed answers a probe: it says that we are alive, and whether we are able to serve. A probe that
// may be a replay is answered too, so that its sender can prove itself, but it counts as dropped.
func (s *Server) probed(q *exchange, p ipc.Probe) (fate, drop.Reason) {
	ability, sender := s.Ability.Now(), q.from.IPC.Sender()
	if p.Full && sender == ipc.Present {
		ability = s.Ability.probed(wayBack(q.in), q.from.IPC, p, s.received)
	}
	start := len(s.buf)
	s.buf = p.AppendReply(s.buf, ability)
	if len(s.buf) > start {
		s.buf = s.Auth.Signer.AppendProbeReply(s.buf, start, q.from.IPC, s.received)
		s.ready.add(s.buf[start:], wayBack(q.in), 0, nil)
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
