package free

import "math/bits"

// bitmap is a set of offsets. A bit of level k+1 says that a word of level k is not empty. So the
// next member is found in one or two steps for each level, and a /8 has four levels.
type bitmap struct {
	n      uint32
	levels [][]uint64
}

// newBitmap makes a set with the members 0 to n-1.
func newBitmap(n uint32) bitmap {
	b := bitmap{n: n}
	for count := n; ; {
		words := (uint64(count) + 63) / 64
		level := make([]uint64, words)
		for i := range level {
			level[i] = ^uint64(0)
		}
		if rest := count % 64; rest != 0 {
			level[words-1] = 1<<rest - 1
		}
		b.levels = append(b.levels, level)
		if words <= 1 {
			return b
		}
		count = uint32(words)
	}
}

func (b *bitmap) has(i uint32) bool {
	return b.levels[0][i/64]>>(i%64)&1 != 0
}

func (b *bitmap) set(i uint32) {
	for _, level := range b.levels {
		level[i/64] |= 1 << (i % 64)
		i /= 64
	}
}

func (b *bitmap) clear(i uint32) {
	for _, level := range b.levels {
		level[i/64] &^= 1 << (i % 64)
		if level[i/64] != 0 {
			return
		}
		i /= 64
	}
}

// from returns the first member from i on. It climbs until a word has a member at or after i, and
// descends to its first.
func (b *bitmap) from(i uint32) (uint32, bool) {
	for k := 0; k < len(b.levels); k++ {
		word := i / 64
		if int(word) >= len(b.levels[k]) {
			return 0, false
		}
		if w := b.levels[k][word] >> (i % 64); w != 0 {
			i += uint32(bits.TrailingZeros64(w))
			for ; k > 0; k-- {
				i = i*64 + uint32(bits.TrailingZeros64(b.levels[k-1][i]))
			}
			return i, true
		}
		i = word + 1
	}
	return 0, false
}

// upTo returns the last member up to i, which counts too. It climbs and descends as from does.
func (b *bitmap) upTo(i uint32) (uint32, bool) {
	for k := 0; k < len(b.levels); k++ {
		word := i / 64
		if w := b.levels[k][word] << (63 - i%64); w != 0 {
			i -= uint32(bits.LeadingZeros64(w))
			for ; k > 0; k-- {
				i = i*64 + 63 - uint32(bits.LeadingZeros64(b.levels[k-1][i]))
			}
			return i, true
		}
		if word == 0 {
			return 0, false
		}
		i = word - 1
	}
	return 0, false
}
