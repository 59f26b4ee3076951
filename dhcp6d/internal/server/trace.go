package server

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Tracing is what both halves need to trace the packets of a subscriber. The zero value traces
// nothing.
type Tracing struct {
	Hub *trace.Hub
	// Link and IPC are where the sockets are bound.
	Link, IPC netip.AddrPort
}

// seen is memory for a second parsing, of packets that somebody may follow.
type seen struct {
	traits   trace.Traits
	packet   dhcp6.Packet
	response ipc.Response
	message  dhcp4.Message
}

// traced is the record of a datagram that has not left yet. It is complete when the datagram has
// left.
type traced struct {
	at     int // index in its outgoing
	copies int // how many of the following packets there are copies of this one
	to     trace.Watches
	record *trace.Record
	sent   string         // the last step if the kernel takes the datagram
	socket string         // the one that it leaves by
	ifc    string         // the interface that it leaves by, empty if the routes choose it
	bound  netip.AddrPort // where the socket is bound
}

// completed completes the records of the packets that have left, and returns the empty slice.
func completed(ts []traced, left []udp.Packet) []traced {
	for i := range ts {
		t := &ts[i]
		p := &left[t.at]
		for n := 1; p.Err != nil && n <= t.copies; n++ {
			p = &left[t.at+n]
		}
		if p.Err != nil {
			t.record.Say("dropped (%s): the kernel refused to send to %v: %v", drop.SendError.Label(), p.Peer, p.Err)
		} else {
			t.record.Say("%s", t.sent)
			t.record.Out = trace.NewDatagram(time.Now(), t.socket, t.ifc, false, trace.End(p.Local, t.bound), p.Peer,
				p.Data)
		}
		t.to.Send(t.record)
	}
	clear(ts)
	return ts[:0]
}

// forget clears u, so that nothing of an earlier datagram gets into the record of this one.
func (u *Up) forget() {
	u.event, u.path, u.to, u.valid = event.Datagram{}, attachment.Path{}, backend.Route{}, false
	u.notes.Lines = u.notes.Lines[:0]
}

// follow makes the record of a datagram, if somebody follows its subscriber. It is called only
// while there are watches.
func (u *Up) follow(in *udp.Packet, f fate, why drop.Reason) {
	if u.set.Servers != nil && isReply(in) {
		u.followReply(in, f, why)
		return
	}
	c := u.lookAgain(in)
	to := u.tracing.Of(&u.seen.traits, u.now)
	if len(to) == 0 {
		return
	}
	r := u.record(in, c)
	u.sayWay(r)
	switch f {
	case dropped:
		u.sayDrop(r, in, why)
	case silent:
		r.Say("no answer (%s): %s", u.silence.Label(), u.silence.Meaning())
	case forwarded, answered, passed:
		u.keepRecord(r, to, f)
		return
	}
	to.Send(r)
}

// content is what a datagram holds, as far as it can be parsed.
type content struct {
	parsed   bool   // as DHCPv6
	carried  []byte // the DHCPv4 message, nil if there is none
	readable bool   // the DHCPv4 message can be parsed
}

// lookAgain parses a datagram once more, because one that was dropped early was not parsed as a
// whole. It sets the traits by which watches choose.
func (u *Up) lookAgain(in *udp.Packet) (c content) {
	traits, packet, message := &u.seen.traits, &u.seen.packet, &u.seen.message
	*traits = trace.Traits{Source: in.Peer.Addr()}
	if packet.Parse(in.Data) != drop.None {
		return c
	}
	c.parsed, traits.Chain = true, packet
	if packet.Message().Type() == dhcp6.DHCPv4Query {
		c.carried, _ = packet.Message().DHCPv4()
		if c.readable = message.Parse(c.carried) == drop.None; c.readable {
			traits.Read(message)
		}
	}
	return c
}

// record begins the record of a datagram: how it was received, and what it holds.
func (u *Up) record(in *udp.Packet, c content) *trace.Record {
	name := fmt.Sprintf("interface %d, which is not served", in.Interface)
	if ifc := u.served.ByIndex(in.Interface); ifc != nil {
		name = ifc.Name
	}
	r := &trace.Record{
		Time: u.now, Daemon: "dhcp6d", Message: trace.Octets(c.carried),
		In: trace.NewDatagram(u.now, trace.Link, name, true, trace.End(in.Local, u.Trace.Link), in.Peer, in.Data),
	}
	r.Say("received by %s from %v, sent to %v, %d octets", name, in.Peer, in.Local, len(in.Data))
	if c.parsed {
		sayRelays(r, &u.seen.packet, u.path)
		sayMessage(r, &u.seen.packet, &u.seen.message, c.readable)
	}
	return r
}

