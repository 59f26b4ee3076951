package kea

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

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
