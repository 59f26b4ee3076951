package kea

import (
	"fmt"
	"net/netip"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// subnetReservations converts the reservations in a subnet.
func (c *converter) subnetReservations(n *subnet) (all []*yaml.Node) {
	looks := c.inSubnet(n)
	for _, r := range items(n.from.get("reservations")) {
		if !looks {
			c.left(r, "Kea is told not to look for reservations in the subnet")
		} else if m := c.reservation(r); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// inSubnet reports whether Kea looks for reservations in a subnet.
func (c *converter) inSubnet(n *subnet) bool {
	from := append(n.levels(), c.global)
	for _, key := range []string{"reservation-mode", "reservations-in-subnet", "reservations-global",
		"reservations-out-of-pool"} {
		for _, f := range from {
			if v := f.get(key); v != nil && !v.said {
				c.taken(v, "by which reservations are written")
			}
		}
	}
	if v := pick("reservations-in-subnet", from...); v != nil {
		return isTrue(v)
	}
	mode := content(pick("reservation-mode", from...))
	return mode == "" || mode == "all" || mode == "in-subnet" || mode == "out-of-pool"
}

// client is who a reservation is for.
type client struct {
	key  string // of a reservation of ours; empty if there is none
	text string
	test string
	by   string // the expression of flex-id
}

// identity reads who a reservation is for. It tells left why it cannot.
func (c *converter) identity(r *value, left func(v *value, format string, args ...any)) (client, *value, bool) {
	for _, key := range []string{"hw-address", "client-id", "circuit-id", "duid", "flex-id"} {
		v := r.get(key)
		if v == nil {
			continue
		}
		parse := plain
		if key == "hw-address" {
			parse = octets.ParseHWAddress
		}
		b, err := parse(content(v))
		if err != nil || len(b) == 0 {
			left(r, "its %s cannot be read: %q is neither hex nor text in single quotes", key, content(v))
			return client{}, v, false
		}
		colons := string(octets.AppendHex(nil, b))
		switch key {
		case "hw-address":
			return client{key: key, text: colons, test: fmt.Sprintf("pkt4.mac == 0x%x", b)}, v, true
		case "client-id":
			return client{key: key, text: colons, test: fmt.Sprintf("option[61].hex == 0x%x", b)}, v, true
		case "circuit-id":
			return client{key: key, text: octets.Show(b), test: fmt.Sprintf("relay4[1].hex == 0x%x", b)}, v, true
		case "duid":
			k := client{test: fmt.Sprintf("%s == 0x%x", duidExpression, b)}
			if c.flexID == "" {
				k.key, k.text, k.by = "flex-id", octets.Show(b), duidExpression
			}
			return k, v, true
		}
		if c.flexID == "" {
			left(r, "a flex-id means nothing without the hook flex_id and its identifier-expression")
			return client{}, v, false
		}
		return client{"flex-id", octets.Show(b), fmt.Sprintf("%s == 0x%x", c.flexID, b), c.flexID}, v, true
	}
	left(r, "it names no client")
	return client{}, nil, false
}

// duidExpression is the DUID in a client identifier (RFC 4361).
const duidExpression = "ifelse(substring(option[61].hex, 0, 1) == 0xff, substring(option[61].hex, 5, all), '')"

// reservation converts a reservation. It returns nil if there is nothing to write.
func (c *converter) reservation(r *value) *yaml.Node {
	who, by, ok := c.identity(r, c.left)
	if !ok {
		return nil
	}
	if who.key == "" {
		c.left(r, "flex-id tells clients apart by the expression of the hook flex_id, and so not by DUID; "+
			"name its client by client-id: ff, the IAID and the DUID")
		return nil
	}
	m := mapping()
	c.origin[m] = r
	c.put(m, who.key, str(who.text), by)
	if who.key == "circuit-id" {
		c.changed(by,
			"as circuit-id, which counts only in queries of 4o6 relay agents: mark theirs with trust-inner in match")
	} else {
		c.taken(by, "as %s", who.key)
	}
	if address := r.get("ip-address"); !noAddress(r) {
		c.put(m, "address", scalar(content(address)), address)
		c.taken(address, "as address")
	}
	for _, item := range items(r.get("client-classes")) {
		name := content(item)
		k := c.class(name)
		switch {
		case name == dropClass:
			c.put(m, "refuse", scalar("silent"), item)
			c.taken(item, "as refuse: silent")
		case k == nil:
			c.left(item, "no class %s is defined", name)
		default:
			k.members = append(k.members, "("+who.test+")")
			c.taken(item, "in the test of the class")
		}
	}
	c.carried(m, r)
	o := c.noTagged(c.options(r.get("option-data"), c.defs))
	if v := r.get("hostname"); content(v) != "" {
		if o.has(12) {
			c.left(v, "the reservation has the option host-name")
		} else {
			o.all = append(o.all, optionValue{12, "host-name", str(content(v)), v})
			c.taken(v, "as the option host-name")
		}
	}
	c.writeOptions(m, o)
	if len(m.Content) <= 2 {
		c.note(r, Changed,
			"it is not written: it gives its client nothing. The client is known where a class asks for that")
		return nil
	}
	if who.by != "" {
		c.flex = who.by
	}
	return m
}

// noAddress reports whether a reservation has no address.
func noAddress(r *value) bool {
	a := content(r.get("ip-address"))
	return a == "" || a == "0.0.0.0"
}

// bare reports whether a reservation gives nothing but classes.
func bare(r *value) bool {
	for _, key := range []string{"hostname", "next-server", "server-hostname", "boot-file-name"} {
		if v := content(r.get(key)); v != "" && v != "0.0.0.0" {
			return false
		}
	}
	return noAddress(r) && len(items(r.get("option-data"))) == 0 &&
		!slices.ContainsFunc(items(r.get("client-classes")), func(v *value) bool { return content(v) == dropClass })
}

// globalReservations converts the reservations at the top.
func (c *converter) globalReservations(d *value) {
	all := items(d.get("reservations"))
	global := isTrue(d.get("reservations-global")) || content(d.get("reservation-mode")) == "global"
	for _, s := range append(items(d.get("subnet4")), items(d.get("shared-networks"))...) {
		global = global || isTrue(s.get("reservations-global")) || content(s.get("reservation-mode")) == "global"
	}
	if len(all) == 0 {
		return
	}
	targets := make([]*target, len(c.subnets.Content))
	byPrefix := map[netip.Prefix][]*target{}
	for i, s := range c.subnets.Content {
		targets[i] = &target{subnet: s, number: i}
		if p, err := netip.ParsePrefix(child(s, "subnet").Value); err == nil {
			byPrefix[p] = append(byPrefix[p], targets[i])
		}
	}
	copies := 0 // of reservations that are written into every subnet
	for _, r := range all {
		if !global {
			c.left(r, "Kea looks for reservations at the top only with reservations-global, which is not set")
			continue
		}
		within := targets
		if !noAddress(r) {
			within = around(byPrefix, content(r.get("ip-address")))
		} else if copies += len(targets); copies > maxCopies {
			c.left(r, "it has no address, so it would stand in each of the %d subnets, and all such reservations "+
				"together more than %d times; put it into the subnets where its client is", len(targets), maxCopies)
			continue
		}
		c.globalReservation(r, within)
	}
}

// maxCopies bounds how often reservations of the top that have no address are written. Each of them
// is written into every subnet, so a short configuration could make a huge document.
const maxCopies = 10_000

// target is a subnet of the document, into which reservations of the top are written.
type target struct {
	subnet *yaml.Node
	number int
	all    *yaml.Node         // its reservations
	known  map[[2]string]bool // their clients
}

// around returns the targets that an address lies in, in the order of the document.
func around(byPrefix map[netip.Prefix][]*target, address string) (within []*target) {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return nil
	}
	for bits := range 33 {
		p, _ := a.Prefix(bits) // of an IPv4 address
		within = append(within, byPrefix[p]...)
	}
	slices.SortFunc(within, func(a, b *target) int { return a.number - b.number })
	return within
}

// add adds a reservation. If it has no address, the client's own of the subnet goes before.
func (t *target) add(c *converter, r *value, m *yaml.Node) {
	if t.all == nil {
		if t.all = child(t.subnet, "reservations"); t.all == nil {
			t.all = &yaml.Node{Kind: yaml.SequenceNode}
			c.put(t.subnet, "reservations", t.all, nil)
		}
		t.known = map[[2]string]bool{}
		for _, n := range t.all.Content {
			t.known[clientOf(n)] = true
		}
	}
	if noAddress(r) && t.known[clientOf(m)] {
		return
	}
	t.known[clientOf(m)] = true
	twin := copied(m)
	c.origin[twin] = r
	t.all.Content = append(t.all.Content, twin)
}

// clientOf returns who a reservation is for, as it is written.
func clientOf(m *yaml.Node) [2]string { return [2]string{m.Content[0].Value, m.Content[1].Value} }

// globalReservation writes a reservation of the top into the subnets that it is for.
func (c *converter) globalReservation(r *value, within []*target) {
	if len(within) == 0 {
		c.left(r, "%s is in no subnet", content(r.get("ip-address")))
		return
	}
	m := c.reservation(r)
	if m == nil {
		return
	}
	for _, p := range within {
		p.add(c, r, m)
	}
	if noAddress(r) {
		c.note(r, Changed, "as a reservation of each subnet")
	} else {
		c.note(r, Changed, "as a reservation of the subnet %s, which has the address",
			child(within[0].subnet, "subnet").Value)
	}
}

// readKnown collects the clients that have a reservation which gives them nothing but classes. In
// Kea they are known.
func (c *converter) readKnown(d *value) {
	var lists []*value
	subnets := items(d.get("subnet4"))
	for _, n := range items(d.get("shared-networks")) {
		subnets = append(subnets, items(n.get("subnet4"))...)
	}
	for _, s := range subnets {
		lists = append(lists, s.get("reservations"))
	}
	if isTrue(d.get("reservations-global")) {
		lists = append(lists, d.get("reservations"))
	}
	for _, l := range lists {
		for _, r := range items(l) {
			if who, _, ok := c.identity(r, func(*value, string, ...any) {}); ok && bare(r) {
				c.known = append(c.known, "("+who.test+")")
			}
		}
	}
}
