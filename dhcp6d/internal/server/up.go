package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Up is the half from the link to the IPC: it reads the link's socket, sends
// queries to a dhcp4d and its own answers back to the link. All fields are set
// before Run and belong to it from then on.
type Up struct {
	Log        *slog.Logger
	Link       udp.Reader                // from clients and relays
	Answers    udp.Writer                // to them
	Queries    udp.Writer                // to the IPC
	Interfaces func() *listen.Interfaces // those served now
	Settings   *atomic.Pointer[Settings]
	Backends   *forward.Backends
	Signer     *ipc.Signer
	Ledger     *LinkLedger

	set    *Settings // of the batch at hand
	now    time.Time
	served *listen.Interfaces
	packet dhcp6.Packet
	valid  bool // packet holds the datagram at hand
	event  filter.Event
	name   []byte
	query  forward.Query

	// What the batch has brought forth: buf holds the bytes of both.
	buf     []byte
	queries outgoing
	answers outgoing
}

// Settings are what a reload may change. They are never changed: a reload
// replaces them, and a batch has the same from end to end.
type Settings struct {
	Access   Access
	Delivery Delivery
	Answer   *answer.Server
	// Links are answered with something else than Answer; the first that fits
	// counts.
	Links []LinkAnswer
	Hooks UpHooks
	// Patience is how long a query may wait; any datagram may wait in the
	// socket for as long as any query.
	Patience forward.Patience
}

// LinkAnswer is what answers on one link: of an interface, or of the addresses
// by which relays name it.
type LinkAnswer struct {
	Interface func(name string) bool // nil: goes by Link
	Link      netip.Prefix
	Answer    *answer.Server
}

// answerOn is what answers a message that came by an interface, which is the
// client's link unless a relay names that (RFC 9915 section 13.1).
func (s *Settings) answerOn(ifc string, p *dhcp6.Packet) *answer.Server {
	link := p.LinkAddress()
	for i := range s.Links {
		l := &s.Links[i]
		if l.Interface != nil && !link.IsValid() && l.Interface(ifc) || l.Interface == nil && l.Link.Contains(link) {
			return l.Answer
		}
	}
	return s.Answer
}

// UpHooks are the hook points of this half.
type UpHooks struct {
	Buffer6Receive, Pkt6Receive, Pkt6Send, Buffer6Send hook.List[filter.Event]
}

// Name is the component's name in logs and errors.
func (u *Up) Name() string { return "up" }

// Run serves until the link's socket is closed.
func (u *Up) Run(context.Context) error {
	for {
		in, err := u.Link.Read()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// The kernel is short of memory, say. Whoever stops listening
			// for that serves nobody for good.
			u.Log.Error("cannot read the link, trying again", "error", err)
			time.Sleep(readPause)
			continue
		}
		u.batch(in)
	}
}

// batch takes the datagrams of one read to their end.
func (u *Up) batch(in []udp.Packet) {
	u.now, u.served, u.set = time.Now(), u.Interfaces(), u.Settings.Load()
	u.buf = u.buf[:0]
	u.queries.reset()
	u.answers.reset()
	for i := range in {
		fate, why := u.receive(&in[i])
		u.Ledger.settle(&in[i], u.parsed(), fate, why)
		if why != drop.None {
			logDrop(u.Log, &in[i], why)
		}
	}
	u.Queries.Write(u.queries.packets)
	u.Answers.Write(u.answers.packets)
	u.Ledger.sent(&u.queries, &u.answers)
}

// parsed is the datagram at hand, nil if it could not be parsed.
func (u *Up) parsed() *dhcp6.Packet {
	if !u.valid {
		return nil
	}
	return &u.packet
}

// receive takes one datagram from bytes to what is to be sent, which it puts
// into queries or answers, or to a reason.
func (u *Up) receive(in *udp.Packet) (fate, drop.Reason) {
	u.valid = false
	if in.Truncated {
		return dropped, drop.Truncated
	}
	if limit := u.set.Patience.Query; limit > 0 && u.waited(in) > limit {
		return dropped, drop.Stale
	}
	ifc := u.served.ByIndex(in.Interface)
	if ifc == nil {
		return dropped, drop.Interface
	}
	u.event = filter.Event{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: in.Peer, Local: in.Local, Data: in.Data}
	if why := u.set.Hooks.Buffer6Receive.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if why := u.packet.Parse(in.Data); why != drop.None {
		return dropped, why
	}
	u.valid = true
	if why := u.set.Access.check(in, ifc, &u.packet); why != drop.None {
		return dropped, why
	}
	if why := u.set.Answer.Validate(&u.packet, in.Local); why != drop.None {
		return dropped, why
	}
	u.event.Packet = &u.packet
	if why := u.set.Hooks.Pkt6Receive.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if u.packet.Message().Type() == dhcp6.DHCPv4Query {
		return u.forward(in, ifc)
	}
	return u.answer(in, ifc)
}

// waited is how long a datagram lay in the socket.
func (u *Up) waited(in *udp.Packet) time.Duration {
	if in.Received == 0 {
		return 0
	}
	return time.Duration(u.now.UnixNano() - in.Received)
}

// forward adds the return context to a DHCPV4-QUERY and chooses its dhcp4d.
func (u *Up) forward(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	inner, why := u.packet.Message().DHCPv4()
	if why != drop.None {
		return dropped, why
	}
	u.Backends.Read(&u.query, &u.packet, in.Peer.Addr(), inner)
	backend, why := u.Backends.Choose(&u.query, u.now)
	if why != drop.None {
		return dropped, why
	}
	if u.Backends.Late(backend, &u.query, u.waited(in), u.set.Patience, u.now) {
		return dropped, drop.Stale
	}
	u.name = append(u.name[:0], ifc.Name...)
	back := ipc.Context{Interface: u.name, Source: in.Peer}
	if !backend.Kea {
		back.Local = unicast(in.Local)
	}
	start := len(u.buf)
	u.buf, why = ipc.AppendQuery(u.buf, &u.packet, back)
	if why != drop.None {
		return dropped, why
	}
	if !backend.Kea {
		u.buf = u.Signer.Append(u.buf, start, backend.Daemon, u.now)
		if len(u.buf)-start > dhcp6.MaxDatagram {
			return dropped, drop.Oversize
		}
	}
	u.Backends.Sent(backend, &u.query, u.now)
	u.queries.add(udp.Packet{Data: u.buf[start:], Peer: backend.Addr}, pathOf(&u.packet, in))
	return forwarded, drop.None
}

// answer makes our own Reply to one of the other messages.
func (u *Up) answer(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	start := len(u.buf)
	buf, why := u.set.answerOn(ifc.Name, &u.packet).Append(u.buf, &u.packet)
	switch {
	case why != drop.None:
		return dropped, why
	case len(buf) == start:
		return silent, drop.None
	}
	u.buf = buf
	out := udp.Packet{Data: u.buf[start:], Interface: ifc.Index,
		Peer: u.set.Delivery.toSource(&u.packet, in.Peer), Local: u.set.Delivery.source(unicast(in.Local))}
	u.event = filter.Event{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if why := u.set.Hooks.Pkt6Send.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if why := u.set.Hooks.Buffer6Send.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	u.answers.add(out, pathOf(&u.packet, in))
	return answered, drop.None
}
