package ipc

// windowSize is how many sequence numbers of a sender are remembered, because the network may
// deliver datagrams out of order.
const windowSize = 4096

// window remembers which sequence numbers were taken. The zero window has taken none; numbers
// begin at 1.
type window struct {
	highest uint64
	seen    [windowSize / 64]uint64
}

// take reports whether a number is new, and remembers it. A number that has left the window counts
// as taken.
func (w *window) take(number uint64) bool {
	if number > w.highest {
		// What enters the window was not seen.
		for n := min(number-w.highest, windowSize); n > 0; n-- {
			*w.word(number - n + 1) &^= 1 << ((number - n + 1) % 64)
		}
		w.highest = number
	} else if w.highest-number >= windowSize {
		return false
	}
	word, bit := w.word(number), uint64(1)<<(number%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

func (w *window) word(number uint64) *uint64 { return &w.seen[number%windowSize/64] }
