package lease

import (
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
)

// Kind is the kind of answer to the client.
type Kind uint8

// The kinds of answer.
const (
	Silent  Kind = iota // no answer, by the rule in Decision.Silence
	Dropped             // no answer, for the reason in Decision.Drop
	Offer
	Ack
	Nak
	Inform // an ACK with options only (RFC 2131 section 4.3.5)
)

// Why explains a NAK to the client (option 56).
type Why uint8

// The explanations.
const (
	NoWhy            Why = iota
	PeerServer           // the client chose a peer that is down
	NoRecord             // no record, and authoritative
	WrongSubnet          // the address is not of this subnet
	NotAvailable         // bound to, offered to or reserved for another client, or in quarantine
	NotOffered           // another address is held for the client
	OtherAddress         // the client has another address, or another reservation
	NoNewClients         // draining, recovering, or the attachment point is full
	NothingRequested     // a REQUEST that names neither an address nor a server
	Refused              // its class, reservation or pool turns the client away
)

var whys = [...]string{
	NoWhy: "", PeerServer: "client chose a peer that is out", NoRecord: "no record of this client", WrongSubnet: "address of another subnet",
	NotAvailable: "address not available", NotOffered: "not the address held for the client", OtherAddress: "client has another address",
	NoNewClients: "no new client is taken", NothingRequested: "names neither an address nor a server",
	Refused: "clients of this kind are not served",
}

// String returns a few words for the log.
func (w Why) String() string {
	if int(w) < len(whys) {
		return whys[w]
	}
	return "?"
}

// Change is what the table must do with Decision.Addr.
type Change uint8

// The changes. Bind, Extend, Release and Decline are written to disk.
const (
	None    Change = iota
	Hold           // keep it for the client until Expires, in memory only
	Unhold         // forget the offer
	Bind           // give it to the client, even if another one had it before
	Extend         // move the end of the client's binding to Expires
	Release        // end the client's binding
	Decline        // end the binding, and keep the address out of use until Expires
)

// Durable reports whether the change is written to disk.
func (c Change) Durable() bool { return c >= Bind }

// Event names what happened to a lease, for metrics, hooks and the lease log.
type Event uint8

// The events.
const (
	NoEvent        Event = iota
	EventAllocated       // a client got an address that was not its own
	EventRenewed         // a binding was extended
	EventReused          // a client got the address that it had before
	EventReleased        // a binding was ended by its client, by the operator, or by the client's next binding
	EventDeclined        // an address was put into quarantine
	EventExpired         // a binding ended by time
	EventReclaimed       // a quarantine ended
	EventCount     = iota
)

var events = [EventCount]string{"none", "allocated", "renewed", "reused", "released", "declined", "expired",
	"reclaimed"}

// String returns the label of the event.
func (e Event) String() string {
	if int(e) < EventCount {
		return events[e]
	}
	return "?"
}

// Decision is the answer to a query and the change that goes with it. An Ack must not leave before
// the record of its change is on stable storage or, if there is no change, the commit group After.
// Other answers need not wait.
type Decision struct {
	ID // offered (0.0.0.0: none, RFC 8925), acknowledged or changed

	Kind    Kind
	Why     Why            // of a Nak
	Drop    drop.Reason    // of Dropped
	Silence silence.Reason // of Silent
	Change  Change
	Event   Event
	// TakenOver: the address was bound to another client that has the same reservation.
	TakenOver bool

	Moved  bool // the lease follows its client to another attachment point
	Apart  bool // leases of the identifier at other attachment points stay
	V6Only bool // the answer carries option 108

	Time    uint32 // option 51, seconds
	Expires Time   // of the hold, binding or quarantine
	After   uint64
}
