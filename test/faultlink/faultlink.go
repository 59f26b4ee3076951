// Package faultlink joins two interfaces by a link with faults. It forwards Ethernet frames in both
// directions. A rule decides which UDP datagrams it drops, duplicates or reorders, and a rewrite
// may change frames. It counts what it did.
//
// It works in user space with packet sockets, not with the kernel's netem. So it needs no kernel
// module (many kernels for virtual machines come without sch_netem) and runs in an unprivileged
// user namespace. A rule can name the datagram to drop, such as the first OFFER, and a random rule
// does the same each time for the same seed.
//
// Rules see UDP over IPv6 only. Everything else always passes, neighbour discovery too, so that a
// fault hits what the test is about.
package faultlink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
)

// Side is one of the two interfaces.
type Side uint8

// The sides, in the order of Open's arguments.
const (
	Left Side = iota
	Right
)

// A Datagram came in at a side.
type Datagram struct {
	ethernet.Datagram
	From Side
}

// Action is what happens to a datagram.
type Action uint8

const (
	// Pass forwards it.
	Pass Action = iota
	// Drop discards it.
	Drop
	// Duplicate forwards it twice.
	Duplicate
	// Hold forwards it after the next datagram in the same direction, or after [Patience] if none
	// comes.
	Hold
)

// Patience is how long a datagram is held.
const Patience = 300 * time.Millisecond

// A Rule decides what happens to one datagram. It is called by one goroutine at a time, and must
// not keep the payload.
type Rule func(Datagram) Action

// A Rewrite may replace a frame that came in at a side. False leaves the frame unchanged. True
// without frames drops it.
type Rewrite func(from Side, frame []byte) (frames [][]byte, replaced bool)

// Counts says what the link did with UDP datagrams, in both directions together.
type Counts struct {
	Passed     uint64 // forwarded; duplicates count once
	Dropped    uint64
	Duplicated uint64
	Reordered  uint64 // held and overtaken
	Delayed    uint64 // held, but no other datagram came
}

// A Link forwards frames until it is closed.
type Link struct {
	ports [2]*os.File
	ended sync.WaitGroup

	mu      sync.Mutex // held while a frame is handled
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
func Open(left, right string) (*Link, error) {
	l := &Link{}
	for side, name := range []string{left, right} {
		port, err := ethernet.OpenPort(name, ethernet.Received)
		if err != nil {
			l.closePorts()
			return nil, fmt.Errorf("fault link: %w", err)
		}
		l.ports[side] = port
	}
	l.ended.Go(func() { l.forward(Left) })
	l.ended.Go(func() { l.forward(Right) })
	return l, nil
}

// SetRule replaces the rule and sets the counts to zero. Nil passes everything. A datagram that is
// held is forwarded at once.
func (l *Link) SetRule(r Rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(Left)
	l.release(Right)
	l.rule, l.counts = r, Counts{}
}

// SetRewrite rewrites frames before the rule sees them. Nil ends that.
func (l *Link) SetRewrite(r Rewrite) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rewrite = r
}

// Counts returns the counts since SetRule.
func (l *Link) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// Close ends the link. A held datagram is lost.
func (l *Link) Close() error {
	l.closePorts()
	l.ended.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.held {
		if l.held[i].timer != nil {
			l.held[i].timer.Stop()
		}
	}
	return nil
}

func (l *Link) closePorts() {
	for _, p := range l.ports {
		if p != nil {
			p.Close()
		}
	}
}

func (l *Link) forward(from Side) {
	frame := make([]byte, 1<<16)
	for {
		n, err := l.ports[from].Read(frame)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface is down or gone
		}
		l.mu.Lock()
		l.take(from, frame[:n])
		l.mu.Unlock()
	}
}

// take handles one frame. The caller holds mu.
func (l *Link) take(from Side, frame []byte) {
	if l.rewrite != nil {
		if frames, ok := l.rewrite(from, frame); ok {
			for _, f := range frames {
				l.decide(from, f)
			}
			return
		}
	}
	l.decide(from, frame)
}

func (l *Link) decide(from Side, frame []byte) {
	udp, ok := ethernet.Decode(frame)
	if !ok {
		l.send(from, frame)
		return
	}
	d := Datagram{udp, from}
	action := Pass
	if l.rule != nil {
		action = l.rule(d)
	}
	switch action {
	case Drop:
		l.counts.Dropped++
		return
	case Hold:
		if l.held[from].frame == nil {
			l.hold(from, frame)
			return
		}
	case Duplicate:
		l.counts.Duplicated++
		l.send(from, frame)
	}
	l.counts.Passed++
	l.send(from, frame)
	if l.held[from].frame != nil {
		l.counts.Reordered++
		l.release(from)
	}
}

// hold keeps a copy of the frame until it is overtaken or Patience has passed.
func (l *Link) hold(from Side, frame []byte) {
	kept := append([]byte(nil), frame...)
	l.held[from] = held{frame: kept, timer: time.AfterFunc(Patience, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if f := l.held[from].frame; len(f) > 0 && &f[0] == &kept[0] {
			l.counts.Delayed++
			l.release(from)
		}
	})}
}

// release sends the datagram that is held. The caller holds mu.
func (l *Link) release(from Side) {
	h := l.held[from]
	if h.frame == nil {
		return
	}
	h.timer.Stop()
	l.held[from] = held{}
	l.counts.Passed++
	l.send(from, h.frame)
}

// send sends a frame on the other side. If the queue is full, the frame is lost, as on a cable.
func (l *Link) send(from Side, frame []byte) {
	_, _ = l.ports[1-from].Write(frame)
}

// Random drops, duplicates and reorders with the given probabilities, which add up to at most 1.
// The same seed and datagrams give the same result.
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

// First applies an action to the first n datagrams that match, and lets all others pass.
func First(n int, a Action, match func(Datagram) bool) Rule {
	return func(d Datagram) Action {
		if n > 0 && match(d) {
			n--
			return a
		}
		return Pass
	}
}

// Rules applies the first rule whose action is not to pass the datagram.
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
