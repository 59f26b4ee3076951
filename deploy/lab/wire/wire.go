// Package wire is a cable with faults: it forwards Ethernet frames between two
// interfaces and drops, duplicates, reorders or rewrites UDP datagrams on the
// way, by a rule, and counts what it did.
//
// It is done in user space with packet sockets instead of the kernel's netem
// because it needs no kernel module (many kernels for virtual machines come
// without sch_netem), works in an unprivileged user namespace, can name the
// datagram that is to be lost ("the first OFFER"), and with a seed does the
// same each time.
//
// Rules see UDP over IPv6 only. Neighbour discovery and everything else always
// passes, so a fault hits what the test is about.
package wire

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// Side is one of the two interfaces.
type Side uint8

// The sides, in the order in which Open names them.
const (
	Left Side = iota
	Right
)

// Action is what happens to a datagram.
type Action uint8

const (
	// Pass forwards it.
	Pass Action = iota
	// Drop loses it.
	Drop
	// Duplicate forwards it twice.
	Duplicate
	// Hold forwards it after the next datagram of the same direction, or
	// alone when none comes within [Patience].
	Hold
)

// Patience is how long a held datagram waits to be overtaken.
const Patience = 300 * time.Millisecond

// A Rule decides on one datagram. It is called by one goroutine at a time and
// must not keep the payload.
type Rule func(Datagram) Action

// A Rewrite may replace a frame that came in at a side by others; false leaves
// it as it is. With true and no frames it is swallowed.
type Rewrite func(from Side, frame []byte) (frames [][]byte, replaced bool)

// Counts says what the wire did to UDP datagrams, both directions together.
type Counts struct {
	Passed     uint64 // forwarded, duplicates counted once
	Dropped    uint64
	Duplicated uint64
	Reordered  uint64 // held and really overtaken
	Delayed    uint64 // held, but nothing came to overtake
}

// A Wire forwards until it is closed.
type Wire struct {
	ports [2]*os.File
	ended sync.WaitGroup

	mu      sync.Mutex // held while a frame is decided on and sent
	rule    Rule
	rewrite Rewrite
	counts  Counts
	held    [2]held
}

// held is the datagram that came in at a side and waits.
type held struct {
	frame []byte
	timer *time.Timer
}

// Open joins two interfaces of the current network namespace.
func Open(left, right string) (*Wire, error) {
	w := &Wire{}
	for side, name := range []string{left, right} {
		port, err := OpenPort(name, Received)
		if err != nil {
			w.closePorts()
			return nil, fmt.Errorf("wire: %w", err)
		}
		w.ports[side] = port
	}
	w.ended.Go(func() { w.forward(Left) })
	w.ended.Go(func() { w.forward(Right) })
	return w, nil
}

// SetRule replaces the rule and clears the counts; nil passes everything. A
// datagram held by the former rule goes on at once.
func (w *Wire) SetRule(r Rule) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(Left)
	w.release(Right)
	w.rule, w.counts = r, Counts{}
}

// SetRewrite makes the wire rewrite frames before the rule sees them; nil
// stops that.
func (w *Wire) SetRewrite(r Rewrite) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rewrite = r
}

// Counts returns what was done since the rule was set.
func (w *Wire) Counts() Counts {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.counts
}

// Close ends the wire; what is held is lost.
func (w *Wire) Close() error {
	w.closePorts()
	w.ended.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.held {
		if w.held[i].timer != nil {
			w.held[i].timer.Stop()
		}
	}
	return nil
}

func (w *Wire) closePorts() {
	for _, p := range w.ports {
		if p != nil {
			p.Close()
		}
	}
}

func (w *Wire) forward(from Side) {
	frame := make([]byte, 1<<16)
	for {
		n, err := w.ports[from].Read(frame)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface went down or is gone: told once, then silence
		}
		w.mu.Lock()
		w.take(from, frame[:n])
		w.mu.Unlock()
	}
}

// take decides on one frame. The caller holds mu.
func (w *Wire) take(from Side, frame []byte) {
	if w.rewrite != nil {
		if frames, ok := w.rewrite(from, frame); ok {
			for _, f := range frames {
				w.decide(from, f)
			}
			return
		}
	}
	w.decide(from, frame)
}

func (w *Wire) decide(from Side, frame []byte) {
	d, ok := Decode(frame)
	if !ok {
		w.send(from, frame)
		return
	}
	d.From = from
	action := Pass
	if w.rule != nil {
		action = w.rule(d)
	}
	switch action {
	case Drop:
		w.counts.Dropped++
		return
	case Hold:
		if w.held[from].frame == nil {
			w.hold(from, frame)
			return
		}
	case Duplicate:
		w.counts.Duplicated++
		w.send(from, frame)
	}
	w.counts.Passed++
	w.send(from, frame)
	if w.held[from].frame != nil {
		w.counts.Reordered++
		w.release(from)
	}
}

// hold keeps a copy of the frame until it is overtaken or time is up.
func (w *Wire) hold(from Side, frame []byte) {
	kept := append([]byte(nil), frame...)
	w.held[from] = held{frame: kept, timer: time.AfterFunc(Patience, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if f := w.held[from].frame; len(f) > 0 && &f[0] == &kept[0] {
			w.counts.Delayed++
			w.release(from)
		}
	})}
}

// release sends what is held. The caller holds mu.
func (w *Wire) release(from Side) {
	h := w.held[from]
	if h.frame == nil {
		return
	}
	h.timer.Stop()
	w.held[from] = held{}
	w.counts.Passed++
	w.send(from, h.frame)
}

// send puts a frame on the other side. A full queue loses it, as on a cable.
func (w *Wire) send(from Side, frame []byte) {
	_, _ = w.ports[1-from].Write(frame)
}

// Random drops, duplicates and reorders with the probabilities given, which
// add up to at most 1, the same way for the same seed and datagrams.
func Random(seed uint64, drop, duplicate, reorder float64) Rule {
	r := rand.New(rand.NewPCG(seed, seed))
	return func(Datagram) Action {
		switch x := r.Float64(); {
		case x < drop:
			return Drop
		case x < drop+duplicate:
			return Duplicate
		case x < drop+duplicate+reorder:
			return Hold
		}
		return Pass
	}
}

// First does something to the first n datagrams that match, and lets all
// others pass.
func First(n int, a Action, match func(Datagram) bool) Rule {
	return func(d Datagram) Action {
		if n > 0 && match(d) {
			n--
			return a
		}
		return Pass
	}
}

// Rules applies the first rule that does not pass a datagram.
func Rules(rules ...Rule) Rule {
	return func(d Datagram) Action {
		for _, r := range rules {
			if a := r(d); a != Pass {
				return a
			}
		}
		return Pass
	}
}
