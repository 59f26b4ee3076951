package kea

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// network converts a shared network.
func (c *converter) network(n *value) {
	if n.kind != object {
		c.left(n, "must be an object")
		return
	}
	subnets := items(n.get("subnet4"))
	name := content(n.get("name"))
	for _, s := range subnets {
		c.subnet(s, n)
	}
	c.reach(name)
	for _, key := range inherited {
		if v := n.get(key); v != nil && !someSaid(v) && !empty(v) {
			c.taken(v, "each subnet of the network says it itself")
		}
	}
	if v := n.get("name"); v != nil {
		if len(subnets) > 1 {
			c.taken(v, "as network of its subnets")
		} else {
			c.left(v, "a network of one subnet is that subnet")
		}
	}
}

// inherited are the keys that a subnet takes from its shared network if it does not have them.
var inherited = []string{
	"valid-lifetime", "min-valid-lifetime", "max-valid-lifetime", "renew-timer", "rebind-timer", "calculate-tee-times",
	"t1-percent", "t2-percent", "authoritative", "match-client-id", "next-server", "server-hostname", "boot-file-name",
	"interface", "client-class", "client-classes",
}

// subnet converts a subnet. The network is nil if it is in none.
func (c *converter) subnet(s, network *value) {
	if s.kind != object {
		c.left(s, "must be an object")
		return
	}
	prefix, ok := c.prefix(s)
	if !ok {
		return
	}
	m := mapping()
	c.origin[m] = s
	c.id(m, s)
	c.put(m, "subnet", scalar(prefix.String()), s.get("subnet"))
	from := []*value{s}
	if network != nil {
		from = append(from, network)
	}
	shared := network != nil && len(items(network.get("subnet4"))) > 1
	var guards []string
	if shared {
		c.put(m, "network", str(content(network.get("name"))), s)
		if guards, ok = c.guards(s); !ok {
			c.left(s, "clients of a class that is not known have it alone")
			return
		}
		c.match(m, network, s, network, prefix)
	} else {
		c.match(m, s, s, network, prefix)
	}

	pools := &yaml.Node{Kind: yaml.SequenceNode}
	inPools := map[byte]bool{}
	for _, p := range items(s.get("pools")) {
		c.pool(pools, p, prefix, guards, inPools)
	}
	if len(items(s.get("pools"))) == 1 {
		from = append([]*value{s.get("pools").values[0]}, from...) // its additional classes are those of the subnet
	}
	c.put(m, "pools", pools, nil)
	own := from[len(from)-1:]
	if network != nil {
		own = from[len(from)-2:]
	}
	c.level(m, own[0], network)
	o := c.options(s.get("option-data"), c.defs)
	if network != nil {
		o.under(c.options(network.get("option-data"), c.defs))
	}
	c.writeOptions(m, o)

	classes, codes := c.additional(from)
	classes = append(classes, c.over(o, codes, inPools, s)...)
	classes = append(classes, c.forSome(o)...)
	reservations := &yaml.Node{Kind: yaml.SequenceNode}
	if c.inSubnet(s, network) {
		for _, r := range items(s.get("reservations")) {
			if m := c.reservation(r); m != nil {
				reservations.Content = append(reservations.Content, m)
			}
		}
	} else {
		for _, r := range items(s.get("reservations")) {
			c.left(r, "Kea is told not to look for reservations in the subnet")
		}
	}
	if len(classes) > 0 {
		c.put(m, "classes", &yaml.Node{Kind: yaml.SequenceNode, Content: classes}, nil)
	}
	if len(reservations.Content) > 0 {
		c.put(m, "reservations", reservations, nil)
	}
	c.subnets.Content = append(c.subnets.Content, m)
	if shared {
		name := content(network.get("name"))
		c.networks[name] = append(c.networks[name], m)
	}
}

func (c *converter) prefix(s *value) (netip.Prefix, bool) {
	v := s.get("subnet")
	if v == nil {
		c.left(s, "has no subnet; give it an IPv4 prefix")
		return netip.Prefix{}, false
	}
	p, err := netip.ParsePrefix(strings.ReplaceAll(content(v), " ", ""))
	switch {
	case err != nil || !p.Addr().Is4():
		c.left(s, "%q is no IPv4 prefix", content(v))
		return netip.Prefix{}, false
	case p != p.Masked():
		c.changed(v, "as %s", p.Masked())
	default:
		c.taken(v, "as subnet")
	}
	return p.Masked(), true
}

