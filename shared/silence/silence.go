// Package silence is the closed list of rules by which a message that was understood gets no
// answer.
//
// It is to silence what package drop is to drops: a loop counts each silent message under one
// [Reason], which costs no allocation and holds nothing of the message.
//
// To add a reason: add the constant and its row in table, in the same order, and a datagram
// that meets it to TestAccount of its daemon's server package. docs/metrics.md follows by
// go test ./test/monitoring -run AsListed -update.
package silence

import "github.com/dhcp4o6/dhcp4o6/shared/drop"

// Reason is the rule by which a message gets no answer. The zero value, [None], means that it gets
// one.
type Reason uint8

// The reasons. The table below says what each means.
const (
	None Reason = iota

	// dhcp6d.
	NothingToOffer

	// dhcp4d.
	Released
	Declined
	NotHolder
	NamesOtherServer
	ChoseOtherServer
	NotOurPool
	NoRecord
	Recovering
	Elsewhere

	count
)

var table = drop.Table[Reason]{
	None: {Label: "none", Meaning: "answered"},
	NothingToOffer: {
		Label: "nothing_to_offer", Daemons: drop.DHCP6D,
		Meaning: "Information-request for options of which this dhcp6d offers none on the client's link",
	},
	Released: {
		Label: "released", Daemons: drop.DHCP4D,
		Meaning: "RELEASE, carried out",
	},
	Declined: {
		Label: "declined", Daemons: drop.DHCP4D,
		Meaning: "DECLINE, carried out: the address is in quarantine",
	},
	NotHolder: {
		Label: "not_holder", Daemons: drop.DHCP4D,
		Meaning: "RELEASE or DECLINE of an address that its sender does not hold there, not carried out",
	},
	NamesOtherServer: {
		Label: "names_other_server", Daemons: drop.DHCP4D,
		Meaning: "RELEASE or DECLINE that names another server, not carried out",
	},
	ChoseOtherServer: {
		Label: "chose_other_server", Daemons: drop.DHCP4D,
		Meaning: "REQUEST of a client that has chosen another server",
	},
	NotOurPool: {
		Label: "not_our_pool", Daemons: drop.DHCP4D,
		Meaning: "REQUEST for an address in no pool of this dhcp4d, which another server may serve",
	},
	NoRecord: {
		Label: "no_record", Daemons: drop.DHCP4D,
		Meaning: "REQUEST for an address of which this dhcp4d knows nothing for the client, " +
			"and it is not authoritative",
	},
	Recovering: {
		Label: "recovering", Daemons: drop.DHCP4D,
		Meaning: "REQUEST of a client that restarts with a lease which a dhcp4d in recovery does not know, " +
			"or takes for ended: the client may have it",
	},
	Elsewhere: {
		Label: "elsewhere", Daemons: drop.DHCP4D,
		Meaning: "the client identifier has its lease at another attachment point, and may not move it",
	},
}

// Label returns the name of the reason in metrics and logs.
func (r Reason) Label() string { return table.Label(r) }

// Meaning returns one line for a person.
func (r Reason) Meaning() string { return table.Meaning(r) }

// String returns the label.
func (r Reason) String() string { return r.Label() }

// Of returns the reasons that a daemon can meet, in table order.
func Of(d drop.Daemon) []Reason { return table.Of(d) }

// Count is the number of reasons with [None]: the length of an array indexed by Reason.
const Count = int(count)
