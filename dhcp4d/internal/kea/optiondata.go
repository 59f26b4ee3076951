package kea

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// optionList is what a scope gives of options.
type optionList struct {
	all    []optionValue
	always []string // keys
	no     []string // keys
	noFrom []*value
	server *optionValue // option 54, which is no option here
	tagged []tagged
}

// tagged is an option that only clients of some classes get, in Kea 2.7.4 and later.
type tagged struct {
	classes []*value
	option  *optionList
}

type optionValue struct {
	code byte
	key  string
	node *yaml.Node
	from *value
}

func (o *optionList) has(code byte) bool {
	return slices.ContainsFunc(o.all, func(v optionValue) bool { return v.code == code })
}

func (o *optionList) isSet() bool { return len(o.all) > 0 || len(o.no) > 0 || len(o.always) > 0 }

// under adds what a scope below has and this one has not.
func (o *optionList) under(below *optionList) {
	for _, v := range below.all {
		if !o.has(v.code) {
			o.all = append(o.all, v)
			if slices.Contains(below.always, v.key) {
				o.always = append(o.always, v.key)
			}
		}
	}
	for i, key := range below.no {
		if !slices.Contains(o.no, key) {
			o.no, o.noFrom = append(o.no, key), append(o.noFrom, below.noFrom[i])
		}
	}
	if o.server == nil {
		o.server = below.server
	}
	for _, t := range below.tagged {
		if !o.has(t.option.all[0].code) {
			o.tagged = append(o.tagged, t)
		}
	}
}

// forSome writes classes with the options that only clients of some classes get. The last is that
// of the first: in Kea the first decides.
func (c *converter) forSome(o *optionList) (all []*yaml.Node) {
	for _, t := range o.tagged {
		var tests []string
		for _, v := range t.classes {
			if k := c.class(content(v)); k != nil {
				k.asked = true
			}
			tests = append(tests, c.knowing("member('"+content(v)+"')", v))
		}
		from := t.option.all[0].from
		m := mapping()
		c.origin[m] = from
		c.put(m, "test", str(strings.Join(tests, " or ")), from)
		c.writeOptions(m, t.option)
		all = append(all, m)
	}
	slices.Reverse(all)
	return all
}

// noTagged tells that options for some classes are left.
func (c *converter) noTagged(o *optionList) *optionList {
	for _, t := range o.tagged {
		c.left(t.option.all[0].from, "it is for clients of some classes only, which is possible at the top and in a "+
			"subnet; put it into the option-data of a class")
	}
	return o
}

// given is one option-data of a scope.
type given struct {
	at        *value
	space     string
	code      uint32
	def       *definition
	wire      []byte
	sent, not bool // always-send, never-send
	used      bool // as a sub-option
	classes   []*value
}

// options converts a list of option-data, which may be nil.
func (c *converter) options(v *value, defs *definitions) *optionList {
	var all []*given
	for _, item := range items(v) {
		if g := c.optionData(item, defs); g != nil {
			all = append(all, g)
		}
	}
	o := &optionList{}
	spaces := map[string][]*given{}
	vendor := false // some are sub-options of option 125
	for _, g := range all {
		spaces[g.space] = append(spaces[g.space], g)
		vendor = vendor || strings.HasPrefix(g.space, vendorSpace)
	}
	for _, g := range all {
		switch {
		case g.space != dhcp4Space:
		case len(g.classes) == 0:
			c.putOption(o, g, spaces, vendor)
		default:
			only := &optionList{}
			if c.putOption(only, g, spaces, vendor); len(only.all) == 1 {
				o.tagged = append(o.tagged, tagged{g.classes, only})
			}
		}
	}
	c.vendors(o, all, spaces)
	for _, g := range all {
		if g.space != dhcp4Space && !g.used {
			c.left(g.at, "no option that is given here has the space %s for its sub-options", g.space)
		}
	}
	return o
}

// optionData reads one option-data: its code and octets.
func (c *converter) optionData(item *value, defs *definitions) *given {
	if item.kind != object {
		c.left(item, "must be an object")
		return nil
	}
	g := &given{at: item, space: dhcp4Space, sent: isTrue(item.get("always-send")), not: isTrue(item.get("never-send"))}
	if s := content(item.get("space")); s != "" {
		g.space = s
	}
	name := content(item.get("name"))
	var code *uint32
	if v := item.get("code"); v != nil {
		n, err := strconv.ParseUint(content(v), 10, 16)
		if err != nil {
			c.left(item, "its code must be a number")
			return nil
		}
		code = new(uint32)
		*code = uint32(n)
	}
	g.def = defs.find(g.space, code, name)
	switch {
	case code == nil && g.def == nil:
		c.left(item, "no option of the space %s has the name %q; give its code, or an option-def", g.space, name)
		return nil
	case code == nil:
		code = &g.def.code
	}
	g.code = *code
	if g.code > 255 || (g.space == dhcp4Space && (g.code == 0 || g.code == 255)) {
		c.left(item, "the code %d is none of a DHCPv4 option; codes are 1 to 254", g.code)
		return nil
	}
	g.classes = items(item.get("client-classes"))
	data, csv := content(item.get("data")), item.get("csv-format")
	if g.not && data == "" {
		return g
	}
	var err error
	switch {
	case g.def != nil && (csv == nil || isTrue(csv)):
		if g.wire, err = g.def.csv(data); err != nil && g.def.kind == "internal" {
			if b, err2 := plain(data); err2 == nil { // so it is in Kea before 2.4, which has no notation for it
				g.wire, err = b, nil
			}
		}
	case isTrue(csv):
		c.left(item, "csv-format needs a definition of option %d", g.code)
		return nil
	default:
		g.wire, err = plain(data)
	}
	if err != nil {
		c.left(item, "its data cannot be converted: %v", err)
		return nil
	}
	return g
}

