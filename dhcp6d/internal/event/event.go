// Package event has the hook points of dhcp6d, and what hooks get there.
//
// What an event points to belongs to a packet loop and is valid until the hook returns. A hook that
// keeps something copies it.
package event

import (
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Datagram is a datagram at a hook point, with all that is known about it. It is valid until the
// hook returns, with everything that it points to.
type Datagram struct {
	hook.Culprit // that dropped it
	// Notes take what hooks do with it; nil while nobody follows it.
	Notes *hook.Notes

	// Received is when the batch with the datagram was read.
	Received time.Time
	// Interface and Index name the interface that received the datagram or will send it.
	Interface string
	Index     int
	// Peer is the source of a received datagram, or the destination of one that is about to leave.
	Peer netip.AddrPort
	// Local is the destination of a received datagram. For one that is about to leave it is the
	// source, if that is fixed.
	Local netip.Addr
	// Data is the whole datagram. A hook at buffer6_receive or buffer6_send may change it, in the
	// memory of View.Octets.
	Data []byte
	// View is set at buffer6_receive and buffer6_send only.
	View *View
	// Packet is the parsed view of Data at pkt6_receive, and nil elsewhere.
	Packet *dhcp6.Packet
	// Options are set at pkt6_send only: what a hook sets goes into the answer.
	Options *dhcp6.Overrides
	// Path says where the client is, as far as that is believed. It is nil where Packet is.
	Path *attachment.Path
}

// View is what a loop has for the hooks at buffer points: memory for what they change, and what
// expressions look at.
type View struct {
	Octets hook.Octets
	// Packet is the datagram, if Parsed.
	Packet dhcp6.Packet
	Parsed bool

	path   attachment.Path
	name   []byte
	eval   expression.Evaluator
	member expression.Membership
}

// Look has expressions look at Data. What is in it can be asked for only if it can be parsed. No
// relay is believed yet. Of a datagram that is about to leave, there is no source, and its
// destination is where it goes.
func (d *Datagram) Look(leaves bool) *expression.Evaluator {
	v := d.View
	v.name = append(v.name[:0], d.Interface...)
	v.path = attachment.Path{Interface: v.name}
	q := expression.Query{Path: &v.path, Octets: d.Data}
	var why drop.Reason
	if leaves {
		q.Local = d.Peer.Addr().WithZone("")
		why = v.Packet.ParseReply(d.Data)
	} else {
		v.path.Source = d.Peer.Addr().WithZone("")
		if !d.Local.IsMulticast() {
			q.Local = d.Local
		}
		why = v.Packet.Parse(d.Data)
	}
	if v.Parsed = why == drop.None; v.Parsed {
		v.path.Packet = &v.Packet
	}
	v.eval.Begin(q, nil, &v.member)
	return &v.eval
}