// id takes the id of a subnet, or numbers it as Kea does.
func (c *converter) id(m *yaml.Node, s *value) {
	v := s.get("id")
	if n, err := strconv.ParseUint(content(v), 10, 32); v != nil && err == nil && n > 0 {
		c.put(m, "id", scalar(strconv.FormatUint(n, 10)), v)
		c.taken(v, "as id")
		return
	}
	c.nextID++
	c.put(m, "id", scalar(strconv.Itoa(c.nextID)), s)
	if v != nil {
		c.changed(v, "as %d", c.nextID)
		return
	}
	c.note(s, Changed, "it has no id; it gets %d, as in Kea up to 2.4. The id must stay the same", c.nextID)
}

// guards are the classes that a subnet or a pool is for, nil if it is for all.
func (c *converter) guards(from ...*value) (names []string, ok bool) {
	ok = true
	for _, f := range from {
		var all []*value
		if v := f.get("client-class"); v != nil && content(v) != "" {
			all = append(all, v)
		}
		for _, key := range []string{"client-classes"} {
			all = append(all, items(f.get(key))...)
		}
		for _, v := range all {
			name, found := c.named(content(v), v)
			if !found {
				ok = false
				continue
			}
			names = append(names, name)
			if !v.said {
				c.taken(v, "as a class that it is for")
			}
		}
		if len(all) > 0 {
			return names, ok && len(names) > 0
		}
	}
	return nil, ok
}

// reach gives the first subnet of a network an empty match if none has one: it must be said which
// queries are for the network.
func (c *converter) reach(name string) {
	var first *yaml.Node
	for _, s := range c.networks[name] {
		if child(s, "match") != nil {
			return
		}
		if first == nil {
			first = s
		}
	}
	if first != nil {
		c.unmatched(first, c.origin[first], child(first, "subnet").Value)
	}
}

func (c *converter) unmatched(m *yaml.Node, from *value, prefix string) {
	none := flow()
	none.LineComment = "say here which queries are for it"
	c.put(m, "match", none, from)
	c.out.Unmatched = append(c.out.Unmatched, prefix)
	c.note(from, Changed, unmatchedText)
}

// onlyLink gives the queries of the only interface to the only subnet, or to the only network.
func (c *converter) onlyLink() {
	if c.link == "" || len(c.out.Unmatched) != 1 {
		return
	}
	var none *yaml.Node
	for _, s := range c.subnets.Content {
		switch m := child(s, "match"); {
		case m == nil: // of the network
		case len(m.Content) > 0 || none != nil:
			return
		default:
			none = m
		}
	}
	entry := mapping()
	entry.Style = yaml.FlowStyle
	c.put(entry, "interface", str(c.link), c.origin[none])
	none.Content, none.LineComment = append(none.Content, entry), ""
	c.out.Unmatched = nil
	c.lines = slices.DeleteFunc(c.lines, func(l Line) bool { return l.Text == unmatchedText })
	c.note(c.origin[none], Changed,
		"match is the interface %s, the only one that Kea serves, as an interface of dhcp6d", c.link)
}

const unmatchedText = "match is empty: nothing in the configuration says which queries of DHCPv4 over DHCPv6 are for " +
	"the subnet; give it entries"

