package lease

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Kind is what the client is told.
type Kind uint8

// The kinds of answer.
const (
	Silent  Kind = iota // nothing: by rule, Decision.Why says which
	Dropped             // nothing: Decision.Drop is the reason to count
	Offer
	Ack
	Nak
	Inform // an ACK with parameters only (RFC 2131 section 4.3.5)
)

// Why explains silence and NAK, for debug logs.
type Why uint8

// The explanations.
const (
	NoWhy          Why = iota
	Done               // RELEASE or DECLINE was carried out
	OtherServer        // the client chose another server
	PeerServer         // the client chose a peer that is out
	NotHolder          // RELEASE or DECLINE by somebody else, or from elsewhere
	NotOurServerID     // RELEASE or DECLINE for another server
	NotOurPool         // an address of the subnet that another dhcp4d may serve
	NotKnown           // no record, and not authoritative
	WrongSubnet        // the address is not of this subnet
	NotAvailable       // bound, offered or reserved for somebody else, or in quarantine
	NotOffered         // another address is held for the client
	OtherAddress       // the client has another address, or another reservation
	Elsewhere          // a known client at another attachment point, which is refused
	NoNewClients       // draining, recovering, or the attachment point is full
)

var whys = [...]string{
	NoWhy: "", Done: "done", OtherServer: "client chose another server",
	PeerServer: "client chose a peer that is out", NotHolder: "not the holder or not from its attachment point",
	NotOurServerID: "names another server", NotOurPool: "address in no pool of ours",
	NotKnown: "no record and not authoritative", WrongSubnet: "address of another subnet",
	NotAvailable: "address not available", NotOffered: "not the address held for the client",
	OtherAddress: "client has another address", Elsewhere: "known client at another attachment point",
	NoNewClients: "no new client is taken",
}

// String is a few words for the log.
func (w Why) String() string {
	if int(w) < len(whys) {
		return whys[w]
	}
	return "?"
}

// Change is what the table must do, to Decision.Addr.
type Change uint8

// The changes. Bind, Extend, Release and Decline are written to disk.
const (
	None    Change = iota
	Hold           // keep it for the client until Expires, in memory
	Unhold         // forget the offer
	Bind           // give it to the client, whoever had it before
	Extend         // move the end of the client's binding to Expires
	Release        // end the client's binding
	Decline        // end it, and keep the address out of use until Expires
)

// Durable tells whether the change is written to disk.
func (c Change) Durable() bool { return c >= Bind }

// Event names what happened to a lease, for metrics, hooks and the lease log.
type Event uint8

// The events.
const (
	NoEvent       Event = iota
	Allocated           // a client got an address that was not its own
	Renewed             // a binding was extended
	Reused              // a client got the address back that it had before
	ReleasedEvent       // ended by its client, the operator, or the client's next binding
	DeclinedEvent       // put into quarantine
	ExpiredEvent        // a binding ended unused
	Reclaimed           // a quarantine ended
	EventCount    = iota
)

var events = [EventCount]string{"none", "allocated", "renewed", "reused", "released", "declined", "expired", "reclaimed"}

// String is the label of the event.
func (e Event) String() string {
	if int(e) < EventCount {
		return events[e]
	}
	return "?"
}

// Decision is the answer to a query and the change that goes with it. An Ack
// must not leave before the record of its change, or if there is no change
// the commit group After, is on stable storage; other answers wait for
// nothing.
type Decision struct {
	Kind   Kind
	Why    Why
	Drop   drop.Reason
	Change Change
	Event  Event
	Moved  bool // the client's lease follows it to another attachment point
	V6Only bool // the answer carries option 108

	Addr    netip.Addr // offered (0.0.0.0: none, RFC 8925), acknowledged or changed
	Time    uint32     // option 51, seconds
	Expires Time       // of the hold, binding or quarantine
	After   uint64
}
