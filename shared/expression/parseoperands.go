package expression

import (
	"math"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// word reads an operand or function that begins with a word.
func (p *parser) word(n *node) *node {
	word := p.token.text
	if p.is("and") || p.is("or") {
		p.unexpected("a value or a test")
	}
	p.advance()
	if !p.fits(word) {
		p.fail(n.at, "%s is not known of a change of a lease; there are lease.address, lease.event, lease.iface, "+
			"lease.mac and lease.subnet", word)
	}
	switch word {
	case "option":
		n.op, n.chain = opOption, []uint16{p.optionCode(p.names.V6)}
		return p.asked(p.more(n))
	case "relay4":
		p.only4(n, word)
		n.op, n.chain = opRelay4, []uint16{p.bracketed(255, "the code of a sub-option of option 82")}
		return p.asked(p.more(n))
	case "relay6":
		return p.relay6(n)
	case "pkt", "pkt4", "pkt6", "lease":
		return p.packet(n, word)
	case "vendor", "vendor-class":
		n.class = word == "vendor-class"
		return p.vendor(n)
	case "member":
		p.expect("(")
		n.op = opMember
		p.className(n)
		p.expect(")")
		return n
	case "known", "unknown":
		n.op, n.text = opMember, known
		if word == "unknown" {
			return &node{op: opNot, at: n.at, args: []*node{n}}
		}
		return n
	}
	if p.function(n, word) {
		return n
	}
	if !p.is("(") {
		p.fail(n.at, "%s is not understood; %s", word, hint(word, leaders))
	}
	p.fail(n.at, "there is no function %s; %s", word, hint(word, leaders))
	return nil
}

// fits reports whether a word can be used here: words about leases only for changes of leases, and
// words about queries only for queries.
func (p *parser) fits(word string) bool {
	switch word {
	case "option", "relay4", "relay6", "pkt", "pkt4", "pkt6", "vendor", "vendor-class", "known", "unknown":
		return !p.names.Lease
	}
	return true
}

// optionCode reads the code or the name of an option in brackets.
func (p *parser) optionCode(v6 bool) uint16 {
	most, what := int64(255), "the code of a DHCPv4 option, or its name"
	if v6 {
		most, what = math.MaxUint16, "the code of a DHCPv6 option, or its name"
	}
	p.expect("[")
	if p.token.kind != wordToken {
		n := p.integer(0, most, what)
		p.expect("]")
		return uint16(n)
	}
	t := p.token
	p.advance()
	p.expect("]")
	if v6 {
		if code, ok := options6[t.text]; ok {
			return code
		}
		p.fail(t.at, "%s names no DHCPv6 option; %s", t.text, hintOption(t.text, options6Names()))
	}
	if p.names.Option != nil {
		if code, ok := p.names.Option(t.text); ok {
			return uint16(code)
		}
	}
	var names []string
	if p.names.OptionNames != nil {
		names = p.names.OptionNames()
	}
	p.fail(t.at, "%s names no DHCPv4 option; %s", t.text, hintOption(t.text, names))
	return 0
}

func hintOption(word string, names []string) string {
	if s := suggest(word, names); s != "" {
		return s
	}
	return "give its code"
}

// more reads the sub-options that follow an option.
func (p *parser) more(n *node) *node {
	for p.is(".") {
		before, dot := p.scan, p.token
		p.advance()
		if !p.took("option") {
			p.scan, p.token = before, dot
			break
		}
		if len(n.chain) == maxChain {
			p.fail(dot.at, "has more than %d sub-options inside each other", maxChain)
		}
		n.chain = append(n.chain, p.bracketed(math.MaxUint16, "the code of a sub-option"))
	}
	return n
}

// maxChain bounds how deep sub-options nest.
const maxChain = 8

// asked reads what an expression wants of an option: its value, or whether it exists.
func (p *parser) asked(n *node) *node {
	p.expect(".")
	t := p.token
	switch {
	case p.took("exists"):
		return &node{op: opExists, at: n.at, args: []*node{n}}
	case p.took("hex"):
	case p.took("text"):
		n.plain = true
		if !p.isText(n) {
			p.fail(t.at, "the option is not text; ask for its octets with .hex, and make text of them with "+
				"hexstring, addrtotext or uint32totext")
		}
	default:
		p.unexpected("hex, text, exists or option")
	}
	return n
}

// isText reports whether an option is text. For the others Kea's .text is a dump for people, which
// is no value to compare.
func (p *parser) isText(n *node) bool {
	switch {
	case len(n.chain) != 1:
		return false
	case n.op == opOption && !p.names.V6:
		return slices.Contains(textOptions[:], byte(n.chain[0]))
	case n.op == opOption || n.op == opOption6 || n.op == opRelay6:
		return slices.Contains(textOptions6[:], n.chain[0])
	}
	return false
}

func (p *parser) only4(n *node, what string) {
	if p.names.V6 {
		p.fail(n.at, "%s is of the DHCPv4 message, which dhcp6d does not look into; make a class of it in the "+
			"subnets document of dhcp4d", what)
	}
}

func (p *parser) relay6(n *node) *node {
	p.expect("[")
	n.level = p.integer(-dhcp6.MaxRelays, dhcp6.MaxRelays-1,
		"a relay, 0 for the one nearest to dhcp6d, -1 for the one nearest to the client,")
	p.expect("]")
	p.expect(".")
	for f, name := range relayFieldNames {
		if p.took(name) {
			n.op, n.field = opRelayField, field(f)
			return n
		}
	}
	if !p.took("option") {
		p.unexpected("peeraddr, linkaddr or option")
	}
	n.op, n.chain = opRelay6, []uint16{p.optionCode(true)}
	return p.asked(p.more(n))
}

func (p *parser) packet(n *node, of string) *node {
	switch {
	case of == "pkt4":
		p.only4(n, of)
	case of == "lease" && !p.names.Lease:
		p.fail(n.at, "lease is known only of a change of a lease, at leases4_committed")
	}
	p.expect(".")
	if of == "pkt6" && p.took("option") {
		n.op, n.chain = opOption6, []uint16{p.optionCode(true)}
		return p.asked(p.more(n))
	}
	t := p.token
	var names []string
	for f, name := range fieldNames {
		short, ok := strings.CutPrefix(name, of+".")
		if !ok || (p.names.V6 && field(f) == pkt6Server) || (!p.names.Octets && field(f) == pktOctets) {
			continue
		}
		if names = append(names, short); p.took(short) {
			n.op, n.field = opField, field(f)
			return n
		}
	}
	if of == "pkt" && p.is("hex") {
		p.fail(t.at, "pkt.hex is known only at the buffer points of rules")
	}
	if t.kind == wordToken {
		p.fail(t.at, "%s has no field %s; %s", of, t.text, hint(t.text, names))
	}
	p.unexpected("a field of " + of)
	return nil
}

// vendor reads what comes after vendor or vendor-class.
func (p *parser) vendor(n *node) *node {
	if p.took(".") {
		p.expect("enterprise")
		n.op = opEnterprise
		return n
	}
	p.expect("[")
	if !p.took("*") {
		n.number = uint32(p.integer(0, math.MaxUint32, "an enterprise number, or *"))
	}
	p.expect("]")
	if n.class {
		return p.vendorClass(n)
	}
	n.op = opVendor
	p.more(n)
	if len(n.chain) == 0 {
		p.expect(".")
		if !p.took("exists") {
			p.unexpected("option or exists")
		}
		return &node{op: opExists, at: n.at, args: []*node{n}}
	}
	return p.asked(n)
}

func (p *parser) vendorClass(n *node) *node {
	n.op = opVendorClass
	p.expect(".")
	switch {
	case p.took("exists"):
		return &node{op: opExists, at: n.at, args: []*node{n}}
	case !p.took("data"):
		p.unexpected("data or exists")
	case p.is("["):
		n.index = int(p.bracketed(255, "the number of a text, from 0"))
	}
	return n
}

// className reads the name of a class that may be asked for.
func (p *parser) className(n *node) {
	t := p.token
	if t.kind != textToken {
		p.unexpected("the name of a class in quotes")
	}
	p.advance()
	name := t.text
	n.text = name
	switch {
	case name == all || name == known || name == unknown:
		return
	case strings.HasPrefix(name, vendorClass) && !p.names.V6:
		return
	}
	if i, ok := p.names.Classes.Lookup(name); ok {
		n.class, n.index = true, i
		return
	}
	for _, prefix := range hookClasses {
		if strings.HasPrefix(name, prefix) {
			p.fail(t.at, "no query is ever in the class %s: only hooks of Kea put queries into classes of such names",
				name)
		}
	}
	if p.names.Classes == nil {
		p.fail(t.at, "there are no classes here")
	}
	if s := suggest(name, p.names.Classes.Names()); s != "" {
		p.fail(t.at, "no class %s is defined before this one; %s", name, s)
	}
	p.fail(t.at, "no class %s is defined before this one; define it, and above", name)
}
