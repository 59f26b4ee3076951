// Package server is a query's way through dhcp4d, and the only package that
// knows its order.
//
//	read    IPC → parse → hooks → who and where → subnet
//	serve   decide → reply → hooks
//	        → IPC at once, or with the commit group that makes its lease durable
//
// One goroutine takes a batch, reads all of its queries, serves one after the
// other to its end, and writes what need not wait: OFFERs, NAKs, what changes
// nothing. Between the two the table is told of the whole batch: in a large
// one nearly every look is a wait for memory, and many can be waited for at
// the same time ([table.Table.Ahead]). An ACK is built at the
// same time but waits in the group that is gathering. The group is synced by
// this goroutine itself while the disk is quick, else by the committer's, and
// only then are its ACKs written. The table of leases is the only thing that
// goroutines share; its lock is held for a decision at a time, never over a hook
// or a system call.
//
// What becomes of each datagram is a fate, and if it is dropped one
// drop.Reason; the ledger counts both.
package server

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/subnet"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Server serves queries. All exported fields are set before Run and belong to
// it from then on.
type Server struct {
	Log     *slog.Logger
	IPC     udp.Reader // from dhcp6d
	Replies udp.Writer // what need not wait
	Peers   *atomic.Pointer[Peers]
	Auth    Auth
	Running *atomic.Pointer[Running]
	Leases  *Leases
	Commits *commit.Committer[*Waiting]
	Hooks   Hooks
	Ledger  *Ledger

	// The batch at hand.
	received time.Time
	now      lease.Time
	running  *Running
	peers    Peers
	group    *commit.Group[*Waiting] // nil while the store has failed
	queries  []*asked                // their memory is used again
	open     []*lease.Query          // the terms of those that are read and not yet served

	// The query that is served.
	facts   lease.Facts
	decided lease.Decision // as the hooks see it
	options option.Layers

	// What leaves at once: buf holds the bytes.
	buf   []byte
	ready outgoing
}

// asked is what is known of a query before anybody decides about it.
type asked struct {
	in       *udp.Packet
	signs    bool // as does its answer
	frame    ipc.Query
	message  dhcp4.Message
	event    event.Query
	who      asker
	chosen   subnet.Result
	reserved *config.Reservation
	terms    lease.Query // the same in the terms of the rules
}

// Hooks are the hook points.
type Hooks struct {
	Buffer4Receive, Pkt4Receive, Subnet4Select              hook.List[event.Query]
	Lease4Select, Lease4Renew, Lease4Release, Lease4Decline hook.List[event.Query]
	Pkt4Send, Buffer4Send                                   hook.List[event.Query]
}

// Peers are the dhcp6d, or kea-dhcp6, that queries are taken from. They never
// change; a reload replaces them.
type Peers map[netip.AddrPort]Peer

// Peer is one of them.
type Peer struct {
	Name string // in match entries
	Kea  bool   // signs nothing
}

// Auth is what signs and verifies between us and peers of ours: without keys
// it does nothing. Each goroutine that signs has a Signer of its own.
type Auth struct {
	Name     string // ours, as a backend
	Verifier *ipc.Verifier
	Signer   *ipc.Signer
}

// readPause is the pause after a read that failed.
const readPause = 100 * time.Millisecond

// Name is the component's name in logs and errors.
func (s *Server) Name() string { return "server" }

// Run serves until the IPC's socket is closed.
func (s *Server) Run(context.Context) error {
	for {
		in, err := s.IPC.Read()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// The kernel is short of memory, say. Whoever stops listening
			// for that serves nobody for good.
			s.Log.Error("cannot read the IPC, trying again", "error", err)
			time.Sleep(readPause)
			continue
		}
		s.batch(in)
	}
}

// batch takes the datagrams of one read to their end.
func (s *Server) batch(in []udp.Packet) {
	s.Leases.turn.Lock()
	s.received, s.now = s.Leases.Clock.Read()
	s.running, s.peers = s.Running.Load(), *s.Peers.Load()
	s.buf = s.buf[:0]
	s.ready.reset()
	s.open = s.open[:0]
	for i := range in {
		q := s.place(len(s.open))
		q.in = &in[i]
		if fate, why := s.read(q); fate != undecided {
			s.settle(q, fate, why)
			continue
		}
		s.open = append(s.open, &q.terms)
	}
	s.Leases.ahead(s.open)
	s.group = s.Commits.Gather()
	for i := range s.open {
		q := s.queries[i]
		fate, why := s.serve(q)
		s.settle(q, fate, why)
	}
	pending := s.group != nil && s.Commits.Leave(s.group)
	s.Leases.turn.Unlock()
	s.Replies.Write(s.ready.packets)
	s.Ledger.sent(&s.ready)
	if pending {
		s.Commits.Commit()
	}
}

