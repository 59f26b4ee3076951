package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Down is the half from the IPC to the link: it reads what dhcp4d answers and
// sends it to the client or relay. All fields are set before Run and belong to
// it from then on.
type Down struct {
	Log        *slog.Logger
	IPC        udp.Reader                // from the backends
	Link       udp.Writer                // to clients and relays
	Interfaces func() *listen.Interfaces // those served now
	Settings   *atomic.Pointer[Settings]
	Backends   *forward.Backends
	Verifier   *ipc.Verifier
	Hooks      DownHooks
	Ledger     *IPCLedger

	now       time.Time
	served    *listen.Interfaces
	delivery  Delivery
	response  ipc.Response
	event     filter.Event
	responses outgoing
}

// DownHooks are the hook points of this half. As in Kea, pkt6_send is not
// among them: the query is not at hand.
type DownHooks struct {
	Buffer6Send hook.List[filter.Event]
}

// Name is the component's name in logs and errors.
func (d *Down) Name() string { return "down" }

// Run serves until the IPC's socket is closed.
func (d *Down) Run(context.Context) error {
	for {
		in, err := d.IPC.Read()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			// The kernel is short of memory, say. Whoever stops listening
			// for that serves nobody for good.
			d.Log.Error("cannot read the IPC, trying again", "error", err)
			time.Sleep(readPause)
			continue
		}
		d.batch(in)
	}
}

// batch takes the datagrams of one read to their end.
func (d *Down) batch(in []udp.Packet) {
	d.now, d.served, d.delivery = time.Now(), d.Interfaces(), d.Settings.Load().Delivery
	d.responses.reset()
	for i := range in {
		fate, why := d.receive(&in[i])
		d.Ledger.settle(fate, why)
		if why != drop.None {
			logDrop(d.Log, &in[i], why)
		}
	}
	d.Link.Write(d.responses.packets)
	d.Ledger.sent(&d.responses)
}

// receive takes one datagram from bytes to what is to be sent, which it puts
// into responses, or to a reason. The bytes are changed in place.
func (d *Down) receive(in *udp.Packet) (fate, drop.Reason) {
	backend := d.Backends.From(in.Peer)
	if backend == nil {
		return dropped, drop.WrongPeer
	}
	if in.Truncated {
		return dropped, drop.Truncated
	}
	if !backend.Kea {
		var why drop.Reason
		if in.Data, why = d.Verifier.Open(in.Data, backend.Daemon, d.now); why != drop.None {
			return dropped, why
		}
	}
	if ipc.IsProbeReply(in.Data) {
		d.Backends.ProbeAnswered(backend, d.now)
		return probe, drop.None
	}
	if why := d.response.Parse(in.Data); why != drop.None {
		return dropped, why
	}
	d.Backends.Answered(backend, d.response.DHCPv4(), d.now)
	back := d.response.Context()
	ifc := d.served.ByName(back.Interface)
	if ifc == nil {
		return dropped, drop.IPCInterface
	}
	to, why := d.response.Destination()
	if why != drop.None {
		return dropped, why
	}
	relayed := d.response.Relayed()
	out := udp.Packet{Peer: d.delivery.port(to, relayed), Local: d.delivery.source(back.Local), Interface: ifc.Index}
	out.Data = d.response.Strip()
	d.event = filter.Event{Received: d.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if why := d.Hooks.Buffer6Send.Run(&d.event); why != hook.Continue {
		return dropped, why
	}
	d.responses.add(out, path{relayed: relayed})
	return relayedOn, drop.None
}
