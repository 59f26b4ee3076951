// Package event has the hook points of dhcp4d, and what hooks see there.
//
// What an event points to belongs to the packet loop and is valid until the hook returns; a hook
// that keeps something copies it.
package event

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
)

// Query is a query at a filter point, with what is known of it there.
type Query struct {
	hook.Culprit // that dropped it
	// Notes take what hooks do with it; nil while nobody follows it.
	Notes *hook.Notes

	// Received is when the batch with the query was read.
	Received time.Time
	// DHCP6D is the dhcp6d that forwarded it.
	DHCP6D netip.AddrPort
	// Frame is the DHCPv6 side: relay chain, options, return context.
	Frame *ipc.Query
	// Data is the DHCPv4 message: the query's, and from pkt4_send on the reply's. A filter at
	// buffer4_receive or buffer4_send may change it, in the memory of Octets.
	Data []byte
	// Octets are set at buffer4_receive and buffer4_send only.
	Octets *hook.Octets
	// Message is the parsed query, nil at buffer4_receive.
	Message *dhcp4.Message
	// View is memory for the message at buffer4_receive, for Look. It is nil elsewhere.
	View *dhcp4.Message
	// Evaluator has the query, at buffer4_receive what Look makes of it. From pkt4_receive on a
	// hook may put the query into a class. It does not know before lease4_select whether the client
	// has a reservation. The query gets what a class gives only if it is put into the class before
	// that.
	Evaluator *expression.Evaluator
	// Options are set at pkt4_send only: what a hook sets goes into the reply.
	Options *option.Overrides
	// Outcome is what has become of the question for which the query was parked. Told is the
	// verdict that has answered it. Uptime is the time of the batch on the clock of package
	// consult.
	Outcome parking.Outcome
	Told    *Verdict
	Uptime  time.Duration
	// Verdict is what the program outside has decided; nil: nothing, or it was not asked.
	Verdict *Verdict
	// Subnet is set from subnet4_select on.
	Subnet *network.Subnet
	// Decision is set from lease4_select on. It is not to be changed.
	Decision *lease.Decision
	// Address is the address to be given. A filter at pkt4_receive or subnet4_select may set it:
	// for this query, it is as if it was reserved for the client, which gets it or no answer. It
	// may be in no pool. A filter at lease4_select or lease4_renew may set another one of the pools
	// that the client may have. An address that is somebody else's, or cannot be given, drops the
	// query. Elsewhere a change has no effect.
	Address netip.Addr
	// Pool may be set at pkt4_receive and subnet4_select: the client gets an address of the pools
	// with that name, if the subnet has any. Later a change has no effect.
	Pool string
	// LeaseTime may be set from pkt4_receive to lease4_select and lease4_renew: the seconds of the
	// lease, whatever the client and the configuration say. Later a change has no effect.
	LeaseTime uint32
}

// Look has expressions at a buffer point look at Data. At buffer4_receive there is a message only
// if it can be parsed.
func (q *Query) Look() {
	at := q.Evaluator.Query()
	at.Octets = q.Data
	if q.View == nil {
		return
	}
	at.Message = nil
	if q.View.Parse(q.Data) == drop.None {
		at.Message = q.View
	}
}

// Decode makes an object of the DHCPv4 message. It allocates; a hook that needs only a few fields
// reads Message.
//
// It takes no message that the packet loop would not take, and none with a long list of domain
// names, because the text of such a list is much longer than the list.
func (q *Query) Decode() (*dhcpv4.DHCPv4, error) {
	var m dhcp4.Message
	if why := m.Parse(q.Data); why != drop.None {
		return nil, fmt.Errorf("decoding a message of %d octets: %w", len(q.Data), why)
	}
	if list, _ := m.Option(dhcp4.OptDomainSearch); !hook.FewNames(list) {
		return nil, errors.New("decoding a message: its list of domain names is too long")
	}
	return dhcpv4.FromBytes(q.Data)
}

// Lease is a change of a lease that is on stable storage, or one that the passing of time has
// brought about.
type Lease struct {
	Event lease.Event
	Time  time.Time
	Line  lease.Time // the same on the time line of the store
	// Binding is the lease. Its times are the wall clock's.
	Binding lease.Binding
	// Again says that observers may have been told already, before dhcp4d was started.
	Again bool
	// By is the operator who ordered the change, empty if a client or the passing of time caused
	// it.
	By string
	// Interface and Relays are the way of the query: the interface of dhcp6d, and the relay levels
	// from the outermost to the innermost. Empty where no query caused the change.
	Interface string
	Relays    []Relay
}

// CatchUp is what a hook wants to be told at the start: what has changed since it was last told
// something, if it cannot know whether it was told everything.
type CatchUp struct {
	// Line and Wall are the moment on the time line of the store and on the wall clock. The wall
	// clock may have been set since, and the store may be another one, with a time line of its own.
	Line, Wall lease.Time
	Tell       func(e *Lease)
}

// Relay is one relay level.
type Relay struct {
	LinkAddress, PeerAddress netip.Addr
	InterfaceID, RemoteID    []byte // nil: absent
}