// match writes which queries a subnet is for, if they are of the classes that guard says.
func (c *converter) match(m *yaml.Node, guard, s, network *value, prefix netip.Prefix) {
	var entries [][2]*yaml.Node
	add := func(key string, v *value, text string) {
		k, n := scalar(key), str(text)
		c.origin[n] = v
		entries = append(entries, [2]*yaml.Node{k, n})
	}
	if v := s.get("4o6-subnet"); content(v) != "" {
		p, err := netip.ParsePrefix(content(v))
		if err != nil {
			c.left(v, "%q is no IPv6 prefix", content(v))
		} else {
			add("prefix", v, p.Masked().String())
			c.takenAs(v, "prefix in match")
		}
	}
	if v := s.get("4o6-interface-id"); content(v) != "" {
		if b, err := plain(content(v)); err == nil && strings.HasPrefix(content(v), "'") {
			add("interface-id", v, octets.Show(b))
		} else {
			add("interface-id", v, octets.Show([]byte(content(v))))
		}
		c.takenAs(v, "interface-id in match")
	}
	if v := s.get("4o6-interface"); content(v) != "" {
		add("interface", v, content(v))
		c.takenAs(v, "interface in match")
	}
	from := []*value{s}
	if network != nil {
		from = append(from, network)
	}
	if v := pick("interface", from...); content(v) != "" {
		if len(entries) == 0 {
			add("interface", v, content(v))
			c.changed(v, "as interface in match, which is an interface of dhcp6d")
		} else {
			c.left(v, "which queries of DHCPv4 over DHCPv6 the subnet is for, its 4o6 keys say")
		}
	}
	if guard == s {
		from = from[:1]
		if network != nil {
			from = append(from, network)
		}
	} else {
		from = []*value{guard}
	}
	classes, ok := c.guards(from...)
	all := flow()
	if classes == nil {
		classes = []string{""}
	}
	for _, e := range entries {
		for _, class := range classes {
			entry := mapping()
			entry.Style = yaml.FlowStyle
			entry.Content = append(entry.Content, e[0], copied(e[1]))
			c.origin[entry] = c.origin[e[1]]
			if class != "" {
				c.put(entry, "class", str(class), c.origin[e[1]])
			}
			claim := e[0].Value + " " + e[1].Value + " " + class
			if first := c.claimed[claim]; first != "" {
				if guard == s {
					c.note(c.origin[e[1]], Left, "the subnet %s has the claim on these queries already", first)
				}
				continue
			}
			c.claimed[claim] = prefix.String()
			if ok {
				all.Content = append(all.Content, entry)
			}
		}
	}
	switch {
	case len(all.Content) > 0:
		c.put(m, "match", all, nil)
	case guard == s: // else another subnet of the network may have it
		c.unmatched(m, s, prefix.String())
	}
}

// pool converts a pool, of a subnet that is for some classes.
func (c *converter) pool(pools *yaml.Node, p *value, prefix netip.Prefix, guards []string, given map[byte]bool) {
	v := p.get("pool")
	first, last, ok := span(content(v))
	if v == nil || !ok {
		c.left(p, "it has no range of IPv4 addresses")
		return
	}
	text := strings.ReplaceAll(content(v), " ", "")
	if !strings.Contains(text, "/") {
		text = first.String() + "-" + last.String()
	}
	network, broadcast := prefix.Addr(), lastOf(prefix)
	switch {
	case prefix.Bits() <= 30 && !strings.Contains(text, "/") && first != last &&
		(first == network || last == broadcast):
		if first == network {
			first = first.Next()
		}
		if last == broadcast {
			last = last.Prev()
		}
		text = first.String() + "-" + last.String()
		c.changed(v, "as %s: no client gets the address of the network itself, or the broadcast address", text)
	case first == prefix.Addr().Next() || first == network:
		c.changed(v, "as a pool, without %s, unless server-id says another address: it is the server identifier",
			prefix.Addr().Next())
	default:
		c.taken(v, "as a pool")
	}
	only, ok := c.guards(p)
	if !ok {
		c.left(p, "clients of a class that is not known have it alone")
		return
	}
	switch {
	case len(only) == 0:
		only = guards
	case len(guards) > 0 && !slices.Equal(only, guards):
		c.left(p, "it is for clients that are in a class of the subnet and in one of the pool; define a class of both")
		return
	}
	o := c.noTagged(c.options(p.get("option-data"), c.defs))
	for _, x := range o.all {
		given[x.code] = true
		if c.classGives(x.code) {
			c.note(x.from, Changed, "here the option of a class goes before that of a pool, and in Kea after it")
		}
	}
	if len(only) == 0 && !o.isSet() {
		n := scalar(text)
		c.origin[n] = p
		pools.Content = append(pools.Content, n)
		return
	}
	m := mapping()
	c.origin[m] = p
	c.put(m, "range", scalar(text), v)
	if len(only) > 0 {
		c.put(m, "only", flow(strs(only)...), p)
	}
	c.writeOptions(m, o)
	pools.Content = append(pools.Content, m)
}

// span reads a range or a prefix.
func span(s string) (first, last netip.Addr, ok bool) {
	if p, err := netip.ParsePrefix(strings.ReplaceAll(s, " ", "")); err == nil && p.Addr().Is4() {
		return p.Masked().Addr(), lastOf(p), true
	}
	from, to, _ := strings.Cut(s, "-")
	first, err1 := netip.ParseAddr(strings.TrimSpace(from))
	last, err2 := netip.ParseAddr(strings.TrimSpace(to))
	return first, last, err1 == nil && err2 == nil && first.Is4() && last.Is4() && first.Compare(last) <= 0
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(b[:])
	if p.Bits() < 32 {
		n |= 1<<(32-p.Bits()) - 1
	}
	binary.BigEndian.PutUint32(b[:], n)
	return netip.AddrFrom4(b)
}

