package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// relay is a relay level that somebody asks about.
type relay struct {
	link, peer                          netip.Addr
	interfaceID, remoteID, subscriberID []byte
}

// parseRelay reads "link-address[,peer-address]".
func parseRelay(s string) (r relay, err error) {
	link, peer, hasPeer := strings.Cut(s, ",")
	if !hasPeer {
		peer = "::"
	}
	if r.link, err = netip.ParseAddr(link); err == nil {
		r.peer, err = netip.ParseAddr(peer)
	}
	if err == nil && (!r.link.Is6() || !r.peer.Is6()) {
		err = fmt.Errorf("%q has an address that is not IPv6", s)
	}
	return r, err
}

// query builds a query that came through relays, the one nearest to dhcp6d first.
func query(relays []relay) []byte {
	b := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	for i, r := range slices.Backward(relays) {
		var options []byte
		for _, o := range []struct {
			code dhcp6.Code
			data []byte
		}{{dhcp6.OptInterfaceID, r.interfaceID}, {dhcp6.OptRemoteID, r.remoteID},
			{dhcp6.OptSubscriberID, r.subscriberID}} {
			if o.data != nil {
				options = dhcp6.AppendOption(options, o.code, o.data)
			}
		}
		b = dhcp6.AppendRelayForward(nil, uint8(len(relays)-1-i), r.link, r.peer, options, b)
	}
	return b
}

// explain tells which subnet a query would get by the configuration in the environment, and where
// its client is attached. It asks no daemon: it builds the query and sends it the way of a packet.
func explain(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	c := &call{ctx: ctx, environ: environ, stdout: stdout, stderr: stderr}
	q, err := c.readQuestion(args)
	if err != nil {
		return helped(err)
	}
	conf, err := config.Load(environ)
	if err != nil {
		return err
	}
	e := &explanation{question: q, conf: &conf, out: stdout}
	err = e.explain()
	return cmp.Or(e.failed, err)
}

// question is a query that flags describe.
type question struct {
	facts    network.Facts
	path     attachment.Path
	identity network.Identity
	relays   []relay // the one nearest to dhcp6d first
	kind     dhcp4.MessageType
	options  []byte // of the DHCPv4 message
}

