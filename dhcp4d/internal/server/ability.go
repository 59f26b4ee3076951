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

// Ability knows whether this dhcp4d can acknowledge leases. It appears in answers to probes and in
// readiness. When it changes, every dhcp6d that has probed recently gets a notice. All exported
// fields are set before Run.
type Ability struct {
	Store interface{ State() commit.State }
	Ready Condition

	// Notices leave by Writer, authenticated by Signer. Both belong to Ability alone.
	Writer udp.Writer
	Signer *ipc.Signer

	// Peers are the dhcp6d that should probe. Log gets a line about each that does not. Both may be
	// nil.
	Peers *atomic.Pointer[Peers]
	Log   *slog.Logger

	mu       sync.Mutex
	stopping bool              // guarded by mu: this dhcp4d is stopping
	said     ipc.Ability       // guarded by mu: the ability in the last notices
	probers  map[prober]probed // guarded by mu
	missing  expected          // guarded by mu
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

// probed is the last probe of a prober.
type probed struct {
	at   time.Time
	mark uint32
}

const (
	// abilityEvery is how often Run checks the store.
	abilityEvery = 100 * time.Millisecond
	// proberGone is how long after its last probe a dhcp6d gets no more notices.
	proberGone = 5 * time.Second
	// maxProbers bounds how many dhcp6d get notices. There are more only if the configured peers
	// change all the time.
	maxProbers = 256
	// farewell is how long AnnounceStop waits, so that the notices arrive and queries that are on
	// their way are answered.
	farewell = 20 * time.Millisecond
)

// Now returns the ability. A nil Ability is always able.
func (a *Ability) Now() ipc.Ability {
	if a == nil {
		return ipc.Able
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.nowLocked()
}

func (a *Ability) nowLocked() ipc.Ability {
	if a.stopping {
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

// probed remembers the sender of a full probe, and returns the ability for the answer.
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

// AnnounceStop sends every dhcp6d the notice that this dhcp4d is stopping. When it returns, they
// send no more queries.
func (a *Ability) AnnounceStop() {
	a.mu.Lock()
	a.stopping = true
	a.mu.Unlock()
	if a.look(time.Now()) > 0 {
		time.Sleep(farewell)
	}
}

// look updates readiness, and sends a notice to every prober if the ability has changed. It returns
// how many notices it has sent.
func (a *Ability) look(now time.Time) (told int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ability := a.nowLocked()
	switch ability {
	case ipc.Able:
		a.Ready.Met()
	case ipc.Leaving: // the shutdown has ended readiness already
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
		// The mark is that of the last probe: a notice does not answer a new one.
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
