package server

import (
	"context"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Up is the half from the link to the IPC: it reads the link's socket, sends queries to a backend
// and its own answers back to the link. All fields are set before Run; Run owns them.
type Up struct {
	Log        *slog.Logger
	Link       udp.Reader                // from clients and relays
	Answers    udp.Writer                // to them
	Queries    udp.Writer                // to the IPC
	Interfaces func() *listen.Interfaces // those served now
	Settings   *atomic.Pointer[Settings]
	Backends   *backend.Set
	Signer     *ipc.Signer
	Ledger     *LinkLedger
	Trace      Tracing
	Now        func() time.Time // nil: time.Now; a capture has its own

	set    *Settings // of the current batch
	now    time.Time
	served *listen.Interfaces
	packet dhcp6.Packet
	valid  bool            // packet holds the current datagram
	path   attachment.Path // of the current datagram
	event  event.Datagram
	name   []byte
	query  backend.Query
	to     backend.Route // of the current query

	silence silence.Reason // why the current datagram gets no answer, if its fate is silent

	relay    pass.Codec
	supplied []byte // options that go with the message at hand
	eval     expression.Evaluator
	view     event.View // of hooks at buffer points
	member   expression.Membership
	indexes  [][]int32        // memory, of services and answers on links
	passLate backend.Overload // of messages that are passed on

	// The datagrams that the batch sends; buf holds the bytes of the first three.
	buf      []byte
	queries  outgoing
	answers  outgoing
	passed   outgoing // to the DHCPv6 servers, one copy for each
	returned outgoing // of these servers; the bytes are those received

	tracing                      *trace.Open // of the current batch; nil while nobody follows a subscriber
	tracedQueries, tracedAnswers []traced
	tracedPassed, tracedReturned []traced
	seen                         seen
	notes                        hook.Notes      // of hooks, on the datagram at hand
	byHooks                      dhcp6.Overrides // options that they set, likewise
}

// Settings is the snapshot of what a reload may change. It never changes: a reload replaces it, and
// a batch keeps the one that it began with.
type Settings struct {
	Access   Access
	Delivery Delivery
	Answer   *answer.Server
	// Servers are the DHCPv6 servers that get the messages that are not for us. It is nil if there
	// are none.
	Servers *pass.Servers
	// Links have answers of their own, in place of Answer. It is nil if there are none.
	Links *Links
	// Services are offered beside what Answer or Links offer. It is nil if there are none.
	Services *Services
	Hooks    event.Hooks
	// MaxWait is how long a query may wait. Any other datagram may wait in the socket for as long
	// as MaxWait.Query.
	MaxWait backend.MaxWait
}

// LinkAnswer answers on one link: an interface, or the links that relays name by an address in a
// prefix.
type LinkAnswer struct {
	Interface string // name or pattern; empty: goes by Link
	Link      netip.Prefix
	Answer    *answer.Server
}

// Links are answers on links. They never change. Nil has none.
type Links struct {
	list    []LinkAnswer
	entries entries
}

// NewLinks returns the answers on links, of which the first that fits is used. Interfaces are names
// and patterns that [listen.ParsePatterns] takes.
func NewLinks(list []LinkAnswer) *Links {
	l := &Links{list: list}
	for i := range list {
		l.entries.add(list[i].Link, list[i].Interface, i, -1, nil)
	}
	return l
}

// answerOn returns what answers the message at hand. The client's link is the one that a relay
// names, or the interface that the message came in by (RFC 9915 section 13.1).
func (u *Up) answerOn(ifc *listen.Interface) *answer.Server {
	l := u.set.Links
	if l == nil {
		return u.set.Answer
	}
	u.indexes = l.entries.append(u.indexes[:0], nil, ifc, u.path.Link())
	first := int32(len(l.list))
	for _, indexes := range u.indexes {
		first = min(first, indexes[0])
	}
	if int(first) == len(l.list) {
		return u.set.Answer
	}
	return l.list[first].Answer
}

// Name returns the component's name for logs and errors.
func (u *Up) Name() string { return "up" }

// Run serves until the link's socket is closed.
func (u *Up) Run(context.Context) error {
	udp.Serve(u.Link, u.Log, u.batch)
	return nil
}

// batch handles the datagrams of one read.
func (u *Up) batch(in []udp.Packet) {
	u.now, u.served, u.set = timeNow(u.Now), u.Interfaces(), u.Settings.Load()
	u.buf = u.buf[:0]
	u.queries.reset()
	u.answers.reset()
	u.passed.reset()
	u.returned.reset()
	u.tracing = u.Trace.Hub.On()
	for i := range in {
		if u.tracing != nil {
			u.forget()
		}
		fate, why := u.receive(&in[i])
		u.Ledger.settle(&in[i], u.parsed(), fate, why, u.silence)
		if why != drop.None {
			logDrop(u.Log, &in[i], why)
		} else if fate == silent {
			logSilent(u.Log, &in[i], u.silence)
		}
		if u.tracing != nil {
			u.follow(&in[i], fate, why)
		}
	}
	u.Queries.Write(u.queries.packets)
	u.Answers.Write(u.answers.packets)
	if u.set.Servers != nil {
		u.Answers.Write(u.passed.packets)
		u.Answers.Write(u.returned.packets)
	}
	u.Ledger.sent(&u.queries, &u.answers, &u.passed, &u.returned, u.set.Servers)
	if u.tracing != nil {
		u.tracedQueries = completed(u.tracedQueries, u.queries.packets)
		u.tracedAnswers = completed(u.tracedAnswers, u.answers.packets)
		u.tracedPassed = completed(u.tracedPassed, u.passed.packets)
		u.tracedReturned = completed(u.tracedReturned, u.returned.packets)
	}
}

// parsed returns the current datagram, nil if it could not be parsed.
func (u *Up) parsed() *dhcp6.Packet {
	if !u.valid {
		return nil
	}
	return &u.packet
}

// receive takes one datagram of a client, a relay or a DHCPv6 server. It adds what is to be sent to
// queries, answers, passed or returned, or it returns a reason.
func (u *Up) receive(in *udp.Packet) (fate, drop.Reason) {
	u.valid, u.silence = false, silence.None
	if in.Truncated {
		return dropped, drop.Truncated
	}
	if limit := u.set.MaxWait.Query; limit > 0 && u.waited(in) > limit {
		return dropped, drop.Stale
	}
	if u.set.Servers != nil && isReply(in) {
		return u.giveBack(in) // servers may be reached by any interface
	}
	ifc := u.served.ByIndex(in.Interface)
	if ifc == nil {
		return dropped, drop.Interface
	}
	u.event = event.Datagram{Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: in.Peer, Local: in.Local, Data: in.Data}
	if u.tracing != nil {
		u.event.Notes = &u.notes
	}
	if why := atBuffer(&u.set.Hooks.Buffer6Receive, &u.event, &u.view); why != hook.Continue {
		return dropped, why
	}
	if why := u.packet.Parse(u.event.Data); why != drop.None {
		return dropped, why
	}
	u.valid = true
	levels, why := u.set.Access.check(in, ifc, &u.packet)
	if why != drop.None {
		return dropped, why
	}
	u.name = append(u.name[:0], ifc.Name...)
	u.path = attachment.Path{Packet: &u.packet, Believed: levels, Source: in.Peer.Addr().WithZone(""),
		Interface: u.name}
	if levels < u.packet.Relays() {
		u.Ledger.unbelieved.Add(0, 1)
	}
	why = u.set.Answer.Validate(&u.packet, in.Local)
	passOn := u.set.Servers != nil && u.passes(why)
	if why != drop.None && !passOn {
		return dropped, why
	}
	u.event.Packet, u.event.Path = &u.packet, &u.path
	if why := u.set.Hooks.Pkt6Receive.Run(&u.event); why != hook.Continue {
		return dropped, why
	}
	switch {
	case passOn:
		return u.passTo(in, ifc)
	case u.packet.Message().Type() == dhcp6.DHCPv4Query:
		return u.forward(in, ifc)
	}
	return u.answer(in, ifc)
}

// waited returns how long a datagram lay in the socket.
func (u *Up) waited(in *udp.Packet) time.Duration {
	if in.Received == 0 {
		return 0
	}
	return time.Duration(u.now.UnixNano() - in.Received)
}

// forward chooses the dhcp4d for a DHCPV4-QUERY, and adds the return context.
func (u *Up) forward(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	message, why := u.packet.Message().DHCPv4()
	if why != drop.None {
		return dropped, why
	}
	q := &u.query
	q.Path, q.Message, q.Waited = &u.path, message, u.waited(in)
	to, why := u.Backends.Route(q, u.set.MaxWait, u.now)
	if why != drop.None {
		return dropped, why
	}
	u.to = to
	start := len(u.buf)
	if why := u.frame(in, ifc, to); why != drop.None {
		u.Backends.Withdraw(to, q)
		return dropped, why
	}
	u.queries.add(udp.Packet{Data: u.buf[start:], Peer: to.Addr, Local: to.Local()}, pathOf(&u.packet, in))
	if to.Probe {
		u.probe(to)
	}
	return forwarded, drop.None
}

// probe asks a dhcp4d, right behind the last query, how far it has read.
func (u *Up) probe(to backend.Route) {
	start := len(u.buf)
	u.buf = ipc.AppendFullProbe(u.buf, to.Mark)
	var ok bool
	if u.buf, ok = u.Signer.Append(u.buf, start, to.Peer, u.now); !ok {
		u.buf = u.buf[:start] // the session has just ended
		return
	}
	u.queries.add(udp.Packet{Data: u.buf[start:], Peer: to.Addr, Local: to.Local()}, path{probe: true})
}

// frame appends to buf the datagram to the dhcp4d for the current query.
func (u *Up) frame(in *udp.Packet, ifc *listen.Interface, to backend.Route) (why drop.Reason) {
	back := ipc.Context{Interface: u.name, Source: in.Peer}
	if !to.Kea {
		back.Local = unicast(in.Local)
		back.Unbelieved = uint8(u.packet.Relays() - u.path.Believed)
		back.Beside = u.besideDHCPv4(in, ifc)
	}
	start := len(u.buf)
	if u.buf, why = ipc.AppendQuery(u.buf, &u.packet, back); why != drop.None || to.Kea {
		return why
	}
	var ok bool
	if u.buf, ok = u.Signer.Append(u.buf, start, to.Peer, u.now); !ok {
		u.buf = u.buf[:start]
		return drop.NoSession
	}
	if len(u.buf)-start > dhcp6.MaxDatagram {
		u.buf = u.buf[:start]
		return drop.Oversize
	}
	u.Ledger.tell(inResponse, back.Beside)
	return drop.None
}

// besideDHCPv4 returns the options that the response to the current query is to have beside its
// DHCPv4 message, as far as the client asks for them. They are valid until the next datagram.
func (u *Up) besideDHCPv4(in *udp.Packet, ifc *listen.Interface) []byte {
	m := u.packet.Message()
	if m.Count(dhcp6.OptORO) == 0 {
		return nil
	}
	var more *answer.Additions
	if u.set.Services != nil && u.set.Services.beside {
		more = u.service(in, ifc)
	}
	u.supplied = u.answerOn(ifc).AppendBeside(u.supplied[:0], m, more)
	return u.supplied
}

// answer replies to a message other than a DHCPV4-QUERY.
func (u *Up) answer(in *udp.Packet, ifc *listen.Interface) (fate, drop.Reason) {
	start := len(u.buf)
	from, more := u.answerOn(ifc), u.service(in, ifc)
	buf, why := from.Append(u.buf, &u.packet, more)
	switch {
	case why != drop.None:
		return dropped, why
	case len(buf) == start && u.set.Servers != nil:
		return u.passTo(in, ifc) // another server may have what the client asks for
	case len(buf) == start:
		u.silence = silence.NothingToOffer
		return silent, drop.None
	}
	u.buf = buf
	relayed := u.packet.Relays() > 0
	out := u.set.Delivery.packet(toSource(&u.packet, in.Peer), relayed, unicast(in.Local), ifc.Index)
	out.Data = u.buf[start:]
	u.event = event.Datagram{Notes: u.event.Notes, Received: u.now, Interface: ifc.Name, Index: ifc.Index,
		Peer: out.Peer, Local: out.Local, Data: out.Data}
	if !u.set.Hooks.Pkt6Send.Empty() {
		if why := u.atPkt6Send(from, more, start); why != drop.None {
			return dropped, why
		}
		out.Data = u.event.Data
	}
	if u.buf, why = u.set.atBuffer6Send(&u.event, &u.view, u.buf, &out); why != hook.Continue {
		return dropped, why
	}
	u.Ledger.tell(inReply, optionsOf(out.Data))
	u.answers.add(out, pathOf(&u.packet, in))
	return answered, drop.None
}

// optionsOf returns the options of the message in an answer of ours.
func optionsOf(answer []byte) []byte {
	const message, relay, option = 4, 34, 4 // headers
	for dhcp6.Type(answer[0]) == dhcp6.RelayReply {
		code, level, rest, _ := dhcp6.Cut(answer[relay:])
		for code != dhcp6.OptRelayMsg {
			code, level, rest, _ = dhcp6.Cut(rest)
		}
		answer = level[option:]
	}
	return answer[message:]
}

// atPkt6Send has the hooks at pkt6_send look at the answer buf[start:]. If they set options, it is
// built anew.
func (u *Up) atPkt6Send(from *answer.Server, more *answer.Additions, start int) (why drop.Reason) {
	u.byHooks.Reset()
	u.event.Options = &u.byHooks
	why = u.set.Hooks.Pkt6Send.Run(&u.event)
	u.event.Options = nil
	if why != hook.Continue || u.byHooks.Empty() {
		return why
	}
	if u.buf, why = from.AppendOver(u.buf[:start], &u.packet, more, &u.byHooks); why != drop.None {
		return why
	}
	if len(u.buf)-start > dhcp6.MaxDatagram {
		return drop.Oversize
	}
	u.event.Data = u.buf[start:]
	return drop.None
}
