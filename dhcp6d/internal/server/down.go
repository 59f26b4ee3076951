package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Down is the half from the IPC to the link: it reads the responses of the backends and sends them
// to clients and relays. All fields are set before Run; Run owns them.
type Down struct {
	Log        *slog.Logger
	IPC        udp.Reader                // from the backends
	Link       udp.Writer                // to clients and relays
	Interfaces func() *listen.Interfaces // those served now
	Settings   *atomic.Pointer[Settings]
	Backends   *backend.Set
	Opener     *ipc.Opener
	Ledger     *IPCLedger
	Trace      Tracing
	Now        func() time.Time // nil: time.Now; a capture has its own

	now       time.Time
	served    *listen.Interfaces
	set       *Settings // of the current batch
	response  ipc.Response
	event     event.Datagram
	view      event.View // of hooks at buffer6_send
	buf       []byte     // what they have changed
	responses outgoing

	tracing *trace.Open // of the current batch; nil while nobody follows a subscriber
	traced  []traced
	seen    seen
	raw     []byte // the current datagram as it came, while somebody follows
}

// Name returns the component's name for logs and errors.
func (d *Down) Name() string { return "down" }

// Run serves until the IPC's socket is closed.
func (d *Down) Run(context.Context) error {
	udp.Serve(d.IPC, d.Log, d.batch)
	return nil
}

// batch handles the datagrams of one read.
func (d *Down) batch(in []udp.Packet) {
	d.now, d.served, d.set = timeNow(d.Now), d.Interfaces(), d.Settings.Load()
	d.responses.reset()
	d.buf = d.buf[:0]
	d.tracing = d.Trace.Hub.On()
	for i := range in {
		if d.tracing != nil {
			d.raw, d.event = append(d.raw[:0], in[i].Data...), event.Datagram{}
		}
		fate, why := d.receive(&in[i])
		d.Ledger.settle(fate, why)
		if why != drop.None {
			if why != drop.Unauthentic || !d.Opener.AfterRestart() {
				d.Backends.Dropped(&in[i], why, d.now)
			}
			logDrop(d.Log, &in[i], why)
		}
		if d.tracing != nil {
			d.follow(&in[i], d.raw, fate, why)
		}
	}
	d.Link.Write(d.responses.packets)
	d.Ledger.sent(&d.responses)
	if d.tracing != nil {
		d.traced = completed(d.traced, d.responses.packets)
	}
}

// timeNow returns the time by now, or that of the host if now is nil.
func timeNow(now func() time.Time) time.Time {
	if now == nil {
		return time.Now()
	}
	return now()
}

// receive takes one datagram of a backend. It puts the answer into responses or returns a reason.
// It changes the datagram's bytes in place.
func (d *Down) receive(in *udp.Packet) (fate, drop.Reason) {
	from := d.Backends.From(in.Peer)
	if from == nil {
		return dropped, drop.WrongPeer
	}
	if in.Truncated {
		return dropped, drop.Truncated
	}
	var why drop.Reason
	if in.Data, why = d.Opener.Open(in.Data, from.Peer, d.now); why != drop.None {
		return dropped, why
	}
	if r, ok := ipc.ParseProbeReply(in.Data); ok {
		d.Backends.ProbeAnswered(from, in.Local, r, d.now)
		return probe, drop.None
	}
	if why := d.response.Parse(in.Data); why != drop.None {
		return dropped, why
	}
	d.Backends.Answered(from, in.Local, d.response.DHCPv4(), d.now)
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
	out := d.set.Delivery.packet(to, relayed, back.Local, ifc.Index)
	out.Data = d.response.Strip()
	d.event = event.Datagram{Received: d.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if d.buf, why = d.set.atBuffer6Send(&d.event, &d.view, d.buf, &out); why != hook.Continue {
		return dropped, why
	}
	d.responses.add(out, path{relayed: relayed})
	return relayedOn, drop.None
}
