package server

import (
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Again has the queries that are to be decided once more. Their answers did not leave, because
// another dhcp4d has changed the lease that they rest on. The book knows by then who has the lease.
// So the client gets at once what a retransmission would get, which is mostly a NAK. The committer
// puts queries in, and the packet loop takes them into its next batch, as if it had just read them.
// If that answer cannot leave either, it is dropped.
type Again struct {
	queue chan *place
	wake  func()
}

// mostAgain bounds the queries that wait to be decided again. What is more is dropped.
const mostAgain = 256

// NewAgain returns an Again without queries. Wake wakes the packet loop.
func NewAgain(wake func()) *Again { return &Again{make(chan *place, mostAgain), wake} }

// put puts a copy of a query in. It returns false if there is no room, or if a is nil.
func (a *Again) put(in udp.Packet) bool {
	if a == nil {
		return false
	}
	in.Data = append([]byte(nil), in.Data...)
	select {
	case a.queue <- &place{Packet: in, More: parkedQuery{again: true}}:
	default:
		return false
	}
	if a.wake != nil {
		a.wake()
	}
	return true
}

// take takes a query out, nil if there is none.
func (a *Again) take() *place {
	if a == nil {
		return nil
	}
	select {
	case p := <-a.queue:
		return p
	default:
		return nil
	}
}