// sayWay adds steps about the hooks that a datagram has passed, and about the backend that was
// chosen for it.
func (u *Up) sayWay(r *trace.Record) {
	if u.event.Interface != "" {
		sayHooks(r, string(event.Buffer6Receive), u.set.Hooks.Buffer6Receive.Names(), &u.event)
	}
	if u.event.Packet != nil {
		sayHooks(r, string(event.Pkt6Receive), u.set.Hooks.Pkt6Receive.Names(), &u.event)
	}
	for _, note := range u.notes.Lines {
		r.Say("%s", note)
	}
	if u.to.Backend != nil {
		r.Say("goes to the dhcp4d %s at %v: %v", u.to.Name, u.to.Addr, u.to.Why)
	}
}

// sayDrop adds steps about why a datagram was dropped.
func (u *Up) sayDrop(r *trace.Record, in *udp.Packet, why drop.Reason) {
	sayCulprit(r, &u.event)
	switch why {
	case drop.NoBackend, drop.OwnerDown, drop.QueueFull:
		r.Say("backends: %s", u.Backends)
	case drop.Stale:
		r.Say("it had waited for %v in the socket", u.waited(in).Round(time.Millisecond))
	}
	endWithDrop(r, why)
}

// keepRecord keeps the record of a datagram until what was made of it has left with the batch.
func (u *Up) keepRecord(r *trace.Record, to trace.Watches, f fate) {
	switch f {
	case forwarded:
		at := len(u.queries.packets) - 1
		for u.queries.paths[at].probe {
			at--
		}
		u.tracedQueries = append(u.tracedQueries, traced{
			at: at, to: to, record: r, socket: trace.IPC, bound: u.Trace.IPC, sent: "sent to the dhcp4d " + u.to.Name,
		})
	case answered:
		at := len(u.answers.packets) - 1
		p := &u.answers.packets[at]
		u.tracedAnswers = append(u.tracedAnswers, traced{
			at: at, to: to, record: r, socket: trace.Link, bound: u.Trace.Link, ifc: nameOf(u.served, p.Interface),
			sent: fmt.Sprintf("answered by dhcp6d itself, sent to %v", p.Peer),
		})
	case passed:
		n := u.set.Servers.Len()
		for i := range n {
			r.Say("passed on to the DHCPv6 server %v", u.set.Servers.Address(i))
		}
		u.tracedPassed = append(u.tracedPassed, traced{
			at: len(u.passed.packets) - n, copies: n - 1, to: to, record: r, socket: trace.Link, bound: u.Trace.Link,
			sent: "sent",
		})
	}
}

// followReply is follow for a Relay-reply.
func (u *Up) followReply(in *udp.Packet, f fate, why drop.Reason) {
	traits, packet := &u.seen.traits, &u.seen.packet
	if packet.ParseReply(in.Data) != drop.None {
		return // it tells of no subscriber
	}
	*traits = trace.Traits{Answer: true, Source: packet.Relay(0).PeerAddress(), Chain: packet}
	to := u.tracing.Of(traits, u.now)
	if len(to) == 0 {
		return
	}
	m := packet.Message()
	r := &trace.Record{
		Time: u.now, Daemon: "dhcp6d", Exchange: fmt.Sprintf("DHCPv6 transaction %x", m.TransactionID()),
		In: trace.NewDatagram(u.now, trace.Link, nameOf(u.served, in.Interface), true,
			trace.End(in.Local, u.Trace.Link), in.Peer, in.Data),
	}
	r.Say("Relay-reply received from %v, %d octets, for %v", in.Peer, len(in.Data), traits.Source)
	r.Say("%v", m.Type())
	if u.event.Interface != "" {
		sayHooks(r, string(event.Buffer6Send), u.set.Hooks.Buffer6Send.Names(), &u.event)
	}
	if f == dropped {
		sayCulprit(r, &u.event)
		endWithDrop(r, why)
		to.Send(r)
		return
	}
	at := len(u.returned.packets) - 1
	p := &u.returned.packets[at]
	ifc := nameOf(u.served, p.Interface)
	u.tracedReturned = append(u.tracedReturned, traced{
		at: at, to: to, record: r, socket: trace.Link, bound: u.Trace.Link, ifc: ifc,
		sent: fmt.Sprintf("sent to %v by %s", p.Peer, leavesBy(ifc)),
	})
}

// nameOf returns the name of the interface that a datagram leaves by, empty if the routes choose
// it.
func nameOf(served *listen.Interfaces, index int) string {
	if ifc := served.ByIndex(index); ifc != nil {
		return ifc.Name
	}
	return ""
}

