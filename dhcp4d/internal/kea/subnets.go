package kea

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
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
