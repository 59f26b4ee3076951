package load

import (
	"math"
	"math/bits"
	"time"
)

// A Histogram counts durations. A doubling has 32 buckets, so a percentile is off by at most 3 %.
// The zero value is empty.
type Histogram struct {
	counts [64 * sub]uint64
	total  uint64
	max    time.Duration
}

const sub = 32

func bucket(d time.Duration) int {
	n := uint64(max(d, 1))
	if n < sub {
		return int(n)
	}
	shift := bits.Len64(n) - 6 // keeps 6 bits, the first of which is always 1
	return (shift+1)*sub + int(n>>shift) - sub
}

// upper returns the upper end of a bucket.
func upper(i int) time.Duration {
	if i < sub {
		return time.Duration(i)
	}
	shift := i/sub - 1
	return time.Duration((uint64(i%sub+sub)+1)<<shift - 1)
}

// Add counts one duration.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucket(d)]++
	h.total++
	h.max = max(h.max, d)
}

// Percentile returns the duration that p percent of the durations do not exceed.
func (h *Histogram) Percentile(p float64) time.Duration {
	rank := uint64(math.Ceil(float64(h.total) * p / 100))
	var n uint64
	for i, c := range h.counts {
		if n += c; n >= rank && c > 0 {
			return min(upper(i), h.max)
		}
	}
	return h.max
}