// sayMessage adds a step about what a datagram carries, and names its exchange.
func sayMessage(r *trace.Record, p *dhcp6.Packet, m *dhcp4.Message, readable bool) {
	kind := p.Message().Type()
	switch {
	case readable:
		r.Exchange = trace.Exchange(m)
		r.Say("%v with %s", kind, trace.Describe(m))
	case kind == dhcp6.DHCPv4Query:
		r.Say("%v; the DHCPv4 message in it cannot be read", kind)
	default:
		r.Exchange = fmt.Sprintf("DHCPv6 transaction %x", p.Message().TransactionID())
		r.Say("%v", kind)
	}
}

// sayRelays adds steps about the relay levels, the outermost first. path says how many are
// believed, if that is known.
func sayRelays(r *trace.Record, p *dhcp6.Packet, path attachment.Path) {
	for i := range p.Relays() {
		level := p.Relay(i)
		var text strings.Builder
		fmt.Fprintf(&text, "relay %d: link-address %v, peer-address %v", i+1, level.LinkAddress(), level.PeerAddress())
		for _, o := range []struct {
			name  string
			value []byte
		}{{"Interface-Id", level.InterfaceID()}, {"Remote-Id", level.RemoteID()},
			{"Subscriber-Id", level.SubscriberID()}} {
			if o.value != nil {
				fmt.Fprintf(&text, ", %s 0x%s", o.name, hex.EncodeToString(o.value))
			}
		}
		if path.Packet != nil && i >= path.Believed {
			text.WriteString("; not believed, as no trusted relay wrote it")
		}
		r.Say("%s", text.String())
	}
}

// sayHooks adds a step about the hooks that have let a datagram pass at a point.
func sayHooks(r *trace.Record, point string, names []string, e *event.Datagram) {
	if len(names) == 0 || e.Point == point {
		return
	}
	r.Say("hooks at %s let it pass: %s", point, strings.Join(names, ", "))
}

// sayCulprit adds a step about the hook that has dropped a datagram, if one has.
func sayCulprit(r *trace.Record, e *event.Datagram) {
	if e.Hook != "" {
		r.Say("%v does not let it pass", e.Culprit)
	}
}

func endWithDrop(r *trace.Record, why drop.Reason) {
	r.Say("dropped (%s): %s", why.Label(), why.Meaning())
}

// follow makes the record of an answer, if somebody follows its subscriber. raw is the datagram as
// it came.
func (d *Down) follow(in *udp.Packet, raw []byte, f fate, why drop.Reason) {
	if f == probe {
		return
	}
	traits, response, message := &d.seen.traits, &d.seen.response, &d.seen.message
	if response.Parse(ipc.Content(raw)) != drop.None {
		return // it names no subscriber
	}
	back := response.Context()
	*traits = trace.Traits{Answer: true, Source: back.Source.Addr(), Chain: response.Packet()}
	readable := message.Parse(response.DHCPv4()) == drop.None
	if readable {
		traits.Read(message)
	}
	to := d.tracing.Of(traits, d.now)
	if len(to) == 0 {
		return
	}
	r := &trace.Record{
		Time: d.now, Daemon: "dhcp6d", Reply: trace.Octets(response.DHCPv4()),
		In: trace.NewDatagram(d.now, trace.IPC, "", true, trace.End(in.Local, d.Trace.IPC), in.Peer, raw),
	}
	if from := d.Backends.From(in.Peer); from != nil {
		r.Say("answer received from the dhcp4d %s at %v, %d octets", from.Name, in.Peer, len(raw))
	} else {
		r.Say("answer received from %v, which is no backend, %d octets", in.Peer, len(raw))
	}
	if readable {
		r.Exchange = trace.Exchange(message)
		r.Say("DHCPV4-RESPONSE with %s", trace.Describe(message))
	} else {
		r.Say("DHCPV4-RESPONSE; the DHCPv4 message in it cannot be read")
	}
	r.Say("its query came by %s from %v through %d relays", octets.Show(back.Interface), back.Source,
		response.Packet().Relays())
	if d.event.Interface != "" {
		sayHooks(r, string(event.Buffer6Send), d.set.Hooks.Buffer6Send.Names(), &d.event)
	}
	if f == dropped {
		sayCulprit(r, &d.event)
		endWithDrop(r, why)
		to.Send(r)
		return
	}
	at := len(d.responses.packets) - 1
	whom := "client"
	if d.responses.paths[at].relayed {
		whom = "relay"
	}
	p := &d.responses.packets[at]
	d.traced = append(d.traced, traced{
		at: at, to: to, record: r, socket: trace.Link, bound: d.Trace.Link, ifc: nameOf(d.served, p.Interface),
		sent: fmt.Sprintf("sent to the %s at %v by %s", whom, p.Peer, leavesBy(nameOf(d.served, p.Interface))),
	})
}

// leavesBy returns in words how a datagram leaves.
func leavesBy(ifc string) string {
	if ifc == "" {
		return "the routes"
	}
	return ifc
}
