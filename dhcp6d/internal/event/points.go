package event

import "github.com/dhcp4o6/dhcp4o6/shared/hook"

// The points, under Kea's names, in the order in which a packet reaches them.
//
// As in Kea, pkt6_send is for our own answers, because at a DHCPV4-RESPONSE the query is not
// available. buffer6_send is for both kinds, so both loops call it.
const (
	Buffer6Receive = hook.FilterPoint[Datagram]("buffer6_receive") // bytes as received from the link
	Pkt6Receive    = hook.FilterPoint[Datagram]("pkt6_receive")    // parsed, valid, from a source that may send it
	Pkt6Send       = hook.FilterPoint[Datagram]("pkt6_send")       // our own answer, built
	Buffer6Send    = hook.FilterPoint[Datagram]("buffer6_send")    // bytes about to leave on the link
)

// Points are all points.
func Points() []hook.FilterPoint[Datagram] {
	return []hook.FilterPoint[Datagram]{Buffer6Receive, Pkt6Receive, Pkt6Send, Buffer6Send}
}

// Hooks is the hooks at each point. It never changes; a reload replaces it.
type Hooks struct {
	Buffer6Receive, Pkt6Receive, Pkt6Send, Buffer6Send hook.List[Datagram]
}

// NewHooks returns what the hooks of a set do at each point.
func NewHooks(s *hook.Set) Hooks {
	return Hooks{
		Buffer6Receive: Buffer6Receive.List(s),
		Pkt6Receive:    Pkt6Receive.List(s),
		Pkt6Send:       Pkt6Send.List(s),
		Buffer6Send:    Buffer6Send.List(s),
	}
}
