package hooks

import (
	"fmt"
	"hash/maphash"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// rateLimitVariables are the variables of the hook ratelimit. A rate of 0 is no limit.
type rateLimitVariables struct {
	Rate       uint32 `env:"RATE" envDefault:"10" desc:"hook ratelimit: messages per second that are taken from one subscriber: behind a relay the relay, its port and the client's address, else the interface and the source address; of an address that is not link-local its /64 counts; 0 is no limit"`
	Burst      uint32 `env:"BURST" envDefault:"20" desc:"hook ratelimit: messages that one attachment point may send at once"`
	TotalRate  uint32 `env:"TOTAL_RATE" envDefault:"0" desc:"hook ratelimit: messages per second that are taken in all; 0 is no limit"`
	TotalBurst uint32 `env:"TOTAL_BURST" envDefault:"0" desc:"hook ratelimit: messages in all at once; 0 is what TOTAL_RATE gives in a tenth of a second"`
}

// maxRate is a message per microsecond.
const maxRate = 1_000_000

// Check implements hook.Checker.
func (v *rateLimitVariables) Check(c *hook.Check) {
	switch {
	case v.Rate > maxRate || v.TotalRate > maxRate:
		c.Mistake("RATE", fmt.Sprintf("more than %d per second is no limit", maxRate), "give 0 for none")
	case v.Rate > 0 && v.Burst == 0:
		c.Mistake("BURST", "0 lets nobody send anything", "give 2 or more: an exchange is two messages")
	case v.Rate == 0 && v.TotalRate == 0:
		c.Mistake("", "the hook ratelimit has nothing to do", "set "+c.Name("RATE")+" or "+c.Name("TOTAL_RATE"))
	}
}

// limiter is the hook that limits how many messages are accepted from one attachment point, and
// from all together. The loop that runs it owns its state.
//
// [attachment.Path.AppendSubscriber] says who has a limit: the attachment point, and if several
// hosts share it, the host.
//
// The memory is fixed: it holds the 65536 points that sent most. If more send at the same time, new
// ones replace some of them, and a replaced one starts with a full allowance. Then only the limit
// for all together holds.
type limiter struct {
	limit      rateLimitVariables
	seed       maphash.Seed
	point, all pace
	start      time.Time
	sets       [][limitWays]bucket
	total      bucket
	key        []byte
}

// newRateLimit returns the existing hook if the limits are the same, so that a reload gives
// subscribers no new allowance.
func newRateLimit(v *rateLimitVariables, _ hook.Env, before *limiter) (*limiter, error) {
	if before != nil && before.limit == *v {
		return before, nil
	}
	totalBurst := v.TotalBurst
	if totalBurst == 0 {
		totalBurst = v.TotalRate / 10
	}
	l := &limiter{
		limit: *v,
		seed:  maphash.MakeSeed(),
		point: limit(v.Rate, v.Burst),
		all:   limit(v.TotalRate, totalBurst),
		start: time.Now(),
	}
	if l.point.each > 0 {
		l.sets = make([][limitWays]bucket, limitSets)
	}
	return l, nil
}

// Attach implements hook.Hook.
func (l *limiter) Attach(a *hook.Attachment) { event.Pkt6Receive.Run(a, l.run) }

const (
	limitSets = 1 << 14
	limitWays = 4
)

// pace is a token bucket: the time between two tokens, and how far ahead of them a sender may be.
type pace struct{ each, ahead int64 } // nanoseconds

func limit(rate, burst uint32) pace {
	if rate == 0 {
		return pace{}
	}
	each := int64(time.Second) / int64(rate)
	return pace{each, each * int64(max(burst, 1)-1)}
}

// bucket is the state of one sender: the time at which its bucket would be full again, if no more
// tokens were taken. The zero bucket is full.
type bucket struct {
	point uint64
	full  int64
}

// has reports whether there is a token.
func (p pace) has(b *bucket, now int64) bool { return b.full-now <= p.ahead }

// take takes one token.
func (p pace) take(b *bucket, now int64) { b.full = max(b.full, now) + p.each }

func (l *limiter) run(e *event.Datagram) drop.Reason {
	now := int64(e.Received.Sub(l.start))
	var mine *bucket
	if l.sets != nil {
		l.key = e.Path.AppendSubscriber(l.key[:0])
		budget.Spend(len(l.key))
		if mine = l.find(maphash.Bytes(l.seed, l.key), now); !l.point.has(mine, now) {
			return drop.RateLimited
		}
	}
	if l.all.each > 0 {
		// This comes last, so that a sender over its own limit takes no tokens from the others.
		if !l.all.has(&l.total, now) {
			return drop.RateLimited
		}
		l.all.take(&l.total, now)
	}
	if mine != nil {
		l.point.take(mine, now)
	}
	return hook.Continue
}

// find returns the bucket of a point. A new point replaces the one that is full, or will be full
// first.
func (l *limiter) find(point uint64, now int64) *bucket {
	set := &l.sets[point%limitSets]
	oldest := &set[0]
	for i := range set {
		b := &set[i]
		if b.point == point {
			return b
		}
		if b.full < oldest.full {
			oldest = b
		}
	}
	*oldest = bucket{point: point, full: now}
	return oldest
}
