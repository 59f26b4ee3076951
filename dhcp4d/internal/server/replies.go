package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Replies are what waits until a commit group is durable: ACKs, the changes for operators and
// observers and, if other dhcp4d use the store too, NAKs.
type Replies struct {
	answers []waitingAnswer
	unsure  bool // there are NAKs
	changes leases.Changes

	// Memory that the answers point into.
	buf      []byte       // of the answers
	clients  []byte       // of what NAKs rest on
	queries  []byte       // the datagrams of kept
	kept     []*keptQuery // some are in use
	inUse    int          // how many of kept
	refusals []refusals.Refusal
}

// waitingAnswer is an answer that leaves when its group is durable, if what it rests on still holds
// then.
type waitingAnswer struct {
	data    []byte // without its signature, for which there is room behind it
	by      way
	kind    dhcp4.MessageType
	peer    *ipc.Peer // authenticates it; nil: it has no signature
	basis   basis
	query   *keptQuery        // is decided again if the basis no longer holds; nil: the client must ask again
	trace   *traced           // nil: nobody follows the client
	refusal *refusals.Refusal // of a NAK, for people; nil: nobody looks
}

// Len returns the number of replies, including those to operators.
func (r *Replies) Len() int { return len(r.answers) + r.changes.Orders() }

// Changes returns the changes that the group makes.
func (r *Replies) Changes() *leases.Changes { return &r.changes }

// Unsure reports whether a NAK waits: another dhcp4d may have changed what it rests on.
func (r *Replies) Unsure() bool { return r.unsure }

// Reset forgets everything and keeps the memory.
func (r *Replies) Reset() {
	clear(r.answers)
	for _, k := range r.kept[:r.inUse] {
		k.More.set = nil
	}
	r.answers, r.unsure, r.inUse = r.answers[:0], false, 0
	r.buf, r.clients, r.queries, r.refusals = r.buf[:0], r.clients[:0], r.queries[:0], r.refusals[:0]
	r.changes.Reset()
}

// add adds the answer buf[start:], and returns buf with room for the signature behind the answer.
// The answer is signed when it leaves, so that sequence numbers are in the order in which the other
// side sees them.
func (r *Replies) add(buf []byte, start int, by way, kind dhcp4.MessageType, peer *ipc.Peer, on basis) []byte {
	end := len(buf)
	if peer != nil {
		buf = append(buf, signatureRoom[:]...)
	}
	r.answers = append(r.answers, waitingAnswer{data: buf[start:end:len(buf)], by: by, kind: kind, peer: peer, basis: on})
	return buf
}

var signatureRoom [ipc.SignatureLen]byte

// last returns the answer that was added last.
func (r *Replies) last() *waitingAnswer { return &r.answers[len(r.answers)-1] }

// refuse notes the client that the last answer, a NAK, refuses.
func (r *Replies) refuse(whom refusals.Refusal) {
	r.refusals = append(r.refusals, whom)
	r.last().refusal = &r.refusals[len(r.refusals)-1]
}

// keepClient returns a copy of the key of a client. It is valid until the group ends.
func (r *Replies) keepClient(key []byte) []byte {
	start := len(r.clients)
	r.clients = append(r.clients, key...)
	return r.clients[start:len(r.clients):len(r.clients)]
}

// keepQuery returns a copy of a query, and of what hooks have made of it. It is valid until the
// group ends.
func (r *Replies) keepQuery(q *exchange) *keptQuery {
	if r.inUse == len(r.kept) {
		r.kept = append(r.kept, new(keptQuery))
	}
	k := r.kept[r.inUse]
	r.inUse++
	start := len(r.queries)
	r.queries = append(r.queries, q.in.Data...)
	k.Packet = *q.in
	k.Packet.Data = r.queries[start:len(r.queries):len(r.queries)]
	k.More.copy(&q.progress)
	return k
}
