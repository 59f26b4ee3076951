package expression

import (
	"net/netip"
	"strconv"
	"strings"
)

// op is the operation of a node.
type op uint8

const (
	// Values.
	opText        op = iota // text
	opHex                   // text: the digits
	opInt                   // number
	opAddr                  // addr
	opField                 // field
	opOption                // chain
	opRelay4                // chain, of option 82
	opRelay6                // level, chain
	opOption6               // chain, of the DHCPv6 message around the DHCPv4 message
	opVendor                // number: enterprise, 0 any; chain
	opVendorClass           // number: enterprise, 0 any; index
	opEnterprise            // of vendor, or with class of vendor-class
	opRelayField            // level, field
	opSubstring             // args[0], start, length
	opSplit                 // args[0], args[1], start: number of the field
	opConcat                // args
	opIfElse                // args: test, value, value
	opHexString             // args: value, separator
	opConvert               // args[0], convert
	opLower                 // args[0]
	opUpper                 // args[0]

	// Tests.
	opExists // args[0], an operand
	opMember // text
	opMatch  // text: the regular expression; args[0]
	opEqual  // args
	opNot    // args[0]
	opAnd    // args
	opOr     // args
)

// node is a part of an expression.
type node struct {
	op     op
	at     int // offset in the text
	text   string
	addr   netip.Addr
	number uint32
	chain  []uint16 // codes of an option, its sub-option and so on
	plain  bool     // the option is asked for as .text
	level  int      // of a relay
	class  bool     // vendor-class; a class that the configuration defines
	index  int      // of vendor-class data; of the class
	field  field

	start, length int
	all           bool // length is the rest
	convert       conversion
	args          []*node
}

func (n *node) isTest() bool { return n.op >= opExists }

// The precedences. A part is put into parentheses if the operation around it binds as strongly.
const (
	bindsOr = iota
	bindsAnd
	bindsNot
	bindsEqual
	bindsPlus
	bindsAll
)

func (n *node) binds() int {
	switch n.op {
	case opOr:
		return bindsOr
	case opAnd:
		return bindsAnd
	case opNot:
		return bindsNot
	case opEqual:
		return bindsEqual
	case opConcat:
		return bindsPlus
	}
	return bindsAll
}

// String returns text from which the parser makes the same node.
func (n *node) String() string {
	var b strings.Builder
	n.write(&b)
	return b.String()
}

func (n *node) write(b *strings.Builder) {
	switch n.op {
	case opText:
		b.WriteString("'" + n.text + "'")
	case opHex:
		b.WriteString("0x" + n.text)
	case opInt:
		b.WriteString(strconv.FormatUint(uint64(n.number), 10))
	case opAddr:
		b.WriteString(n.addr.String())
	case opField:
		b.WriteString(fieldNames[n.field])
	case opRelayField:
		b.WriteString("relay6[" + strconv.Itoa(n.level) + "]." + relayFieldNames[n.field])
	case opEnterprise:
		b.WriteString(n.vendor() + ".enterprise")
	case opOption, opRelay4, opRelay6, opOption6, opVendor, opVendorClass:
		n.writeOperand(b)
		switch {
		case n.op == opVendorClass:
			b.WriteString(".data[" + strconv.Itoa(n.index) + "]")
		case n.plain:
			b.WriteString(".text")
		default:
			b.WriteString(".hex")
		}
	case opExists:
		n.args[0].writeOperand(b)
		b.WriteString(".exists")
	case opMember:
		b.WriteString("member('" + n.text + "')")
	case opMatch:
		n.call(b, "match('"+n.text+"', ", n.args, "")
	case opSubstring:
		length := strconv.Itoa(n.length)
		if n.all {
			length = "all"
		}
		n.call(b, "substring(", n.args, ", "+strconv.Itoa(n.start)+", "+length)
	case opSplit:
		n.call(b, "split(", n.args, ", "+strconv.Itoa(n.start))
	case opIfElse:
		n.call(b, "ifelse(", n.args, "")
	case opHexString:
		n.call(b, "hexstring(", n.args, "")
	case opConvert:
		n.call(b, conversions[n.convert].name+"(", n.args, "")
	case opLower:
		n.call(b, "lcase(", n.args, "")
	case opUpper:
		n.call(b, "ucase(", n.args, "")
	case opNot:
		b.WriteString("not ")
		n.inner(b, n.args[0], bindsNot)
	case opEqual:
		n.join(b, " == ")
	case opConcat:
		n.join(b, " + ")
	case opAnd:
		n.join(b, " and ")
	case opOr:
		n.join(b, " or ")
	}
}

func (n *node) call(b *strings.Builder, name string, args []*node, last string) {
	b.WriteString(name)
	for i, a := range args {
		if i > 0 {
			b.WriteString(", ")
		}
		a.write(b)
	}
	b.WriteString(last + ")")
}

func (n *node) join(b *strings.Builder, sign string) {
	for i, a := range n.args {
		if i > 0 {
			b.WriteString(sign)
		}
		n.inner(b, a, n.binds()+1)
	}
}

// inner writes a part, in parentheses if it binds less than least.
func (n *node) inner(b *strings.Builder, part *node, least int) {
	if part.binds() >= least {
		part.write(b)
		return
	}
	b.WriteByte('(')
	part.write(b)
	b.WriteByte(')')
}

func (n *node) vendor() string {
	if n.class {
		return "vendor-class"
	}
	return "vendor"
}

// writeOperand writes the option that an operand names, without what is asked of it.
func (n *node) writeOperand(b *strings.Builder) {
	bracket := func(name string, inside string) { b.WriteString(name + "[" + inside + "]") }
	chain := n.chain
	first := func(name string) {
		bracket(name, strconv.Itoa(int(chain[0])))
		chain = chain[1:]
	}
	switch n.op {
	case opOption:
		first("option")
	case opRelay4:
		first("relay4")
	case opOption6:
		first("pkt6.option")
	case opRelay6:
		bracket("relay6", strconv.Itoa(n.level))
	case opVendor, opVendorClass:
		enterprise := "*"
		if n.number != 0 {
			enterprise = strconv.FormatUint(uint64(n.number), 10)
		}
		bracket(n.vendor(), enterprise)
	}
	for _, code := range chain {
		bracket(".option", strconv.Itoa(int(code)))
	}
}

// canFail reports whether evaluating the node can fail. Like Kea, we evaluate such a node even if
// the result does not depend on it.
func (n *node) canFail() bool {
	if n.op == opConvert {
		return true
	}
	for _, a := range n.args {
		if a.canFail() {
			return true
		}
	}
	return false
}

func (n *node) usesKnown(c *Classes) bool {
	if n.op == opMember {
		if n.text == known || n.text == unknown {
			return true
		}
		if n.class && c.list[n.index].known {
			return true
		}
	}
	for _, a := range n.args {
		if a.usesKnown(c) {
			return true
		}
	}
	return false
}