// byCode are options in the order in which Kea writes sub-options.
func byCode(all []*given) []*given {
	return slices.SortedStableFunc(slices.Values(all), func(a, b *given) int { return cmp.Compare(a.code, b.code) })
}

// complete adds its sub-options to the octets of an option.
func (c *converter) complete(g *given, spaces map[string][]*given, depth int) []byte {
	wire := g.wire
	if g.def == nil || g.def.encapsulate == "" || depth > 4 {
		return wire
	}
	for _, sub := range byCode(spaces[g.def.encapsulate]) {
		if sub.used {
			continue
		}
		b := c.complete(sub, spaces, depth+1)
		sub.used = true
		if len(b) > 255 {
			c.left(sub.at, "it has %d octets, and a sub-option at most 255", len(b))
			continue
		}
		wire = append(append(slices.Clip(wire), byte(sub.code), byte(len(b))), b...)
		c.taken(sub.at, "as a sub-option of option %d", g.code)
	}
	return wire
}

// putOption adds an option into a list.
func (c *converter) putOption(o *optionList, g *given, spaces map[string][]*given, vendor bool) {
	code := byte(g.code)
	switch {
	case g.not:
		key := strconv.Itoa(int(g.code))
		if g.def != nil {
			key = g.def.name
		}
		o.no, o.noFrom = append(o.no, key), append(o.noFrom, g.at)
		c.taken(g.at, "in no-options")
		return
	case o.has(code):
		c.left(g.at, "option %d is there twice; the first is taken", g.code)
		return
	case code == 125 && len(g.wire) == 4:
		if !vendor {
			c.left(g.at, "it has no sub-options")
			return
		}
		c.taken(g.at, "with its sub-options")
		return // vendors writes it
	case code == 54 && len(g.wire) == 4:
		o.server = &optionValue{code: code, key: "server-id", node: several("IPv4 address", g.wire), from: g.at}
		c.taken(g.at, "as server-id")
		return
	}
	wire := c.complete(g, spaces, 0)
	if len(wire) == 0 {
		c.left(g.at, "an option without octets is not sent")
		return
	}
	key, node, problem := option(code, wire)
	if problem != "" {
		c.left(g.at, "option %d: %s", g.code, problem)
		return
	}
	o.all = append(o.all, optionValue{code, key, node, g.at})
	if g.sent {
		o.always = append(o.always, key)
	}
	if data := content(g.at.get("data")); g.def != nil && g.def.ignored(data) &&
		!strings.HasPrefix(content(g.at.get("csv-format")), "f") {
		c.changed(g.at, "as %s, of which Kea sends only what stands before a comma; write \\\\, for a comma that "+
			"belongs to it", key)
		return
	}
	c.taken(g.at, "as %s", key)
}

// vendors makes option 125 of the sub-options of vendors.
func (c *converter) vendors(o *optionList, all []*given, spaces map[string][]*given) {
	var wire []byte
	var first *given
	always := false
	for _, g := range all {
		number, ok := strings.CutPrefix(g.space, vendorSpace)
		enterprise, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil || g.used {
			continue
		}
		var subs []byte
		for _, sub := range byCode(spaces[g.space]) {
			if sub.used {
				continue
			}
			sub.used = true
			if sub.not || len(subs)+2+len(sub.wire) > 255 {
				c.left(sub.at, "option 125 has no field for it")
				continue
			}
			always = always || sub.sent
			subs = append(append(subs, byte(sub.code), byte(len(sub.wire))), sub.wire...)
			c.changed(sub.at, "in option 125, which every client gets that asks for it; Kea gives it to clients that "+
				"send an option 124 or 125 of this vendor")
		}
		if first == nil {
			first = g
		}
		wire = append(append(binary.BigEndian.AppendUint32(wire, uint32(enterprise)), byte(len(subs))), subs...)
	}
	if first == nil {
		return
	}
	if o.has(125) {
		c.left(first.at, "option 125 is given in another way, too")
		return
	}
	key, node, problem := option(125, wire)
	if problem != "" {
		c.left(first.at, "option 125: %s", problem)
		return
	}
	o.all = append(o.all, optionValue{125, key, node, first.at})
	if always {
		o.always = append(o.always, key)
	}
}

// writeOptions writes what a scope gives of options.
func (c *converter) writeOptions(m *yaml.Node, o *optionList) {
	if o.server != nil {
		c.put(m, o.server.key, o.server.node, o.server.from)
	}
	if len(o.all) > 0 {
		all := mapping()
		for _, v := range o.all {
			c.put(all, v.key, copied(v.node), v.from)
		}
		c.put(m, "options", all, nil)
	}
	if len(o.always) > 0 {
		c.put(m, "always-send", flow(strs(o.always)...), nil)
	}
	if len(o.no) > 0 {
		nodes := strs(o.no)
		for i, n := range nodes {
			c.origin[n] = o.noFrom[i]
		}
		c.put(m, "no-options", flow(nodes...), nil)
	}
}
