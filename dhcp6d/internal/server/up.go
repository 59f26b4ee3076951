package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
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
	Access     Access
	Answer     *answer.Server
	Delivery   Delivery
	Backends   *forward.Backends
	Hooks      UpHooks
	Ledger     *LinkLedger

	now    time.Time
	served *listen.Interfaces
	packet dhcp6.Packet
	valid  bool // packet holds the datagram at hand
	event  filter.Event
	name   []byte
	client []byte

	// What the batch has brought forth: buf holds the bytes of both.
	buf     []byte
	queries outgoing
	answers outgoing
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
	u.now, u.served = time.Now(), u.Interfaces()
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
	ifc := u.served.ByIndex(in.Interface)
	if ifc == nil {
		return dropped, drop.Interface
	}
	u.event = filter.Event{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: in.Peer, Local: in.Local, Data: in.Data}
	if why := u.Hooks.Buffer6Receive.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if why := u.packet.Parse(in.Data); why != drop.None {
		return dropped, why
	}
	u.valid = true
	if why := u.Access.check(in, ifc, &u.packet); why != drop.None {
		return dropped, why
	}
	if why := u.Answer.Validate(&u.packet, in.Local); why != drop.None {
		return dropped, why
	}
	u.event.Packet = &u.packet
	if why := u.Hooks.Pkt6Receive.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if u.packet.Message().Type() == dhcp6.DHCPv4Query {
		return u.forward(in, ifc)
	}
	return u.answer(in, ifc)
}

// forward adds the return context to a DHCPV4-QUERY and chooses its dhcp4d.
func (u *Up) forward(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	inner, why := u.packet.Message().DHCPv4()
	if why != drop.None {
		return dropped, why
	}
	backend := u.Backends.Choose(u.identity(inner))
	if backend == nil {
		return dropped, drop.NoBackend
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
	u.queries.add(udp.Packet{Data: u.buf[start:], Peer: backend.Addr}, pathOf(&u.packet, in))
	return forwarded, drop.None
}

// identity is what the choice among several dhcp4d goes by; nil where there is
// no choice.
func (u *Up) identity(inner []byte) []byte {
	if !u.Backends.Several() {
		return nil
	}
	m, why := dhcp4.Parse(inner)
	if why != drop.None {
		return nil // any dhcp4d can say what is wrong with it
	}
	u.client, _ = m.AppendClientKey(u.client[:0])
	return u.client
}

// answer makes our own Reply to one of the other messages.
func (u *Up) answer(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	start := len(u.buf)
	buf, why := u.Answer.Append(u.buf, &u.packet)
	switch {
	case why != drop.None:
		return dropped, why
	case len(buf) == start:
		return silent, drop.None
	}
	u.buf = buf
	out := udp.Packet{Data: u.buf[start:], Interface: ifc.Index,
		Peer: u.Delivery.toSource(&u.packet, in.Peer), Local: u.Delivery.source(unicast(in.Local))}
	u.event = filter.Event{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if why := u.Hooks.Pkt6Send.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	if why := u.Hooks.Buffer6Send.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	u.answers.add(out, pathOf(&u.packet, in))
	return answered, drop.None
}
