package trace

import (
	"slices"
	"sync"
)

// exchanges remember who follows the last queries, so that their answers are followed.
type exchanges struct {
	mu      sync.Mutex
	watches map[exchange]Watches // the slices never change
}

// exchange identifies a query and its answer.
type exchange struct {
	xid    uint32
	chaddr [16]byte
}

// exchangeOf is false if a packet does not tell its exchange.
func exchangeOf(traits *Traits) (e exchange, known bool) {
	e.xid = traits.Xid
	copy(e.chaddr[:], traits.HWAddr)
	return e, traits.HWAddr != nil
}

// of returns the watches that follow an exchange.
func (x *exchanges) of(e exchange) Watches {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.watches[e]
}

// remember notes that a watch follows an exchange, instead of the oldest one of that watch.
func (x *exchanges) remember(e exchange, w *Watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	now := x.watches[e]
	if w.closed || slices.Contains(now, w) {
		return
	}
	if x.watches == nil {
		x.watches = make(map[exchange]Watches)
	}
	x.watches[e] = append(slices.Clip(now), w)
	if len(w.queries) < remembered {
		w.queries = append(w.queries, e)
		return
	}
	x.forget(w.queries[w.next], w)
	w.queries[w.next] = e
	w.next = (w.next + 1) % remembered
}

// forget makes an answer no longer that of a watch. The lock is held.
func (x *exchanges) forget(e exchange, w *Watch) {
	left := slices.DeleteFunc(slices.Clone(x.watches[e]), func(o *Watch) bool { return o == w })
	if len(left) == 0 {
		delete(x.watches, e)
		return
	}
	x.watches[e] = left
}

// end forgets all that a watch follows.
func (x *exchanges) end(w *Watch) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w.closed = true
	for _, e := range w.queries {
		x.forget(e, w)
	}
	if len(x.watches) == 0 {
		x.watches = nil // a map keeps its size
	}
}