// readQuestion reads the flags of explain.
func (c *call) readQuestion(args []string) (*question, error) {
	f := c.flags("explain")
	q := &question{path: attachment.Path{Packet: new(dhcp6.Packet)}, kind: dhcp4.Discover}
	var nearest relay // to the client: its identifiers
	addr := func(name, about string, into *netip.Addr) {
		f.Func(name, about, func(s string) (err error) {
			if *into, err = netip.ParseAddr(s); err != nil {
				return errors.New("it is no address")
			}
			return nil
		})
	}
	identifier := func(name, about string, parse func(string) ([]byte, error), into *[]byte) {
		f.Func(name, about, func(s string) (err error) {
			if *into, err = parse(s); err != nil { // the flags say the value
				return errors.New(strings.TrimPrefix(err.Error(), strconv.Quote(s)+" "))
			}
			return nil
		})
	}
	addr("source", "IPv6 `address` of the client, or of the relay nearest to dhcp6d", &q.path.Source)
	f.Func("interface", "`name` of the interface of dhcp6d",
		func(s string) error { q.path.Interface = []byte(s); return nil })
	f.StringVar(&q.path.Server, "peer", "", "`name` or address of the dhcp6d, as in DHCP4D_IPC_PEERS")
	f.Func("relay", "`link-address[,peer-address]` of a relay, :: for none; once for each, the one nearest to dhcp6d "+
		"first", func(s string) error {
		r, err := parseRelay(s)
		q.relays = append(q.relays, r)
		return err
	})
	believed := f.Int("believed", -1,
		"how many of the relays dhcp6d believes, from the one nearest to it; `number`, all if not given")
	identifier("interface-id", "Interface-Id of the relay nearest to the client: `text, or 0x and hex`", octets.Parse,
		&nearest.interfaceID)
	identifier("remote-id", "its Remote-Id: `enterprise:text, or 0x and hex`", octets.ParseRemoteID, &nearest.remoteID)
	identifier("subscriber-id", "its Subscriber-Id: `text, or 0x and hex`", octets.Parse, &nearest.subscriberID)
	addr("link-selection", "link selection of option 82, an IPv4 `address`", &q.facts.LinkSelection)
	addr("subnet-selection", "option 118, an IPv4 `address`", &q.facts.SubnetSelection)
	addr("giaddr", "giaddr, an IPv4 `address`", &q.facts.GIAddr)
	identifier("client-id", "client identifier in `hex`, to tell a reservation", octets.ParseHex, &q.identity.ClientID)
	identifier("hw-address", "hardware address of type 1 in any `notation`, to tell a reservation",
		octets.ParseHWAddress, &q.identity.HWAddr)
	f.Func("message", "message `type`, such as request; DISCOVER if not given",
		func(s string) (err error) { q.kind, err = parseType(s); return err })
	f.Func("option", "DHCPv4 option of the query, `name-or-code=value`, the value text, or 0x and hex; once for "+
		"each", func(s string) (err error) {
		q.options, err = appendOption(q.options, s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("explain: %q is not understood; the query is described by flags, see -h", f.Arg(0))
	}
	return q, q.locate(&nearest, *believed)
}

// locate sets the way of the query. Nearest has the identifiers of the relay nearest to the client.
func (q *question) locate(nearest *relay, believed int) error {
	switch n := len(q.relays); {
	case n > 0:
		last := &q.relays[n-1]
		last.interfaceID, last.remoteID, last.subscriberID = nearest.interfaceID, nearest.remoteID, nearest.subscriberID
	case nearest.interfaceID != nil || nearest.remoteID != nil || nearest.subscriberID != nil:
		return fmt.Errorf("explain: an identifier of a relay needs a -relay, which may be the address ::, as of a " +
			"relay without one")
	}
	if why := q.path.Packet.Parse(query(q.relays)); why != drop.None {
		return fmt.Errorf("explain: such a query would be dropped: %w", why)
	}
	if q.path.Believed = believed; believed < 0 || believed > len(q.relays) {
		q.path.Believed = len(q.relays)
	}
	q.facts.Locate(&q.path)
	return nil
}

// explanation is what becomes of a question by a configuration.
type explanation struct {
	*question
	conf   *config.Config
	out    io.Writer
	failed error // of out

	looked   expression.Query
	eval     expression.Evaluator
	member   expression.Membership
	rules    *ruling
	subnet   *network.Subnet // nil: none
	reserved *network.Reservation
}

// say writes a line.
func (e *explanation) say(format string, args ...any) {
	if _, err := fmt.Fprintf(e.out, format+"\n", args...); e.failed == nil {
		e.failed = err
	}
}

// explain takes the query the way of a packet, and tells of each step.
func (e *explanation) explain() error {
	e.sayPoint()
	if err := e.begin(); err != nil {
		return err
	}
	if err := e.selectSubnet(); err != nil {
		return err
	}
	e.findReservation()
	e.looked.Known = e.reserved != nil
	e.eval.Begin(e.looked, e.conf.Subnets.Classes, &e.member)
	e.say("classes: %s", e.conf.Subnets.ExplainClasses(e.subnet, &e.eval))
	if e.subnet == nil {
		return errNoSubnet
	}
	e.sayLimits()
	if e.kind == dhcp4.Discover {
		return e.rules.at(event.Lease4Select)
	}
	return nil
}

// sayPoint tells where the client is attached, if the flags say that.
func (e *explanation) sayPoint() {
	if !e.path.Source.IsValid() && len(e.relays) == 0 {
		return
	}
	if !e.path.Source.IsValid() {
		e.path.Source = netip.IPv6Unspecified()
	}
	e.say("attachment point: %v", leasefile.PointOf(e.path.AppendPoint(nil)))
}

// begin makes the message, has expressions look at it, and runs the rules at pkt4_receive.
func (e *explanation) begin() error {
	message, err := messageOf(e.kind, &e.identity, &e.facts, e.options)
	if err != nil {
		return err
	}
	e.looked = expression.Query{Path: &e.path, Message: message}
	e.eval.Begin(e.looked, e.conf.Subnets.Classes, &e.member)
	e.facts.Classes = &e.eval
	if e.rules, err = newRuling(e.conf.Hooks, e.out); err != nil {
		return err
	}
	e.rules.event.Message, e.rules.event.Evaluator = message, &e.eval
	if err := e.rules.leavesOut(e.conf.Hooks, e.kind); err != nil {
		return err
	}
	return e.rules.at(event.Pkt4Receive)
}

// selectSubnet selects the subnet, and runs the rules at subnet4_select.
func (e *explanation) selectSubnet() error {
	selector := network.NewSelector(e.conf.Subnets)
	for _, line := range selector.Explain(&e.facts) {
		e.say("%s", line)
	}
	e.subnet = selector.Select(&e.facts).Subnet
	if e.rules.event.Subnet = e.subnet; e.subnet == nil {
		return nil
	}
	return e.rules.at(event.Subnet4Select)
}

// findReservation finds the reservation of the client, and tells of it.
func (e *explanation) findReservation() {
	if e.subnet == nil {
		return
	}
	id := &e.identity
	id.HWType, id.LinkAddress = 1, e.facts.LinkAddress
	id.InterfaceID, id.RemoteID = e.facts.InterfaceID, e.facts.RemoteID
	if e.subnet.IgnoresID(&e.eval) && len(id.HWAddr) > 0 {
		id.ClientID = nil
		e.say("identity: the hardware address alone is the client")
	}
	e.reserved = e.subnet.Reservations.Of(id, &e.eval)
	for _, other := range e.subnet.Link {
		if e.reserved == nil {
			e.reserved = other.Reservations.Of(id, &e.eval)
		}
	}
	if e.reserved == nil {
		return
	}
	kept := "the client"
	switch {
	case e.reserved.ByPoint():
		kept = "the attachment point"
	case e.reserved.ByFlex():
		kept = "this value of flex-id"
	case e.reserved.ByClass():
		kept = "clients of its class"
	}
	what := "no address"
	if e.reserved.Addr.IsValid() {
		what = e.reserved.Addr.String()
	}
	e.say("reservation: %s is kept for %s", what, kept)
}

// sayLimits tells whether the client is refused, and what its leases are counted by.
func (e *explanation) sayLimits() {
	if said := refusal(e.subnet, e.reserved, &e.eval); said != "" {
		e.say("refused: %s", said)
	}
	if e.subnet.LimitBy == nil || e.subnet.Limit == 0 {
		return
	}
	by := "the attachment point"
	if name, ok := e.subnet.LimitBy.Octets(&e.eval); ok && len(name) > 0 {
		by = octets.Show(name)
	}
	e.say("limit: %d, counted by %s", e.subnet.Limit, by)
}

// refusal says how a query is refused by its classes or its reservation, "" if it is not.
func refusal(sub *network.Subnet, reserved *network.Reservation, e *expression.Evaluator) string {
	var by network.Refusal
	for _, c := range sub.AppendClasses(nil, e) {
		by = max(by, c.Refused)
	}
	if reserved != nil {
		by = max(by, reserved.Refused)
	}
	switch by {
	case network.RefusedSilent:
		return "the query gets no answer (class_refused)"
	case network.RefusedNak:
		return "a REQUEST gets a NAK, other messages no answer (class_refused)"
	}
	return ""
}

// ruling runs the rules of the operator for a query, and tells which are true of it.
type ruling struct {
	hooks *event.Hooks // nil: there are no rules
	event event.Query
	notes hook.Notes
	out   io.Writer
}

func newRuling(configured []hook.Configured, out io.Writer) (*ruling, error) {
	made, err := hooks.Rules(configured)
	if err != nil {
		return nil, err
	}
	r := &ruling{hooks: made, out: out}
	r.event.Notes = &r.notes
	return r, nil
}

// leavesOut says what else dhcp4d does with such a query. It needs the octets of a message, leases
// or a program.
func (r *ruling) leavesOut(configured []hook.Configured, kind dhcp4.MessageType) error {
	var points []string
	if h := r.hooks; h != nil {
		discover := kind == dhcp4.Discover
		for _, p := range []struct {
			name hook.FilterPoint[event.Query]
			list *hook.List[event.Query]
			runs bool // here, or not at all for such a message
		}{
			{event.Buffer4Receive, &h.Buffer4Receive, false}, {event.Lease4Select, &h.Lease4Select, discover},
			{event.Lease4Renew, &h.Lease4Renew, discover}, {event.Lease4Release, &h.Lease4Release, kind != dhcp4.Release},
			{event.Lease4Decline, &h.Lease4Decline, kind != dhcp4.Decline},
			{event.Pkt4Send, &h.Pkt4Send, false}, {event.Buffer4Send, &h.Buffer4Send, false},
		} {
			if !p.list.Empty() && !p.runs {
				points = append(points, string(p.name))
			}
		}
	}
	var left []string
	if len(points) > 0 {
		left = append(left, "the rules at "+strings.Join(points, ", "))
	}
	if len(hook.Only(configured, "outside")) > 0 {
		left = append(left, "the program outside")
	}
	if len(left) == 0 {
		return nil
	}
	_, err := fmt.Fprintf(r.out, "left out here: %s; see dhcp4d hook test\n", strings.Join(left, ", and "))
	return err
}

// at runs the rules of a point. The error says that they do not let the query pass.
func (r *ruling) at(p hook.FilterPoint[event.Query]) error {
	if r.hooks == nil {
		return nil
	}
	list := map[hook.FilterPoint[event.Query]]*hook.List[event.Query]{
		event.Pkt4Receive: &r.hooks.Pkt4Receive, event.Subnet4Select: &r.hooks.Subnet4Select,
		event.Lease4Select: &r.hooks.Lease4Select,
	}[p]
	r.notes.Lines = r.notes.Lines[:0]
	why := list.Run(&r.event)
	for _, note := range r.notes.Lines {
		if _, err := fmt.Fprintf(r.out, "%s: %s\n", p, note); err != nil {
			return err
		}
	}
	if why != hook.Continue {
		return fmt.Errorf("explain: dhcp4d would drop the query (%s): %v does not let it pass", why.Label(),
			r.event.Culprit)
	}
	return nil
}

// errNoSubnet is for the exit status: the lines before it say why.
var errNoSubnet = errors.New("explain: dhcp4d would drop the query (no_subnet)")

// parseType reads a message type by its name.
func parseType(s string) (dhcp4.MessageType, error) {
	for t := dhcp4.Discover; t <= dhcp4.Inform; t++ {
		if strings.EqualFold(t.String(), s) {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is no message type", s)
}

// appendOption reads name-or-code=value and appends the option.
func appendOption(options []byte, s string) ([]byte, error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok {
		return options, fmt.Errorf("%q has no = between option and value", s)
	}
	code, known := encode.CodeOf(name)
	if n, err := strconv.ParseUint(name, 10, 8); err == nil {
		code, known = byte(n), true
	}
	if !known || code == dhcp4.OptPad || code == dhcp4.OptEnd || code == dhcp4.OptMessageType {
		return options, fmt.Errorf("%q is no name or code of an option that can be given", name)
	}
	var content []byte
	if value != "" {
		var err error
		if content, err = octets.Parse(value); err != nil {
			return options, err
		}
	}
	return dhcp4.AppendOption(options, code, content), nil
}

// messageOf builds the DHCPv4 message of the query.
func messageOf(kind dhcp4.MessageType, id *network.Identity, q *network.Facts, options []byte) (*dhcp4.Message, error) {
	h := dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: byte(min(len(id.HWAddr), 16)), GIAddr: q.GIAddr}
	copy(h.CHAddr[:], id.HWAddr)
	b := dhcp4.AppendType(dhcp4.AppendHeader(nil, &h), kind)
	if id.ClientID != nil {
		b = dhcp4.AppendOption(b, dhcp4.OptClientIdentifier, id.ClientID)
	}
	if q.SubnetSelection.Is4() {
		b = dhcp4.AppendAddr(b, dhcp4.OptSubnetSelection, q.SubnetSelection)
	}
	if q.LinkSelection.Is4() {
		a := q.LinkSelection.As4()
		b = dhcp4.AppendOption(b, dhcp4.OptRelayAgentInformation, append([]byte{5, 4}, a[:]...))
	}
	m := new(dhcp4.Message)
	if why := m.Parse(dhcp4.AppendEnd(append(b, options...))); why != drop.None {
		return nil, fmt.Errorf("explain: such a query would be dropped: %w", why)
	}
	return m, nil
}
