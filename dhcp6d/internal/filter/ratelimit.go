package filter

import (
	"hash/maphash"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// RateLimitName is the configured name of the rate limiting hook.
const RateLimitName = "ratelimit"

// RateLimit says how many messages are taken from one attachment point, and
// from all together. A rate of 0 is no limit.
type RateLimit struct {
	Rate, Burst           int // of one point: per second, and at once
	TotalRate, TotalBurst int // of all
}

// Filter makes the hook for the point pkt6_receive.
//
// The attachment point of a relayed message is the client's address and
// Interface-Id, as the relay nearest to the client has put them down; of
// another it is the source address on its interface, and of a source that is
// not link-local the /64 that it lies in, of which a host may use as many
// addresses as it likes.
//
// Memory is fixed: 65536 points, those that sent most. Of more than that at a
// time some are taken for newcomers; the limit for all bounds what they can do.
func (r RateLimit) Filter() hook.Filter[Event] {
	l := &limiter{
		seed:  maphash.MakeSeed(),
		point: limit(r.Rate, r.Burst),
		all:   limit(r.TotalRate, r.TotalBurst),
		start: time.Now(),
	}
	if l.point.each > 0 {
		l.sets = make([][limitWays]bucket, limitSets)
	}
	return hook.Filter[Event]{Name: RateLimitName, Run: l.run}
}

// Running keeps the hook from one configuration to the next: what subscribers
// have used up of a limit is not given back by a reload that leaves the limit as
// it is.
type Running struct {
	limit RateLimit
	hook  hook.Filter[Event]
}

// Filter is the hook for a limit, the one there is if it has the same.
func (r *Running) Filter(limit RateLimit) hook.Filter[Event] {
	if r.hook.Run == nil || r.limit != limit {
		r.limit, r.hook = limit, limit.Filter()
	}
	return r.hook
}

const (
	limitSets = 1 << 14
	limitWays = 4
)

// pace is a token bucket: a token each so often, and how far ahead of them one
// may be.
type pace struct{ each, ahead int64 } // nanoseconds

func limit(rate, burst int) pace {
	if rate == 0 {
		return pace{}
	}
	each := int64(time.Second) / int64(rate)
	return pace{each, each * int64(max(burst, 1)-1)}
}

// bucket is the state of one: when it would be full again, were nothing taken
// from it any more. The zero bucket is full.
type bucket struct {
	point uint64
	full  int64
}

// has tells whether there is a token.
func (p pace) has(b *bucket, now int64) bool { return b.full-now <= p.ahead }

// take takes one.
func (p pace) take(b *bucket, now int64) { b.full = max(b.full, now) + p.each }

// limiter is the state of the hook. The loop that runs the hook owns it.
type limiter struct {
	seed       maphash.Seed
	point, all pace
	start      time.Time
	sets       [][limitWays]bucket
	total      bucket
	key        []byte
}

func (l *limiter) run(e *Event) drop.Reason {
	now := int64(e.Received.Sub(l.start))
	var mine *bucket
	if l.sets != nil {
		l.key = appendPoint(l.key[:0], e)
		if mine = l.find(maphash.Bytes(l.seed, l.key), now); !l.point.has(mine, now) {
			return drop.RateLimited
		}
	}
	if l.all.each > 0 {
		// Asked last, so that who is over his own limit takes nothing from
		// the others.
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

// find returns the bucket of a point. A point that is new takes the place of
// the one that is full or will be so first.
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

// appendPoint appends what names the attachment point.
func appendPoint(dst []byte, e *Event) []byte {
	source, p := e.Peer.Addr(), e.Packet
	if n := p.Relays(); n > 0 {
		return appendRelay(dst, p.Relay(n-1))
	}
	a := source.As16()
	dst = append(dst, byte(e.Index>>24), byte(e.Index>>16), byte(e.Index>>8), byte(e.Index))
	if source.IsLinkLocalUnicast() {
		return append(dst, a[:]...)
	}
	return append(dst, a[:8]...)
}

func appendRelay(dst []byte, r dhcp6.Relay) []byte {
	peer := r.PeerAddress().As16()
	return append(append(dst, peer[:]...), r.InterfaceID()...)
}
