package server

import (
	"bytes"
	"sync"
)

// Again holds the queries that are to be decided once more. Their answers did not leave, because
// another dhcp4d has changed the lease that they rest on. The book knows by then who has the lease.
// So the client gets at once what a retransmission would get, which is mostly a NAK.
//
// The committer puts queries in. The packet loop takes them into its next batch, with what the
// hooks up to subnet4_select have made of them. After mostTimes further decisions a query is
// dropped.
type Again struct {
	queue chan *keptQuery
	wake  func()

	mu    sync.Mutex
	ended bool // guarded by mu; nobody will take what is put in
}

const (
	// mostAgain bounds the queries that wait to be decided again. Further ones are dropped.
	mostAgain = 256
	// mostTimes is how often a query is decided again. While few addresses are free, their leases
	// may change between two decisions. Clients wait for seconds before they repeat a message.
	mostTimes = 3
)

// NewAgain returns an Again without queries. Wake wakes the packet loop.
func NewAgain(wake func()) *Again { return &Again{queue: make(chan *keptQuery, mostAgain), wake: wake} }

// put puts a copy of a query in. It returns false if there is no room, if the packet loop has
// ended, or if a is nil.
func (a *Again) put(q *keptQuery) bool {
	if a == nil {
		return false
	}
	c := &keptQuery{Packet: q.Packet}
	c.Packet.Data = bytes.Clone(q.Packet.Data)
	c.More.copy(&q.More)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return false
	}
	select {
	case a.queue <- c:
	default:
		return false
	}
	if a.wake != nil {
		a.wake()
	}
	return true
}

// end refuses all later queries.
func (a *Again) end() {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
}

// take takes a query out, nil if there is none.
func (a *Again) take() *keptQuery {
	if a == nil {
		return nil
	}
	select {
	case q := <-a.queue:
		return q
	default:
		return nil
	}
}

// waits reports whether queries are to be decided again.
func (a *Again) waits() bool { return a != nil && len(a.queue) > 0 }
