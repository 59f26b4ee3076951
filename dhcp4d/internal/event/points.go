package event

import "github.com/dhcp4o6/dhcp4o6/shared/hook"

// The points, under Kea's names, in the order in which a query meets them. One goroutine runs the
// filters. Two run the observers: the one that commits and the one that ends leases.
const (
	Buffer4Receive   = hook.FilterPoint[Query]("buffer4_receive")     // bytes of the DHCPv4 message
	Pkt4Receive      = hook.FilterPoint[Query]("pkt4_receive")        // parsed, and in the form of a request
	Subnet4Select    = hook.FilterPoint[Query]("subnet4_select")      // the subnet is known
	Lease4Select     = hook.FilterPoint[Query]("lease4_select")       // an address is about to be offered or given
	Lease4Renew      = hook.FilterPoint[Query]("lease4_renew")        // a lease is about to be extended
	Lease4Release    = hook.FilterPoint[Query]("lease4_release")      // a lease is about to be ended by its client
	Lease4Decline    = hook.FilterPoint[Query]("lease4_decline")      // an address is about to go into quarantine
	Pkt4Send         = hook.FilterPoint[Query]("pkt4_send")           // the reply is built
	Buffer4Send      = hook.FilterPoint[Query]("buffer4_send")        // bytes of the reply, about to leave or to wait for the disk
	Leases4Committed = hook.ObserverPoint[Lease]("leases4_committed") // a change of a lease is on stable storage
)

// Behind is the part of a hook that catches up at the start.
const Behind = hook.Part[*CatchUp]("behind")

// Filters are the points where hooks decide.
func Filters() []hook.FilterPoint[Query] {
	return []hook.FilterPoint[Query]{
		Buffer4Receive, Pkt4Receive, Subnet4Select,
		Lease4Select, Lease4Renew, Lease4Release, Lease4Decline, Pkt4Send, Buffer4Send,
	}
}

// Hooks is the hooks at each point. It never changes; a reload replaces it.
type Hooks struct {
	Buffer4Receive, Pkt4Receive, Subnet4Select              hook.List[Query]
	Lease4Select, Lease4Renew, Lease4Release, Lease4Decline hook.List[Query]
	Pkt4Send, Buffer4Send                                   hook.List[Query]
	Leases4Committed                                        hook.Observers[Lease]

	// What runs last at two points may park the query.
	LastAtPkt4Receive, LastAtSubnet4Select hook.Last[Query]
}

// Deciding reports whether a hook has a say in decisions about leases.
func (h *Hooks) Deciding() bool {
	return !h.Lease4Select.Empty() || !h.Lease4Renew.Empty() || !h.Lease4Release.Empty() || !h.Lease4Decline.Empty()
}

// Receiving reports whether a hook sees queries before they are decided.
func (h *Hooks) Receiving() bool {
	return !h.Buffer4Receive.Empty() || !h.Pkt4Receive.Empty() || !h.Subnet4Select.Empty() ||
		!h.LastAtPkt4Receive.Empty() || !h.LastAtSubnet4Select.Empty()
}

// NewHooks returns what the hooks of a set do at each point.
func NewHooks(s *hook.Set) *Hooks {
	return &Hooks{
		Buffer4Receive:   Buffer4Receive.List(s),
		Pkt4Receive:      Pkt4Receive.List(s),
		Subnet4Select:    Subnet4Select.List(s),
		Lease4Select:     Lease4Select.List(s),
		Lease4Renew:      Lease4Renew.List(s),
		Lease4Release:    Lease4Release.List(s),
		Lease4Decline:    Lease4Decline.List(s),
		Pkt4Send:         Pkt4Send.List(s),
		Buffer4Send:      Buffer4Send.List(s),
		Leases4Committed: Leases4Committed.Observers(s),

		LastAtPkt4Receive:   Pkt4Receive.Last(s),
		LastAtSubnet4Select: Subnet4Select.Last(s),
	}
}
