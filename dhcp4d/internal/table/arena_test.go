package table

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestArenaModel holds the arena to a map: no block changes while it is in use, and none is given
// out twice.
func TestArenaModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var a arena
	want := make(map[uint32][]byte)
	var refs []uint32
	for range 100_000 {
		grow := len(refs) < 5000 && random.IntN(100) < 55
		if len(refs) == 0 || grow {
			p := make([]byte, random.IntN(255))
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			ref := a.makeBytes(p)
			if _, twice := want[ref]; twice || ref == 0 {
				t.Fatalf("block %d is given out although it is in use", ref)
			}
			want[ref] = p
			refs = append(refs, ref)
			continue
		}
		i := random.IntN(len(refs))
		ref := refs[i]
		refs[i] = refs[len(refs)-1]
		refs = refs[:len(refs)-1]
		if got := a.bytes(ref); !bytes.Equal(got, want[ref]) {
			t.Fatalf("block %d holds %x, want %x", ref, got, want[ref])
		}
		a.drop(ref)
		delete(want, ref)
	}
	for ref, p := range want {
		if got := a.bytes(ref); !bytes.Equal(got, p) {
			t.Fatalf("block %d holds %x, want %x", ref, got, p)
		}
	}
}

// TestArenaIsBoundedWhateverTheLengths is clients whose identifiers change their length over and
// over: memory that one length has left must serve the next.
func TestArenaIsBoundedWhateverTheLengths(t *testing.T) {
	const blocks = 10_000
	var a arena
	var refs []uint32
	longest := int(sizes[len(sizes)-1]) * unit
	fill := func(octets int) {
		for range blocks {
			refs = append(refs, a.make(octets))
		}
		for _, ref := range refs {
			a.drop(ref)
		}
		refs = refs[:0]
	}
	fill(longest)
	most := len(a.chunks.All)
	for range 3 {
		for octets := 1; octets <= longest; octets += unit {
			fill(octets)
		}
	}
	if n := len(a.chunks.All); n > most {
		t.Errorf("%d chunks, want the %d that the longest blocks need", n, most)
	}
}
