package server

import (
	"bytes"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// basis is what an answer rests on. An ACK rests on the record of its lease. A NAK rests on what
// was known of the address that the client has named, and of the client's leases.
type basis struct {
	kind   basisKind
	id     lease.ID // of the lease or, for a NAK, of the address that the client has named
	record int      // of ownRecord: its index in the group
	client []byte   // of knowledge: the client key
	knows  uint64   // of knowledge: the last group that was durable at the decision
}

type basisKind uint8

const (
	ownRecord    basisKind = iota // the query has made the record
	sharedRecord                  // an earlier query of the group has made it
	olderRecord                   // it is in the group before
	knowledge                     // there is no record: the answer is a NAK
)

// committedGroup is what has become of a commit group and of the leases that its answers rest on.
type committedGroup struct {
	seq     uint64 // of the group, which is durable
	records []lease.Binding
	refused []store.Refusal // of the records
	before  []lease.ID      // whose records were refused in the group before
	changed []lease.Binding // by other dhcp4d
	blind   bool            // changed could not be read
}

// lost returns drop.None if the basis still holds. Otherwise it returns why the answer must not
// leave: its record was refused, or another dhcp4d may have changed what it rests on. A NAK about
// the address of a refused record must not leave either, because its client may be the holder.
func (b *basis) lost(g *committedGroup) drop.Reason {
	refused := false
	switch b.kind {
	case ownRecord:
		refused = leases.IsRefused(g.refused, b.record)
	case sharedRecord:
		refused = g.hasRefused(b.id)
	case olderRecord:
		refused = slices.Contains(g.before, b.id)
	case knowledge:
		// A decision after the group before was durable knew what was refused in it.
		refused = g.hasRefused(b.id) || (b.knows < g.seq-1 && slices.Contains(g.before, b.id))
	}
	switch {
	case refused:
		return drop.LeaseRefused
	case b.kind == knowledge && (g.blind || g.hasChanged(b)):
		return drop.LeaseChanged
	}
	return drop.None
}

// hasRefused reports whether a record of a lease was refused.
func (g *committedGroup) hasRefused(id lease.ID) bool {
	return slices.ContainsFunc(g.refused, func(r store.Refusal) bool { return g.records[r.Record].ID == id })
}

// hasChanged reports whether another dhcp4d has changed what a NAK rests on.
func (g *committedGroup) hasChanged(b *basis) bool {
	return slices.ContainsFunc(g.changed, func(c lease.Binding) bool {
		return c.ID == b.id || bytes.Equal(c.Client, b.client)
	})
}