// place is memory for the i-th query of a batch.
func (s *Server) place(i int) *asked {
	if i == len(s.queries) {
		s.queries = append(s.queries, new(asked))
	}
	return s.queries[i]
}

// settle enters what became of a query.
func (s *Server) settle(q *asked, f fate, why drop.Reason) {
	s.Ledger.settle(q.who.kind, f, why)
	if why != drop.None {
		s.logDrop(q, why)
	}
}

// read takes one datagram from bytes to a query of a known subnet, which is
// undecided, or to its end.
func (s *Server) read(q *asked) (fate, drop.Reason) {
	in := q.in
	q.who.kind, q.who.client = 0, q.who.client[:0]
	peer, ok := s.peers[in.Peer]
	if !ok {
		return dropped, drop.WrongPeer
	}
	if in.Truncated {
		return dropped, drop.Truncated
	}
	q.signs = !peer.Kea
	if q.signs {
		var why drop.Reason
		if in.Data, why = s.Auth.Verifier.Open(in.Data, s.Auth.Name, s.received); why != drop.None {
			return dropped, why
		}
	}
	if ipc.IsProbe(in.Data) {
		return s.probed(q)
	}
	if why := q.frame.Parse(in.Data); why != drop.None {
		return dropped, why
	}
	q.event = event.Query{Received: s.received, DHCP6D: in.Peer, Frame: &q.frame, Data: q.frame.DHCPv4()}
	if why := s.Hooks.Buffer4Receive.Run(&q.event); why != hook.Continue {
		return dropped, why
	}
	var why drop.Reason
	if q.message, why = dhcp4.Parse(q.frame.DHCPv4()); why != drop.None {
		return dropped, why
	}
	q.who.kind = q.message.Type()
	if why := q.message.CheckRequest(); why != drop.None {
		return dropped, why
	}
	q.event.Message = &q.message
	if why := s.Hooks.Pkt4Receive.Run(&q.event); why != hook.Continue {
		return dropped, why
	}
	if why := q.who.read(&q.frame, &q.message, peer.Name); why != drop.None {
		return dropped, why
	}
	q.chosen = s.running.selector.Select(&q.who.where)
	if q.chosen.Subnet == nil {
		return dropped, drop.NoSubnet
	}
	q.event.Subnet = q.chosen.Subnet
	if why := s.Hooks.Subnet4Select.Run(&q.event); why != hook.Continue {
		return dropped, why
	}
	q.reserved = q.chosen.Subnet.Reservation(&q.who.identity)
	q.who.fill(&q.terms, q.chosen.Subnet.Position, &q.message, q.reserved)
	return undecided, drop.None
}

// serve decides about a query and builds the reply.
func (s *Server) serve(q *asked) (fate, drop.Reason) {
	if s.group == nil {
		return dropped, drop.StoreError
	}
	s.options = q.chosen.Subnet.Options(&q.who.traits, -1, q.reserved)
	wait, ok := s.options.Lookup(dhcp4.OptIPv6OnlyPreferred)
	q.terms.V6Only = q.terms.V6Only && ok
	d := s.decide(q)
	switch {
	case d.Kind == lease.Dropped:
		return dropped, d.Drop
	case d.Kind == lease.Silent:
		return silent, drop.None
	}
	waits := d.Kind == lease.Ack && (d.Change != lease.None || d.After > s.Commits.Durable())
	buf := &s.buf
	if waits {
		buf = &s.group.Replies.buf
	}
	start := len(*buf)
	out, mark := ipc.BeginResponse(*buf, &q.frame)
	message := len(out)
	out, why := reply.Append(out, &q.message, s.reply(q, &d, wait))
	if why != drop.None {
		return dropped, why
	}
	if out, why = mark.End(out); why != drop.None {
		return dropped, why
	}
	q.event.Data, q.event.Address = out[message:], d.Addr
	if why := s.Hooks.Pkt4Send.Run(&q.event); why != hook.Continue {
		return dropped, why
	}
	if why := s.Hooks.Buffer4Send.Run(&q.event); why != hook.Continue {
		return dropped, why
	}
	if waits {
		*buf = s.group.Replies.wait(out, start, q.in.Peer, answerOf(d.Kind), q.signs)
		return waiting, drop.None
	}
	*buf = s.sign(q, out, start)
	s.ready.add(udp.Packet{Data: (*buf)[start:], Peer: q.in.Peer}, answerOf(d.Kind))
	return answered, drop.None
}

// sign signs the answer buf[start:] if its query was signed.
func (s *Server) sign(q *asked, buf []byte, start int) []byte {
	if !q.signs {
		return buf
	}
	return s.Auth.Signer.Append(buf, start, s.Auth.Name, s.received)
}

