package commit

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Replies are the replies that wait for the records of a group.
type Replies interface {
	Len() int // how many wait
	Reset()   // forgets them and keeps the memory
	// Unsure reports whether one of them rests on what other dhcp4d may have changed meanwhile.
	Unsure() bool
}

// Group is a commit group: records that one synced write makes durable, and the replies that wait
// for them.
type Group[R Replies] struct {
	Records lease.Batch
	Replies R
	// Seq numbers the groups from 1.
	Seq uint64
	// Refused are the records that the store has not taken, because another client holds their
	// identity. It is valid in the calls of Config.Refused and Config.Done.
	Refused []store.Refusal
	// If the replies of the group are unsure, Foreign has the leases that other dhcp4d have changed
	// since the group began to gather. Blind means that these could not be read. Both are valid in
	// Config.Done.
	Foreign lease.Batch
	Blind   bool
}

func (g *Group[R]) empty() bool { return len(g.Records.Records) == 0 && g.Replies.Len() == 0 }

func (g *Group[R]) reset() {
	g.Records.Reset()
	g.Replies.Reset()
	g.Refused, g.Blind = nil, false
	g.Foreign.Reset()
}
