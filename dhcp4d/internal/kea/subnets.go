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

// subnet is a subnet that is being converted.
type subnet struct {
	node    *yaml.Node // what is written
	from    *value
	network *value // its shared network; nil if it is in none
	shared  bool   // other subnets are in that network, too
	prefix  netip.Prefix
	guards  []string      // classes that it is for alone; nil: it is for all
	inPools map[byte]bool // the options that its pools have
}

// levels returns where a value of the subnet may stand, the nearest first.
func (n *subnet) levels() []*value {
	if n.network == nil {
		return []*value{n.from}
	}
	return []*value{n.from, n.network}
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
	n := &subnet{node: mapping(), from: s, network: network, prefix: prefix, inPools: map[byte]bool{}}
	n.shared = network != nil && len(items(network.get("subnet4"))) > 1
	c.origin[n.node] = s
	c.id(n.node, s)
	c.put(n.node, "subnet", scalar(prefix.String()), s.get("subnet"))
	if !c.queries(n) {
		return
	}
	c.pools(n)
	c.level(n.node, s, network)
	options := c.subnetOptions(n)
	classes := c.subnetClasses(n, options)
	reservations := c.subnetReservations(n)
	if len(classes) > 0 {
		c.put(n.node, "classes", &yaml.Node{Kind: yaml.SequenceNode, Content: classes}, nil)
	}
	if len(reservations) > 0 {
		c.put(n.node, "reservations", &yaml.Node{Kind: yaml.SequenceNode, Content: reservations}, nil)
	}
	c.subnets.Content = append(c.subnets.Content, n.node)
	if n.shared {
		name := content(network.get("name"))
		c.networks[name] = append(c.networks[name], n.node)
	}
}

// queries writes which queries the subnet is for, and its network. It is false if that cannot be
// said, and the subnet is left.
func (c *converter) queries(n *subnet) bool {
	if n.shared {
		c.put(n.node, "network", str(content(n.network.get("name"))), n.from)
		var ok bool
		if n.guards, ok = c.guards(n.from); !ok {
			c.left(n.from, "clients of a class that is not known have it alone")
			return false
		}
	}
	c.match(n)
	return true
}

// subnetOptions writes the options of the subnet and of its network.
func (c *converter) subnetOptions(n *subnet) *optionList {
	o := c.options(n.from.get("option-data"), c.defs)
	if n.network != nil {
		o.under(c.options(n.network.get("option-data"), c.defs))
	}
	c.writeOptions(n.node, o)
	return o
}

// subnetClasses returns the classes of the subnet's own, which has the options o.
func (c *converter) subnetClasses(n *subnet, o *optionList) []*yaml.Node {
	from := n.levels()
	if pools := items(n.from.get("pools")); len(pools) == 1 {
		from = append([]*value{pools[0]}, from...) // its additional classes are those of the subnet
	}
	classes, codes := c.additional(from)
	classes = append(classes, c.over(n, o, codes)...)
	return append(classes, c.forSome(o)...)
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

// over returns a class that all clients are in. It has those options of a subnet that classes give,
// too: in Kea the options of the subnet go before those of classes, and here after them. An option
// that a pool gives is not among them, because in both servers the pool goes before the subnet.
func (c *converter) over(n *subnet, o *optionList, additional []byte) []*yaml.Node {
	strong := &optionList{}
	for _, x := range o.all {
		switch {
		case !c.classGives(x.code) && !slices.Contains(additional, x.code):
		case n.inPools[x.code]:
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
	c.origin[m] = n.from
	c.put(m, "test", str("member('ALL')"), n.from)
	c.writeOptions(m, strong)
	return []*yaml.Node{m}
}
