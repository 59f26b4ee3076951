package kea

import (
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// guards returns the classes that a subnet or a pool is for alone: those of the first object that
// names any. It returns nil if it is for all clients, and reports false if a class is not defined.
func (c *converter) guards(from ...*value) (names []string, ok bool) {
	ok = true
	for _, f := range from {
		var all []*value
		if v := f.get("client-class"); v != nil && content(v) != "" {
			all = append(all, v)
		}
		all = append(all, items(f.get("client-classes"))...)
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

// reach gives the first subnet of a network an empty match if no subnet of it has a match. Somebody
// must say there which queries are for the network.
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

// matchKey is a key of a match entry, and its value.
type matchKey struct{ key, value *yaml.Node }

// match writes which queries a subnet is for, if they are of the classes that it is for. If it
// shares its network with others, these are the classes of the network.
func (c *converter) match(n *subnet) {
	keys := c.matchKeys(n)
	from := n.levels()
	if n.shared {
		from = from[1:]
	}
	classes, ok := c.guards(from...)
	if classes == nil {
		classes = []string{""}
	}
	all := flow()
	for _, key := range keys {
		for _, class := range classes {
			if entry := c.claim(n, key, class); entry != nil && ok {
				all.Content = append(all.Content, entry)
			}
		}
	}
	switch {
	case len(all.Content) > 0:
		c.put(n.node, "match", all, nil)
	case !n.shared: // else another subnet of the network may have it
		c.unmatched(n.node, n.from, n.prefix.String())
	}
}

// matchKeys returns by which keys a subnet has its queries: those of its 4o6 keys, or else its
// interface.
func (c *converter) matchKeys(n *subnet) (keys []matchKey) {
	add := func(key string, v *value, text string) {
		k := matchKey{scalar(key), str(text)}
		c.origin[k.value] = v
		keys = append(keys, k)
	}
	if v := n.from.get("4o6-subnet"); content(v) != "" {
		p, err := netip.ParsePrefix(content(v))
		if err != nil {
			c.left(v, "%q is no IPv6 prefix", content(v))
		} else {
			add("prefix", v, p.Masked().String())
			c.takenAs(v, "prefix in match")
		}
	}
	if v := n.from.get("4o6-interface-id"); content(v) != "" {
		if b, err := plain(content(v)); err == nil && strings.HasPrefix(content(v), "'") {
			add("interface-id", v, octets.Show(b))
		} else {
			add("interface-id", v, octets.Show([]byte(content(v))))
		}
		c.takenAs(v, "interface-id in match")
	}
	if v := n.from.get("4o6-interface"); content(v) != "" {
		add("interface", v, content(v))
		c.takenAs(v, "interface in match")
	}
	if v := pick("interface", n.levels()...); content(v) != "" {
		if len(keys) == 0 {
			add("interface", v, content(v))
			c.changed(v, "as interface in match, which is an interface of dhcp6d")
		} else {
			c.left(v, "which queries of DHCPv4 over DHCPv6 the subnet is for, its 4o6 keys say")
		}
	}
	return keys
}

// claim makes a match entry for the queries of a class, or for all queries if the class is empty.
// It returns nil if another subnet has such an entry: the first one gets the queries.
func (c *converter) claim(n *subnet, key matchKey, class string) *yaml.Node {
	from := c.origin[key.value]
	claim := key.key.Value + " " + key.value.Value + " " + class
	if first := c.claimed[claim]; first != "" {
		if !n.shared {
			c.note(from, Left, "the subnet %s has the claim on these queries already", first)
		}
		return nil
	}
	c.claimed[claim] = n.prefix.String()
	entry := mapping()
	entry.Style = yaml.FlowStyle
	entry.Content = append(entry.Content, key.key, copied(key.value))
	c.origin[entry] = from
	if class != "" {
		c.put(entry, "class", str(class), from)
	}
	return entry
}
