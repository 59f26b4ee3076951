package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Acks sends the answers of a group that is durable. It belongs to the committer.
type Acks struct {
	Writer   udp.Writer
	Signer   *ipc.Signer
	Ledger   *Ledger
	Notifier *leases.Notifier
	Clock    *clock.Clock
	Again    *Again           // nil: nothing is decided again
	Refusals *refusals.Recent // that of the server

	refused []lease.ID // in the group before
	out     outgoing
}

// done handles a group that is durable or has failed. The committer calls it for every group.
func (a *Acks) done(g *commit.Group[*Replies], err error) {
	if err != nil {
		a.dropAll(g.Replies, err)
	} else {
		a.send(g)
	}
	a.Notifier.Committed(g.Seq, g.Records.Records, g.Refused, &g.Replies.changes, err)
}

// dropAll drops the answers of a group that has failed.
func (a *Acks) dropAll(r *Replies, err error) {
	a.refused = a.refused[:0] // the book is loaded anew
	a.Ledger.failed(len(r.answers))
	for i := range r.answers {
		r.answers[i].trace.dropped(drop.StoreError, err)
	}
}

// send sends the answers of a durable group whose bases still hold. The other answers do not leave.
// No NAK is sent in place of an ACK whose record was refused: the book knows by now who holds the
// address, so the query is decided again, by the ordinary rules and the hooks from the decision on.
// In SELECTING that makes a NAK (RFC 2131 section 4.3.2).
func (a *Acks) send(g *commit.Group[*Replies]) {
	r := g.Replies
	o := committedGroup{seq: g.Seq, records: g.Records.Records, refused: g.Refused, before: a.refused,
		changed: g.Foreign.Records, blind: g.Blind}
	now := a.Clock.Wall()
	a.out.reset()
	for i := range r.answers {
		w := &r.answers[i]
		if why := w.basis.lost(&o); why != drop.None {
			a.withhold(w, why, o.blind)
			continue
		}
		if w.refusal != nil {
			a.Refusals.Add(w.refusal)
		}
		w.trace.durable(w.kind)
		data, _ := a.Signer.Append(w.data, 0, w.peer, now) // cannot fail: we have opened its query
		a.out.add(data, w.by, w.kind, w.trace)
	}
	a.out.send(a.Writer, a.Ledger)
	a.refused = a.refused[:0]
	for _, f := range g.Refused {
		a.refused = append(a.refused, g.Records.Records[f.Record].ID)
	}
}

// withhold does not send an answer, for a reason. Its query is decided again if that can know more:
// not if the changes of other dhcp4d could not be read. Otherwise the query is dropped, and its
// client asks again.
func (a *Acks) withhold(w *waitingAnswer, why drop.Reason, blind bool) {
	useless := blind && why == drop.LeaseChanged
	if again := w.query != nil && !useless && a.Again.put(w.query); again {
		w.trace.withheld()
		return
	}
	a.Ledger.withheld(why)
	w.trace.dropped(why, nil)
}