// decide looks up what is known, decides, and has the decision carried out in
// memory and noted for the disk.
func (s *Server) decide(q *asked) lease.Decision {
	policy := &s.running.policies[q.terms.Subnet]
	s.Leases.mu.Lock()
	defer s.Leases.mu.Unlock()
	table := s.Leases.table
	table.Look(&q.terms, s.now, &s.facts)
	d := lease.Decide(&q.terms, policy, &s.facts, s.now)
	if hooks := s.leaseHooks(&d); hooks != nil {
		s.decided = d
		q.event.Decision, q.event.Address = &s.decided, d.Addr
		s.Leases.mu.Unlock()
		why := hooks.Run(&q.event)
		s.Leases.mu.Lock()
		if why != hook.Continue {
			return lease.Decision{Kind: lease.Dropped, Drop: why}
		}
		wanted, offered := q.event.Address, d.Addr
		// The table may have changed meanwhile.
		table = s.Leases.table
		table.Look(&q.terms, s.now, &s.facts)
		d = lease.Decide(&q.terms, policy, &s.facts, s.now)
		if wanted != offered {
			standing := table.Stand(&q.terms, wanted, s.now)
			if !d.Redirect(&q.terms, policy, &standing, s.now) {
				return lease.Decision{Kind: lease.Dropped, Drop: drop.Hook} // it asks for what is not to be had
			}
		}
	}
	if d.Change == lease.None {
		return d
	}
	records := &s.group.Records
	if d.Change.Durable() && s.Commits.Full(s.group) {
		return lease.Decision{Kind: lease.Dropped, Drop: drop.Overload}
	}
	before := len(records.Records)
	table.Apply(&q.terms, &d, s.now, s.group.Seq, records)
	if len(records.Records) > before {
		s.group.Replies.note(&q.frame, &d, before)
	}
	return d
}

// leaseHooks are the hooks that have a say in a decision, nil for none.
func (s *Server) leaseHooks(d *lease.Decision) *hook.List[event.Query] {
	var l *hook.List[event.Query]
	switch d.Change {
	case lease.Hold, lease.Bind:
		l = &s.Hooks.Lease4Select
	case lease.Extend:
		l = &s.Hooks.Lease4Renew
	case lease.Release:
		l = &s.Hooks.Lease4Release
	case lease.Decline:
		l = &s.Hooks.Lease4Decline
	default:
		return nil
	}
	if l.Empty() {
		return nil
	}
	return l
}

// reply is the decision in the terms of package reply.
func (s *Server) reply(q *asked, d *lease.Decision, v6wait []byte) *reply.Reply {
	sub := q.chosen.Subnet
	r := &q.who.reply
	*r = reply.Reply{
		Type:                answerOf(d.Kind),
		YIAddr:              d.Addr,
		ServerID:            sub.ServerID,
		EchoSubnetSelection: q.chosen.Step == subnet.SubnetSelection,
		Room:                reply.Room(chainLength(q.frame.Packet())),
		Pad:                 sub.PadTo300,
	}
	if d.Kind == lease.Nak {
		r.Message = d.Why.String()
		return r
	}
	r.LeaseTime = d.Time
	if t1, t2, ok := sub.Lease.Timers(d.Time); ok {
		r.T1, r.T2 = t1, t2
	}
	r.SendTimes = sub.Lease.SendTimers
	boot := &s.running.boots[sub.Position]
	r.SIAddr, r.SName, r.File = sub.NextServer, boot.server, boot.file
	s.options = sub.Options(&q.who.traits, sub.PoolOf(d.Addr), q.reserved)
	r.Options = &s.options
	if d.V6Only {
		r.IPv6Only, r.V6OnlyWait = true, binary.BigEndian.Uint32(v6wait)
	}
	if !q.message.Has(dhcp4.OptParameterRequestList) {
		r.Always = unasked
	}
	return r
}

// unasked is what a client gets that does not say what it wants.
var unasked = []byte{dhcp4.OptSubnetMask, dhcp4.OptRouter, dhcp4.OptDomainNameServer, dhcp4.OptDomainName}

// probed answers a dhcp6d that asks whether we are alive.
func (s *Server) probed(q *asked) (fate, drop.Reason) {
	start := len(s.buf)
	s.buf = s.sign(q, ipc.AppendProbeReply(s.buf), start)
	s.ready.add(udp.Packet{Data: s.buf[start:], Peer: q.in.Peer}, 0)
	return probe, drop.None
}

// logDrop tells at debug level, and only there, whose query was dropped.
func (s *Server) logDrop(q *asked, why drop.Reason) {
	if s.Log.Enabled(context.Background(), slog.LevelDebug) {
		s.Log.Debug("query dropped", "reason", why.Label(), "dhcp6d", q.in.Peer, "type", q.who.kind,
			"client", q.who.client, "octets", len(q.in.Data))
	}
}
