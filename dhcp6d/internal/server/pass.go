package server

import (
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// passes reports whether the message at hand goes to the DHCPv6 servers. why is what validation
// says of it.
func (u *Up) passes(why drop.Reason) bool {
	if u.set.Servers.TakesAll(u.packet.Message().Type()) {
		return why != drop.UnicastForbidden
	}
	return u.set.Servers.Takes(why)
}

// passTo passes the message at hand on to every DHCPv6 server.
func (u *Up) passTo(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	relayed := u.packet.Relays() > 0
	switch {
	case !relayed && !in.Local.IsMulticast() && mustMulticast(u.packet.Message().Type()):
		return dropped, drop.UnicastForbidden // the server cannot see it any more (RFC 9915 section 16)
	case u.path.Believed < u.packet.Relays():
		return dropped, drop.RelayForbidden // the server would believe every level
	case u.tooLate(in):
		return dropped, drop.Stale
	}
	back := pass.Context{Interface: u.name, Relayed: relayed, Source: toSource(&u.packet, in.Peer),
		Local: unicast(in.Local)}
	var more *answer.Additions
	if u.set.Services != nil && u.set.Services.supplies {
		more = u.service(in, ifc)
	}
	u.supplied = u.answerOn(ifc).AppendSupplied(u.supplied[:0], u.packet.Message(), more)
	start := len(u.buf)
	buf, why := u.relay.AppendForward(u.buf, u.set.Servers, &u.packet, ifc.Addresses, back, u.supplied)
	if why != drop.None {
		return dropped, why
	}
	u.buf = buf
	if len(u.supplied) > 0 {
		const header = 4
		u.Ledger.tell(bySupply, u.supplied[header:])
	}
	for i := range u.set.Servers.Len() {
		u.passed.add(udp.Packet{Data: u.buf[start:], Peer: u.set.Servers.Address(i)}, pathOf(&u.packet, in))
	}
	return passed, drop.None
}

// began is the start of a clock that no step of the wall clock changes.
var began = time.Now()

// tooLate reports whether a message comes too late to be passed on. Under overload, exchanges that
// have begun come before new ones, as they do for queries.
func (u *Up) tooLate(in *udp.Packet) bool {
	limit := u.set.MaxWait.Discover
	tooLong := limit > 0 && u.waited(in) > limit
	overload := u.passLate.Note(tooLong, int64(u.now.Sub(began)))
	kind := u.packet.Message().Type()
	return tooLong && overload && (kind == dhcp6.Solicit || kind == dhcp6.InformationRequest)
}

// mustMulticast reports whether clients send messages of a type by multicast only (RFC 9915 section
// 16).
func mustMulticast(t dhcp6.Type) bool { return fromClient(t) && t != dhcp6.DHCPv4Query }

// fromClient reports whether only clients send messages of a type.
func fromClient(t dhcp6.Type) bool {
	switch t {
	case dhcp6.Solicit, dhcp6.Request, dhcp6.Confirm, dhcp6.Renew, dhcp6.Rebind, dhcp6.Release, dhcp6.Decline,
		dhcp6.InformationRequest, dhcp6.DHCPv4Query:
		return true
	}
	return false
}

// isReply reports whether a datagram is a Relay-reply by its first octet.
func isReply(in *udp.Packet) bool {
	return len(in.Data) > 0 && dhcp6.Type(in.Data[0]) == dhcp6.RelayReply
}

// giveBack takes a Relay-reply of a DHCPv6 server. It puts what the server sends into returned, or
// returns a reason.
func (u *Up) giveBack(in *udp.Packet) (fate, drop.Reason) {
	if !u.set.Servers.Received(in.Peer) {
		return dropped, drop.ReplySource
	}
	switch why := u.packet.ParseReply(in.Data); why {
	case drop.None:
	case drop.IPCType: // a Relay-forward inside
		return dropped, drop.ReplyMessage
	default:
		return dropped, why
	}
	u.valid = true
	back, why := u.relay.Context(u.set.Servers, &u.packet)
	if why != drop.None {
		return dropped, why
	}
	kind := u.packet.Message().Type()
	// A DHCPV4-RESPONSE comes from a dhcp4d only.
	if back.Relayed != (u.packet.Relays() > 1) || fromClient(kind) || kind == dhcp6.DHCPv4Response {
		return dropped, drop.ReplyMessage
	}
	ifc := u.served.ByName(back.Interface)
	if ifc == nil {
		return dropped, drop.ReplyInterface
	}
	out := u.set.Delivery.packet(back.Source, back.Relayed, back.Local, ifc.Index)
	out.Data = u.packet.Relay(0).Carried()
	u.event = event.Datagram{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if u.buf, why = u.set.atBuffer6Send(&u.event, &u.view, u.buf, &out); why != hook.Continue {
		return dropped, why
	}
	u.returned.add(out, path{relayed: back.Relayed})
	return returned, drop.None
}
