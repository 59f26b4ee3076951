package leases

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
)

// The fullest pools are those that sorting all of them by share would put first, and nothing is
// lost.
func TestFullest(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var all, kept []fullPool
		var f fullest
		var out, total use
		for i := range r.IntN(4 * Fullest) {
			size := r.Uint32N(40)
			p := fullPool{number: i, use: use{size: size, assigned: r.Uint32N(size + 1)}}
			all = append(all, p)
			total.size, total.assigned = total.size+p.size, total.assigned+p.assigned
			u := f.add(p)
			out.size, out.assigned = out.size+u.size, out.assigned+u.assigned
		}
		kept = slices.DeleteFunc(slices.Clone(all), func(p fullPool) bool { return p.size == 0 })
		share := func(p fullPool) float64 { return float64(p.assigned) / float64(p.size) }
		slices.SortStableFunc(kept, func(a, b fullPool) int { return cmp.Compare(share(b), share(a)) })
		if want := kept[:min(len(kept), Fullest)]; !slices.Equal(f, want) {
			t.Fatalf("got %v, want %v", f, want)
		}
		for _, p := range f {
			out.size, out.assigned = out.size+p.size, out.assigned+p.assigned
		}
		if out != total {
			t.Fatalf("%v of %v", out, total)
		}
	}
}
