package server

import (
	"bytes"
	"log/slog"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// outgoing has the datagrams for one writer. Kinds has their message types, 0 for the answer to a
// probe.
type outgoing struct {
	packets []udp.Packet
	kinds   []dhcp4.MessageType
}

func (o *outgoing) reset() { o.packets, o.kinds = o.packets[:0], o.kinds[:0] }

func (o *outgoing) add(data []byte, by way, kind dhcp4.MessageType) {
	o.packets = append(o.packets, by.packet(data))
	o.kinds = append(o.kinds, kind)
}

// Replies are what waits until a commit group is durable: ACKs, the changes for operators and
// observers and, if other dhcp4d use the store too, NAKs.
type Replies struct {
	outgoing
	buf      []byte             // of the answers
	keys     []byte             // of the clients of NAKs
	queries  []byte             // that may have to be decided again
	kept     []*parkedQuery     // what hooks have made of them; memory, of which a group uses some
	used     int                // of kept
	refusals []refusals.Refusal // of NAKs
	unsure   bool               // there are NAKs
	peers    []*ipc.Peer        // by packet: how it is authenticated
	bases    []basis            // by packet: what must be durable
	traced   []traced
	changes  leases.Changes
}

// basis is what an answer rests on. An ACK rests on the record of its lease. A NAK rests on what
// was known of the address that the client has named, and of the client's leases.
type basis struct {
	id      lease.ID
	record  int          // index into the group's records, or one of the constants
	client  []byte       // of a NAK
	knows   uint64       // of a NAK: the last group whose refused records were known when it was decided
	query   []byte       // the datagram without its signature; nil: it is not decided again
	kept    *parkedQuery // what hooks have made of the query; nil: there were none
	again   uint8        // how often the query was decided again
	refusal int          // of a NAK that is noted: its number in the refusals of the group, from 1
}

// The records of an answer that has none of its own, because its query has changed nothing.
const (
	inThisGroup = -1 - iota // an earlier query of the group has made the record
	inEarlier               // the group before has it
	ofNAK                   // there is none
)

// Len returns the number of replies, including those to operators.
func (r *Replies) Len() int { return len(r.packets) + r.changes.Orders() }

// Reset forgets everything and keeps the memory.
func (r *Replies) Reset() {
	r.reset()
	clear(r.peers)
	clear(r.traced)
	r.traced = r.traced[:0]
	for _, k := range r.kept[:r.used] {
		k.set = nil
	}
	r.queries, r.used, r.refusals = r.queries[:0], 0, r.refusals[:0]
	r.buf, r.keys, r.unsure, r.peers, r.bases = r.buf[:0], r.keys[:0], false, r.peers[:0], r.bases[:0]
	r.changes.Reset()
}

// Changes returns the changes that the group makes.
func (r *Replies) Changes() *leases.Changes { return &r.changes }

// Unsure reports whether a NAK waits: another dhcp4d may have changed what it rests on.
func (r *Replies) Unsure() bool { return r.unsure }

// nak returns what the NAK to a query rests on. Knows is the last group that was durable.
func (r *Replies) nak(q *lease.Query, knows uint64) basis {
	r.unsure = true
	n := len(r.keys)
	r.keys = append(r.keys, q.Client...)
	return basis{id: lease.ID{Addr: q.Named()}, record: ofNAK, client: r.keys[n:len(r.keys):len(r.keys)], knows: knows}
}

// keep keeps a copy of a query, and of what hooks have made of it, until the group ends.
func (r *Replies) keep(q *exchange) (query []byte, kept *parkedQuery) {
	n := len(r.queries)
	r.queries = append(r.queries, q.in.Data...)
	query = r.queries[n:len(r.queries):len(r.queries)]
	if q.kept.set == nil {
		return query, nil
	}
	if r.used == len(r.kept) {
		r.kept = append(r.kept, new(parkedQuery))
	}
	kept = r.kept[r.used]
	r.used++
	kept.copy(&q.kept)
	return query, kept
}

// refuse notes the client that the last answer, a NAK, refuses.
func (r *Replies) refuse(whom refusals.Refusal) {
	r.refusals = append(r.refusals, whom)
	r.bases[len(r.bases)-1].refusal = len(r.refusals)
}

// noted adds to recent the clients whose NAKs leave.
func (r *Replies) noted(recent *refusals.Recent) {
	if len(r.refusals) == 0 {
		return
	}
	for i := range r.bases {
		if n := r.bases[i].refusal; n > 0 {
			recent.Add(&r.refusals[n-1])
		}
	}
}

// add adds the answer buf[start:] and returns buf. It leaves room for the trailer behind the
// answer. The trailer is made when the answer leaves, so that sequence numbers are in the order in
// which the other side sees them.
func (r *Replies) add(buf []byte, start int, by way, kind dhcp4.MessageType, peer *ipc.Peer, on basis) []byte {
	end := len(buf)
	if peer != nil {
		buf = append(buf, room[:]...)
	}
	r.outgoing.add(buf[start:end:len(buf)], by, kind)
	r.peers = append(r.peers, peer)
	r.bases = append(r.bases, on)
	return buf
}

// dropRefused removes the answers that rest on a refused record, of group seq or the one before. It
// returns how many queries are not decided again. It removes NAKs about these addresses too,
// because the client who got one may be the holder.
func (r *Replies) dropRefused(seq uint64, records []lease.Binding, refused []store.Refusal, before []lease.ID, again *Again) int {
	here := func(id lease.ID) bool {
		return slices.ContainsFunc(refused, func(f store.Refusal) bool { return records[f.Record].ID == id })
	}
	return r.drop(refusedRecord, again, func(on *basis) bool {
		switch on.record {
		case ofNAK:
			return here(on.id) || (on.knows < seq-1 && slices.Contains(before, on.id))
		case inEarlier:
			return slices.Contains(before, on.id)
		case inThisGroup:
			return here(on.id)
		}
		return leases.IsRefused(refused, on.record)
	})
}

// dropChanged removes the NAKs that rest on a lease that another dhcp4d has changed, or all NAKs if
// that is not known. It returns how many queries are not decided again. The clients of those get no
// answer and ask again.
func (r *Replies) dropChanged(changed []lease.Binding, blind bool, again *Again) int {
	if blind {
		again = nil // a second decision would know nothing more
	}
	return r.drop(changedLease, again, func(on *basis) bool {
		return on.record == ofNAK && (blind || slices.ContainsFunc(changed, func(b lease.Binding) bool {
			return b.ID == on.id || bytes.Equal(b.Client, on.client)
		}))
	})
}

// drop removes the answers that gone reports, and puts their queries into again. It returns how
// many queries could not be put in. The traces of those get why, refusedRecord or changedLease, as
// their index.
func (r *Replies) drop(why int, again *Again, gone func(on *basis) bool) (n int) {
	kept := 0
	for i, on := range r.bases {
		if gone(&on) {
			p := r.packets[i]
			p.Data = on.query
			if on.query != nil && again.put(p, on.kept, on.again+1) {
				r.retrace(i, decidedAgain)
				continue
			}
			r.retrace(i, why)
			n++
			continue
		}
		r.retrace(i, kept)
		r.packets[kept], r.kinds[kept], r.peers[kept], r.bases[kept] = r.packets[i], r.kinds[i], r.peers[i], on
		kept++
	}
	r.packets, r.kinds, r.peers, r.bases = r.packets[:kept], r.kinds[:kept], r.peers[:kept], r.bases[:kept]
	return n
}

var room [ipc.SignatureLen]byte

// Acks sends the ACKs of a durable group. It belongs to the committer.
type Acks struct {
	Writer   udp.Writer
	Signer   *ipc.Signer
	Ledger   *Ledger
	Notifier *leases.Notifier
	Clock    *clock.Clock
	Again    *Again           // nil: nothing is decided again
	Refusals *refusals.Recent // that of the server

	refused []lease.ID // in the group before
}

// Commits are the settings of a committer. Limit is how many replies, and how many records, may
// wait for one sync.
type Commits struct {
	Store   store.Store // loaded; belongs to the committer until its Close returns
	Limit   int
	Log     *slog.Logger
	Metrics *commit.Metrics
}

// NewCommitter makes a committer. For its groups, a sends the ACKs. After a failure of the store
// the committer loads the book anew.
func NewCommitter(c Commits, book *leases.Book, a *Acks) *commit.Committer[*Replies] {
	return commit.New(commit.Config[*Replies]{
		Store:   c.Store,
		Replies: func() *Replies { return new(Replies) },
		Refused: func(g *commit.Group[*Replies]) {
			if err := book.Refused(g.Records.Records, g.Refused, g.Seq); err != nil {
				c.Log.Error("the lease store has refused a lease, because another client has the address; that "+
					"client's record cannot be used", "error", err)
			}
		},
		Foreign: func(changed []lease.Binding, seq uint64) []lease.ID {
			again, err := book.Foreign(changed, seq)
			if err != nil {
				c.Log.Error("another dhcp4d has changed a lease, and its record cannot be used", "error", err)
			}
			return again
		},
		Share: book.SetShare,
		Done:  a.done,
		Rebuild: func(s store.Store) error {
			if h, ok := s.(store.Healer); ok && h.Forgot() {
				n, err := h.Heal(book.Each)
				if err != nil {
					return err
				}
				c.Metrics.Healed()
				c.Log.Error("the database had lost acknowledged leases; dhcp4d has written them again from memory",
					"leases", n)
			}
			found, err := book.Load(s)
			if err == nil {
				c.Metrics.Loaded(found.Took)
			}
			return err
		},
		Limit:   c.Limit,
		Log:     c.Log,
		Metrics: c.Metrics,
	})
}

// done handles a group that is durable or has failed. The committer calls it for every group.
func (a *Acks) done(g *commit.Group[*Replies], err error) {
	r := g.Replies
	if err != nil {
		a.Ledger.failed(len(r.packets))
		a.refused = a.refused[:0] // the book is loaded anew
		for i := range r.traced {
			t := &r.traced[i]
			t.record.Say("dropped (%s): %s: %v", drop.StoreError.Label(), drop.StoreError.Meaning(), err)
			t.to.Send(t.record)
		}
	} else {
		if len(g.Refused) > 0 || len(a.refused) > 0 {
			a.dropRefused(g)
		}
		if r.unsure && (g.Blind || len(g.Foreign.Records) > 0) {
			a.Ledger.changed(r.dropChanged(g.Foreign.Records, g.Blind, a.Again))
		}
		r.noted(a.Refusals)
		now := a.Clock.Wall()
		for i := range r.packets {
			r.packets[i].Data, _ = a.Signer.Append(r.packets[i].Data, 0, r.peers[i], now) // cannot fail: we have opened its query
		}
		a.Writer.Write(r.packets)
		a.Ledger.sent(&r.outgoing)
		if len(r.traced) > 0 {
			r.traced = committed(r.traced, r.packets, r.kinds)
		}
	}
	a.Notifier.Committed(g.Seq, g.Records.Records, g.Refused, &r.changes, err)
}

// dropRefused drops the ACKs whose lease the store has refused. It sends no NAK in their place: the
// book knows by now who holds the address, so the query is decided again, by the ordinary rules and
// the hooks from the decision on. In SELECTING that is a NAK (RFC 2131 section 4.3.2).
func (a *Acks) dropRefused(g *commit.Group[*Replies]) {
	a.Ledger.refused(g.Replies.dropRefused(g.Seq, g.Records.Records, g.Refused, a.refused, a.Again))
	a.refused = a.refused[:0]
	for _, f := range g.Refused {
		a.refused = append(a.refused, g.Records.Records[f.Record].ID)
	}
}

// answerOf returns the message type of an answer.
func answerOf(k lease.Kind) dhcp4.MessageType {
	switch k {
	case lease.Offer:
		return dhcp4.Offer
	case lease.Nak:
		return dhcp4.NAK
	}
	return dhcp4.ACK
}
