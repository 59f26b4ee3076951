package kea

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// pools converts the pools of a subnet.
func (c *converter) pools(n *subnet) {
	pools := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range items(n.from.get("pools")) {
		if made := c.pool(n, p); made != nil {
			pools.Content = append(pools.Content, made)
		}
	}
	c.put(n.node, "pools", pools, nil)
}

// pool converts a pool. It returns nil if the pool is left.
func (c *converter) pool(n *subnet, p *value) *yaml.Node {
	text, ok := c.poolRange(n, p)
	if !ok {
		return nil
	}
	only, ok := c.poolGuards(n, p)
	if !ok {
		return nil
	}
	o := c.noTagged(c.options(p.get("option-data"), c.defs))
	for _, x := range o.all {
		n.inPools[x.code] = true
		if c.classGives(x.code) {
			c.note(x.from, Changed, "here the option of a class goes before that of a pool, and in Kea after it")
		}
	}
	if len(only) == 0 && !o.isSet() {
		short := scalar(text)
		c.origin[short] = p
		return short
	}
	m := mapping()
	c.origin[m] = p
	c.put(m, "range", scalar(text), p.get("pool"))
	if len(only) > 0 {
		c.put(m, "only", flow(strs(only)...), p)
	}
	c.writeOptions(m, o)
	return m
}

// poolRange returns the addresses of a pool as they are written.
func (c *converter) poolRange(n *subnet, p *value) (text string, ok bool) {
	v := p.get("pool")
	first, last, ok := span(content(v))
	if v == nil || !ok {
		c.left(p, "it has no range of IPv4 addresses")
		return "", false
	}
	text = strings.ReplaceAll(content(v), " ", "")
	isPrefix := strings.Contains(text, "/")
	if !isPrefix {
		text = first.String() + "-" + last.String()
	}
	network, broadcast := n.prefix.Addr(), lastOf(n.prefix)
	switch {
	case n.prefix.Bits() <= 30 && !isPrefix && first != last && (first == network || last == broadcast):
		if first == network {
			first = first.Next()
		}
		if last == broadcast {
			last = last.Prev()
		}
		text = first.String() + "-" + last.String()
		c.changed(v, "as %s: no client gets the address of the network itself, or the broadcast address", text)
	case first == network.Next() || first == network:
		c.changed(v, "as a pool, without %s, unless server-id says another address: it is the server identifier",
			network.Next())
	default:
		c.taken(v, "as a pool")
	}
	return text, true
}

// poolGuards returns the classes that a pool is for alone, none if it is for all. It reports false
// if the pool is left.
func (c *converter) poolGuards(n *subnet, p *value) (only []string, ok bool) {
	only, ok = c.guards(p)
	switch {
	case !ok:
		c.left(p, "clients of a class that is not known have it alone")
		return nil, false
	case len(only) == 0:
		return n.guards, true
	case len(n.guards) > 0 && !slices.Equal(only, n.guards):
		c.left(p, "it is for clients that are in a class of the subnet and in one of the pool; define a class of both")
		return nil, false
	}
	return only, true
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
