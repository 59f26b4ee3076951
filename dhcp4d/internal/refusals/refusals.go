// Package refusals remembers which clients were refused lately, for people who look: the last ones
// with their client, and how many each subnet has had within minutes. Its memory is bounded. Only
// the first refusal of a subnet allocates.
package refusals

import (
	"net/netip"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	kept    = 256 // refusals that are told with their client
	minutes = 15  // for which the refusals of a subnet are counted
	subnets = 1 << 16
)

// Window is how long refusals of a subnet count.
const Window = minutes * time.Minute

// Refusal is one query that was refused.
type Refusal struct {
	Time   int64  // Unix time
	Subnet uint32 // 0: none
	Link   netip.Addr
	Source netip.Addr
	Why    drop.Reason
	Nak    lease.Why // if Why is none

	hwAddr [16]byte
	hwLen  uint8
}

// SetHWAddr copies the hardware address of the client.
func (r *Refusal) SetHWAddr(a []byte) { r.hwLen = uint8(copy(r.hwAddr[:], a)) }

// HWAddr is the hardware address of the client.
func (r *Refusal) HWAddr() []byte { return r.hwAddr[:r.hwLen] }

// counter counts by minute.
type counter struct {
	minute int64 // of the last one
	counts [minutes]uint32
}

// advance moves the window to a minute, and forgets older counts.
func (c *counter) advance(minute int64) {
	if minute-c.minute >= minutes {
		clear(c.counts[:])
	} else {
		for m := c.minute + 1; m <= minute; m++ {
			c.counts[m%minutes] = 0
		}
	}
	c.minute = max(c.minute, minute)
}

// Recent is the refusals of a dhcp4d. Any goroutine may call its methods.
type Recent struct {
	mu       sync.Mutex
	last     [kept]Refusal
	total    uint64 // refusals so far
	bySubnet map[uint32]*counter
}

// Add adds a refusal.
func (r *Recent) Add(one *Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last[r.total%kept] = *one
	r.total++
	c := r.bySubnet[one.Subnet]
	if c == nil {
		if len(r.bySubnet) >= subnets {
			return // more subnets than any configuration that is reloaded has had
		}
		if r.bySubnet == nil {
			r.bySubnet = map[uint32]*counter{}
		}
		c = &counter{minute: one.Time / 60}
		r.bySubnet[one.Subnet] = c
	}
	c.advance(one.Time / 60)
	c.counts[one.Time/60%minutes]++
}

// Last returns the last refusals, the newest first, at most n.
func (r *Recent) Last(n int) []Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]Refusal, 0, n)
	for i := r.total; i > 0 && r.total-i < kept && len(all) < n; i-- {
		all = append(all, r.last[(i-1)%kept])
	}
	return all
}

// BySubnet returns how many refusals each subnet has had within the window.
func (r *Recent) BySubnet(now time.Time) map[uint32]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[uint32]uint64, len(r.bySubnet))
	for id, c := range r.bySubnet {
		c.advance(now.Unix() / 60)
		for _, n := range c.counts {
			if n > 0 {
				all[id] += uint64(n)
			}
		}
	}
	return all
}
