package pages

import (
	"testing"
	"unsafe"
)

func TestChunksNeverMoveAndAreZeroAtFirst(t *testing.T) {
	var c Chunks[[1 << 16]byte]
	var at []*[1 << 16]byte
	for i := range 300 { // 19 MB: some rows of chunks have huge pages within
		c.Add()
		last := c.All[len(c.All)-1]
		if last[0] != 0 || last[len(last)-1] != 0 {
			t.Fatalf("chunk %d is not zero", i)
		}
		last[0], last[len(last)-1] = byte(i), byte(i)+1
		at = append(at, last)
	}
	for i, p := range at {
		if c.All[i] != p || p[0] != byte(i) || p[len(p)-1] != byte(i)+1 {
			t.Errorf("chunk %d has moved, or shares memory with another", i)
		}
	}
}

func TestMakeIsASliceOfZeros(t *testing.T) {
	type slot struct{ a, b uint32 }
	for _, n := range []int{0, 1, 1000, huge, 3*huge/int(unsafe.Sizeof(slot{})) + 1} {
		s := Make[slot](n)
		if len(s) != n {
			t.Fatalf("%d slots, want %d", len(s), n)
		}
		for i := range s {
			if s[i] != (slot{}) {
				t.Fatalf("slot %d of %d is not zero", i, n)
			}
		}
	}
}
