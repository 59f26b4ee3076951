// Package silence is the closed list of rules by which a message that was understood gets no
// answer.
//
// It is to silence what package drop is to drops: a loop counts each silent message under one
// [Reason], which costs no allocation and holds nothing of the message.
//
// To add a reason: add the constant and its row in table, in the same place of both, and a datagram
// that meets it to TestAccount of its daemon's server package. docs/metrics.md follows by
// go test ./test/monitoring -run AsListed -update.
package silence

import (
	"fmt"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

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

var table = [count]struct {
	label   string
	daemon  drop.Daemon
	meaning string
}{
	None:             {"none", 0, "answered"},
	NothingToOffer:   {"nothing_to_offer", drop.DHCP6D, "Information-request for options of which this dhcp6d offers none on the client's link"},
	Released:         {"released", drop.DHCP4D, "RELEASE, carried out"},
	Declined:         {"declined", drop.DHCP4D, "DECLINE, carried out: the address is in quarantine"},
	NotHolder:        {"not_holder", drop.DHCP4D, "RELEASE or DECLINE of an address that its sender does not hold there, not carried out"},
	NamesOtherServer: {"names_other_server", drop.DHCP4D, "RELEASE or DECLINE that names another server, not carried out"},
	ChoseOtherServer: {"chose_other_server", drop.DHCP4D, "REQUEST of a client that has chosen another server"},
	NotOurPool:       {"not_our_pool", drop.DHCP4D, "REQUEST for an address in no pool of this dhcp4d, which another server may serve"},
	NoRecord:         {"no_record", drop.DHCP4D, "REQUEST for an address of which this dhcp4d knows nothing for the client, and it is not authoritative"},
	Recovering:       {"recovering", drop.DHCP4D, "the same of an authoritative dhcp4d that was started with a backup: the client may have such a lease"},
	Elsewhere:        {"elsewhere", drop.DHCP4D, "the client identifier has its lease at another attachment point, and may not move it"},
}

// Label returns the name of the reason in metrics and logs.
func (r Reason) Label() string {
	if r >= count {
		return fmt.Sprintf("reason_%d", uint8(r))
	}
	return table[r].label
}

// Meaning returns one line for a person.
func (r Reason) Meaning() string {
	if r >= count {
		return "unknown reason"
	}
	return table[r].meaning
}

// String returns the label.
func (r Reason) String() string { return r.Label() }

// Of returns the reasons that a daemon can meet, in table order.
func Of(d drop.Daemon) []Reason {
	var rs []Reason
	for r := None + 1; r < count; r++ {
		if table[r].daemon&d != 0 {
			rs = append(rs, r)
		}
	}
	return rs
}

// Count is the number of reasons with [None]: the length of an array indexed by Reason.
const Count = int(count)