// classGives reports whether a class gives an option. All classes, and the options of the top, have
// been read.
func (c *converter) classGives(code byte) bool {
	if c.byClass == nil {
		c.byClass = new([256]bool)
		for _, k := range c.classes {
			for _, o := range k.options.all {
				c.byClass[o.code] = true
			}
		}
		for _, t := range c.tagged.tagged {
			for _, o := range t.option.all {
				c.byClass[o.code] = true
			}
		}
	}
	return c.byClass[code]
}

// over is a class of all clients that has the options of a subnet which classes have, too: in Kea
// those of the subnet go before those of classes. It cannot have what a pool gives, because that
// goes before the subnet in both.
func (c *converter) over(o *optionList, additional []byte, inPools map[byte]bool, at *value) []*yaml.Node {
	strong := &optionList{}
	for _, x := range o.all {
		switch {
		case !c.classGives(x.code) && !slices.Contains(additional, x.code):
		case inPools[x.code]:
			c.note(x.from, Changed, "here the option of a class goes before that of the subnet, and in Kea after it: "+
				"a pool has the option, too")
		default:
			strong.all = append(strong.all, x)
		}
	}
	if len(strong.all) == 0 {
		return nil
	}
	m := mapping()
	c.origin[m] = at
	c.put(m, "test", str("member('ALL')"), at)
	c.writeOptions(m, strong)
	return []*yaml.Node{m}
}

// inSubnet reports whether Kea looks for reservations in a subnet.
func (c *converter) inSubnet(s, network *value) bool {
	from := []*value{s, c.global}
	if network != nil {
		from = []*value{s, network, c.global}
	}
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
	places := make([]*place, len(c.subnets.Content))
	byPrefix := map[netip.Prefix][]*place{}
	for i, s := range c.subnets.Content {
		places[i] = &place{subnet: s, number: i}
		if p, err := netip.ParsePrefix(child(s, "subnet").Value); err == nil {
			byPrefix[p] = append(byPrefix[p], places[i])
		}
	}
	copies := 0 // of reservations that are written into every subnet
	for _, r := range all {
		if !global {
			c.left(r, "Kea looks for reservations at the top only with reservations-global, which is not set")
			continue
		}
		within := places
		if !noAddress(r) {
			within = around(byPrefix, content(r.get("ip-address")))
		} else if copies += len(places); copies > maxCopies {
			c.left(r, "it has no address, so it would stand in each of the %d subnets, and all such reservations "+
				"together more than %d times; put it into the subnets where its client is", len(places), maxCopies)
			continue
		}
		c.globalReservation(r, within)
	}
}

// maxCopies bounds how often reservations of the top that have no address are written. Each of them
// is written into every subnet, so a short configuration could make a huge document.
const maxCopies = 10_000

// place is a subnet of the document, where reservations of the top are written.
type place struct {
	subnet *yaml.Node
	number int
	all    *yaml.Node         // its reservations
	known  map[[2]string]bool // their clients
}

// around returns the places that an address lies in, in the order of the document.
func around(byPrefix map[netip.Prefix][]*place, address string) (within []*place) {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return nil
	}
	for bits := range 33 {
		p, _ := a.Prefix(bits) // of an IPv4 address
		within = append(within, byPrefix[p]...)
	}
	slices.SortFunc(within, func(a, b *place) int { return a.number - b.number })
	return within
}

// add adds a reservation. If it has no address, the client's own of the subnet goes before.
func (p *place) add(c *converter, r *value, m *yaml.Node) {
	if p.all == nil {
		if p.all = child(p.subnet, "reservations"); p.all == nil {
			p.all = &yaml.Node{Kind: yaml.SequenceNode}
			c.put(p.subnet, "reservations", p.all, nil)
		}
		p.known = map[[2]string]bool{}
		for _, n := range p.all.Content {
			p.known[clientOf(n)] = true
		}
	}
	if noAddress(r) && p.known[clientOf(m)] {
		return
	}
	p.known[clientOf(m)] = true
	twin := copied(m)
	c.origin[twin] = r
	p.all.Content = append(p.all.Content, twin)
}

// clientOf returns who a reservation is for, as it is written.
func clientOf(m *yaml.Node) [2]string { return [2]string{m.Content[0].Value, m.Content[1].Value} }

// globalReservation writes a reservation of the top into the subnets that it is for.
func (c *converter) globalReservation(r *value, within []*place) {
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
		c.note(r, Changed, "as a reservation of the subnet %s, which has the address", child(within[0].subnet, "subnet").Value)
	}
}
