package command

import (
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
	f := c.flags("explain")
	var q network.Facts
	path := attachment.Path{Packet: new(dhcp6.Packet)}
	var relays []relay
	var nearest relay // its identifiers
	var id network.Identity
	addr := func(name, about string, into *netip.Addr) {
		f.Func(name, about, func(s string) (err error) { *into, err = netip.ParseAddr(s); return err })
	}
	identifier := func(name, about string, parse func(string) ([]byte, error), into *[]byte) {
		f.Func(name, about, func(s string) (err error) { *into, err = parse(s); return err })
	}
	addr("source", "IPv6 `address` of the client, or of the relay nearest to dhcp6d", &path.Source)
	f.Func("interface", "`name` of the interface of dhcp6d",
		func(s string) error { path.Interface = []byte(s); return nil })
	f.StringVar(&path.Server, "peer", "", "`name` or address of the dhcp6d, as in DHCP4D_IPC_PEERS")
	f.Func("relay", "`link-address[,peer-address]` of a relay, :: for none; once for each, the one nearest to dhcp6d first", func(s string) error {
		r, err := parseRelay(s)
		relays = append(relays, r)
		return err
	})
	believed := f.Int("believed", -1,
		"how many of the relays dhcp6d believes, from the one nearest to it; `number`, all if not given")
	identifier("interface-id", "Interface-Id of the relay nearest to the client: `text, or 0x and hex`", octets.Parse,
		&nearest.interfaceID)
	identifier("remote-id", "its Remote-Id: `enterprise:text, or 0x and hex`", octets.ParseRemoteID, &nearest.remoteID)
	identifier("subscriber-id", "its Subscriber-Id: `text, or 0x and hex`", octets.Parse, &nearest.subscriberID)
	addr("link-selection", "link selection of option 82, an IPv4 `address`", &q.LinkSelection)
	addr("subnet-selection", "option 118, an IPv4 `address`", &q.SubnetSelection)
	addr("giaddr", "giaddr, an IPv4 `address`", &q.GIAddr)
	identifier("client-id", "client identifier in `hex`, to tell a reservation", octets.ParseHex, &id.ClientID)
	identifier("hw-address", "hardware address of type 1 in any `notation`, to tell a reservation",
		octets.ParseHWAddress, &id.HWAddr)
	kind := dhcp4.Discover
	f.Func("message", "message `type`, such as request; DISCOVER if not given",
		func(s string) (err error) { kind, err = parseType(s); return err })
	var options []byte
	f.Func("option", "DHCPv4 option of the query, `name-or-code=value`, the value text, or 0x and hex; once for each", func(s string) (err error) {
		options, err = appendOption(options, s)
		return err
	})
	if err := f.Parse(args); err != nil {
		return helped(err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("explain: %q is not understood; the query is described by flags, see -h", f.Arg(0))
	}
	switch n := len(relays); {
	case n > 0:
		last := &relays[n-1]
		last.interfaceID, last.remoteID, last.subscriberID = nearest.interfaceID, nearest.remoteID, nearest.subscriberID
	case nearest.interfaceID != nil || nearest.remoteID != nil || nearest.subscriberID != nil:
		return fmt.Errorf("explain: an identifier of a relay needs a -relay, which may be the address ::, as of a " +
			"relay without one")
	}
	if why := path.Packet.Parse(query(relays)); why != drop.None {
		return fmt.Errorf("explain: such a query would be dropped: %w", why)
	}
	if path.Believed = *believed; path.Believed < 0 || path.Believed > len(relays) {
		path.Believed = len(relays)
	}
	q.Locate(&path)
	conf, err := config.Load(environ)
	if err != nil {
		return err
	}
	if path.Source.IsValid() || len(relays) > 0 {
		if !path.Source.IsValid() {
			path.Source = netip.IPv6Unspecified()
		}
		if _, err := fmt.Fprintf(stdout, "attachment point: %v\n",
			leasefile.PointOf(path.AppendPoint(nil))); err != nil {
			return err
		}
	}
	message, err := messageOf(kind, &id, &q, options)
	if err != nil {
		return err
	}
	looked := expression.Query{Path: &path, Message: message}
	eval, remembered := new(expression.Evaluator), new(expression.Membership)
	eval.Begin(looked, conf.Subnets.Classes, remembered)
	q.Classes = eval
	rules, err := newRuling(conf.Hooks, stdout)
	if err != nil {
		return err
	}
	rules.event.Message, rules.event.Evaluator = message, eval
	if err := rules.leavesOut(conf.Hooks, kind); err != nil {
		return err
	}
	if err := rules.at(event.Pkt4Receive); err != nil {
		return err
	}
	selector := network.NewSelector(conf.Subnets)
	for _, line := range selector.Explain(&q) {
		if _, err := fmt.Fprintln(stdout, line); err != nil {
			return err
		}
	}
	id.HWType, id.LinkAddress, id.InterfaceID, id.RemoteID = 1, q.LinkAddress, q.InterfaceID, q.RemoteID
	sub := selector.Select(&q).Subnet
	var reserved *network.Reservation
	if rules.event.Subnet = sub; sub != nil {
		if err := rules.at(event.Subnet4Select); err != nil {
			return err
		}
	}
	if sub != nil && sub.IgnoresID(eval) && len(id.HWAddr) > 0 {
		id.ClientID = nil
		if _, err = fmt.Fprintln(stdout, "identity: the hardware address alone is the client"); err != nil {
			return err
		}
	}
	if sub != nil {
		reserved = sub.Reservations.Of(&id, eval)
		for _, other := range sub.Link {
			if reserved == nil {
				reserved = other.Reservations.Of(&id, eval)
			}
		}
	}
	if reserved != nil {
		kept := "the client"
		switch {
		case reserved.ByPoint():
			kept = "the attachment point"
		case reserved.ByFlex():
			kept = "this value of flex-id"
		case reserved.ByClass():
			kept = "clients of its class"
		}
		what := "no address"
		if reserved.Addr.IsValid() {
			what = reserved.Addr.String()
		}
		if _, err = fmt.Fprintf(stdout, "reservation: %s is kept for %s\n", what, kept); err != nil {
			return err
		}
	}
	looked.Known = reserved != nil
	eval.Begin(looked, conf.Subnets.Classes, remembered)
	if _, err = fmt.Fprintf(stdout, "classes: %s\n", conf.Subnets.ExplainClasses(sub, eval)); err != nil {
		return err
	}
	if sub == nil {
		return errNoSubnet
	}
	if said := refusal(sub, reserved, eval); said != "" {
		if _, err = fmt.Fprintf(stdout, "refused: %s\n", said); err != nil {
			return err
		}
	}
	if sub.LimitBy != nil && sub.Limit > 0 {
		by := "the attachment point"
		if name, ok := sub.LimitBy.Octets(eval); ok && len(name) > 0 {
			by = octets.Show(name)
		}
		if _, err = fmt.Fprintf(stdout, "limit: %d, counted by %s\n", sub.Limit, by); err != nil {
			return err
		}
	}
	if kind == dhcp4.Discover {
		return rules.at(event.Lease4Select)
	}
	return nil
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
