package hook

import "slices"

// Octets is the memory in which hooks at a buffer point change a datagram or message. It is used
// again for the next one. The zero value is ready.
type Octets struct {
	// Changed says that something was changed. Then the changed octets lie in this memory.
	Changed bool
	// Piece is memory for what is put in place of something.
	Piece []byte

	octets []byte
}

// Replace returns b with other octets in place of b[start:end], in the memory of o. By may be a
// part of b.
func (o *Octets) Replace(b []byte, start, end int, by []byte) []byte {
	if !o.Changed {
		o.octets, o.Changed = append(o.octets[:0], b...), true
	}
	if len(by) == end-start {
		copy(o.octets[start:], by)
	} else {
		o.octets = slices.Replace(o.octets, start, end, by...)
	}
	return o.octets
}

// Overwrite returns b with other octets from an offset on, in the memory of o. Where they would go
// past the end, b stays as it is.
func (o *Octets) Overwrite(b []byte, at int, by []byte) []byte {
	if len(by) == 0 || at > len(b)-len(by) {
		return b
	}
	return o.Replace(b, at, at+len(by), by)
}
