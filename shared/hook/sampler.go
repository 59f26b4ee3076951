package hook

import (
	"sync/atomic"
	"time"
)

// Sampler lets a number of events a second through, for a hook that writes something about each.
// Several goroutines may use it. Where they meet at the turn of a second, it may let a few more
// through.
type Sampler struct {
	most   uint32 // a second; 0: all
	second atomic.Int64
	taken  atomic.Uint32
	left   atomic.Uint64
}

// NewSampler returns a sampler that lets most events a second through, all if most is 0.
func NewSampler(most uint32) *Sampler { return &Sampler{most: most} }

// Take reports whether the event at the time now is let through. If so, left is how many events
// since the last one that was let through were not.
func (s *Sampler) Take(now time.Time) (left uint64, ok bool) {
	if s.most == 0 {
		return 0, true
	}
	if second := now.Unix(); s.second.Swap(second) != second {
		s.taken.Store(0)
	}
	if s.taken.Add(1) > s.most {
		s.left.Add(1)
		return 0, false
	}
	return s.left.Swap(0), true
}
