package index

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// walk returns what a walk finds, of those with the hash itself.
func walk(x *Index, hashes map[uint32]uint32, h uint32) (found []uint32) {
	p := x.Walk(h)
	for ref := p.Next(); ref != 0; ref = p.Next() {
		if hashes[ref] == h {
			found = append(found, ref)
		}
	}
	slices.Sort(found)
	return found
}

func TestAWalkFindsWhatIsThere(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hashes := map[uint32]uint32{} // by reference
	x := New(func(ref uint32) uint32 { return hashes[ref] }, func(n int) []byte { return make([]byte, n) })
	ref := uint32(0)
	for range 20_000 {
		// Few values in two segments, so that walks meet others, and some hashes are equal.
		h := random.Uint32N(2)<<31 | random.Uint32N(600)<<10 | random.Uint32N(600)
		if len(hashes) > 0 && random.Uint32N(5) < 2 {
			for old := range maps.Keys(hashes) {
				x.Remove(hashes[old], old)
				delete(hashes, old)
				break
			}
		} else {
			ref++
			hashes[ref] = h
			x.Add(h, ref)
		}
	}
	want := map[uint32][]uint32{}
	for ref, h := range hashes {
		want[h] = append(want[h], ref)
	}
	for h, refs := range want {
		slices.Sort(refs)
		if got := walk(&x, hashes, h); !slices.Equal(got, refs) {
			t.Fatalf("hash %x: %v, want %v", h, got, refs)
		}
	}
	var none Walk
	if none.Touch() != 0 {
		t.Error("a walk that has not begun reads something")
	}
}
