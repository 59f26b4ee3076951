package server

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Ability knows whether this dhcp4d can acknowledge leases. Answers to probes
// say it, readiness shows it, and every dhcp6d that has probed of late is told
// when it changes. All exported fields are set before Run.
type Ability struct {
	Store interface{ State() commit.State }
	Ready Condition

	// Notices leave by Writer, authenticated by Signer; nobody else uses either.
	Writer udp.Writer
	Signer *ipc.Signer

	// Peers are those who should probe, and Log says when one does not. Both may be nil.
	Peers *atomic.Pointer[Peers]
	Log   *slog.Logger

	mu      sync.Mutex
	leaving bool              // guarded by mu
	said    ipc.Ability       // guarded by mu: what those who probe were told last
	probers map[prober]probed // guarded by mu
	missing expected          // guarded by mu
}

// Condition is a condition of readiness.
type Condition interface {
	Met()
	Unmet(reason string)
}

// prober is a dhcp6d that sends full probes.
type prober struct {
	way
	peer *ipc.Peer // nil: it knows no keys
}

// probed is the last probe of one.
type probed struct {
	at   time.Time
	mark uint32
}

const (
	// abilityEvery is how often the store is looked at.
	abilityEvery = 100 * time.Millisecond
	// proberGone is how long after its last probe a dhcp6d is told nothing
	// any more.
	proberGone = 5 * time.Second
	// maxProbers bounds those who are told. There are more addresses only if
	// the configured peers change all the time.
	maxProbers = 256
	// farewell is how long a notice may be on its way before dhcp6d sends no
	// more queries.
	farewell = 20 * time.Millisecond
)

// Now returns the ability. Without an Ability a server is always able.
func (a *Ability) Now() ipc.Ability {
	if a == nil {
		return ipc.Able
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nowLocked()
}

func (a *Ability) nowLocked() ipc.Ability {
	if a.leaving {
		return ipc.Leaving
	}
	switch a.Store.State() {
	case commit.Working:
		return ipc.Able
	case commit.Hanging:
		return ipc.StoreHangs
	}
	return ipc.StoreFailed
}

// probed remembers who sent a full probe, and returns the ability for the answer.
func (a *Ability) probed(by way, peer *ipc.Peer, p ipc.Probe, now time.Time) ipc.Ability {
	if a == nil {
		return ipc.Able
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.probers) >= maxProbers {
		clear(a.probers)
	}
	if a.probers == nil {
		a.probers = make(map[prober]probed)
	}
	a.probers[prober{by, peer}] = probed{now, p.Mark}
	return a.nowLocked()
}

// heard notes that a dhcp6d has probed.
func (a *Ability) heard(peer netip.AddrPort) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.missing.probed(peer)
}

// Run watches the store and the dhcp6d until ctx ends.
func (a *Ability) Run(ctx context.Context) error {
	tick := time.NewTicker(abilityEvery)
	defer tick.Stop()
	for {
		a.look(time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Leave tells every dhcp6d that this dhcp4d ends. When it returns they send no
// more queries.
func (a *Ability) Leave() {
	a.mu.Lock()
	a.leaving = true
	a.mu.Unlock()
	if a.look(time.Now()) > 0 {
		time.Sleep(farewell)
	}
}

// look makes readiness true, and tells a change to who wants to know it. It
// returns how many that were.
func (a *Ability) look(now time.Time) (told int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ability := a.nowLocked()
	switch ability {
	case ipc.Able:
		a.Ready.Met()
	case ipc.Leaving: // readiness says so already
	default:
		a.Ready.Unmet("dhcp4d " + ability.String() + ", no lease is acknowledged")
	}
	if a.Peers != nil {
		a.missing.look(a.Log, *a.Peers.Load(), now)
	}
	if ability == a.said {
		return 0
	}
	a.said = ability
	var notices []udp.Packet
	for who, last := range a.probers {
		if now.Sub(last.at) > proberGone {
			delete(a.probers, who)
			continue
		}
		// The mark is one that was taken: a notice says nothing new of it.
		frame := ipc.Probe{Full: true, Mark: last.mark}.AppendReply(nil, ability)
		frame, ok := a.Signer.Append(frame, 0, who.peer, now)
		if !ok {
			continue // it has no session with us
		}
		notices = append(notices, who.packet(frame))
	}
	if len(notices) > 0 {
		a.Writer.Write(notices)
	}
	return len(notices)
}
