package expression

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Query is what an expression is evaluated over. It is only read.
type Query struct {
	Path    *attachment.Path // the DHCPv6 datagram and the way that it took
	Message *dhcp4.Message   // nil in dhcp6d
	Local   netip.Addr       // destination of a query by unicast
	Known   bool             // the client has a reservation
	Octets  []byte           // the datagram or message at a buffer point, parsed or not
	Lease   *Lease           // a change of a lease; nil for a query
}

// Lease is a change of a lease. Expressions about one see no query.
type Lease struct {
	Event, Interface string
	Address          netip.Addr
	Subnet           uint32
	HWAddr           []byte
}

// scratchSize bounds the octets that the functions of one comparison make together.
const scratchSize = 8 << 10

// Evaluator runs expressions over one query after the other. It is not safe for concurrent use, and
// large: reuse one.
type Evaluator struct {
	query   Query
	classes *Classes
	member  *Membership

	failed  bool // a conversion failed, or scratch is used up
	used    int  // of scratch
	scratch [scratchSize]byte
}

// Begin makes e ready for a query. Membership m remembers which classes were evaluated for it.
// Begin itself evaluates nothing and clears no memory.
func (e *Evaluator) Begin(q Query, classes *Classes, m *Membership) {
	e.query, e.classes, e.member = q, classes, m
	e.failed, e.used = false, 0
}

// Query returns the query of the evaluator.
func (e *Evaluator) Query() *Query { return &e.query }

// make returns n octets of scratch, or nil if it is used up; then the test fails.
func (e *Evaluator) make(n int) []byte {
	if n > len(e.scratch)-e.used {
		e.failed = true
		return nil
	}
	budget.Spend(n)
	b := e.scratch[e.used : e.used+n : e.used+n]
	e.used += n
	return b
}

// rest returns the free part of scratch, to append to. Appending more than fits allocates, so it is
// only for short values. Call keep with the result.
func (e *Evaluator) rest() []byte { return e.scratch[e.used:e.used] }

func (e *Evaluator) keep(b []byte) []byte {
	if len(b) > len(e.scratch)-e.used {
		e.failed = true
		return nil
	}
	budget.Spend(len(b))
	e.used += len(b)
	return b
}

// number returns the value of an integer.
func (e *Evaluator) number(n uint32) []byte {
	b := e.make(4)
	if b != nil {
		binary.BigEndian.PutUint32(b, n)
	}
	return b
}

// text returns the value of a string.
func (e *Evaluator) text(s string) []byte {
	b := e.make(len(s))
	copy(b, s)
	return b
}

// address returns the value of an address: four or sixteen octets, or none if there is no address.
func (e *Evaluator) address(a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return nil
	case a.Is4():
		octets := a.As4()
		return e.copy(octets[:])
	}
	octets := a.As16()
	return e.copy(octets[:])
}

func (e *Evaluator) copy(b []byte) []byte {
	made := e.make(len(b))
	copy(made, b)
	return made
}

// option4 returns the value of a DHCPv4 option, whole if it came in pieces (RFC 3396).
func (e *Evaluator) option4(code byte) ([]byte, bool) {
	m := e.query.Message
	if m == nil {
		return nil, false
	}
	value, ok := m.Option(code)
	if !ok {
		return nil, false
	}
	if isText4[code] {
		for len(value) > 0 && value[len(value)-1] == 0 {
			budget.Spend(1)
			value = value[:len(value)-1]
		}
		return value, len(value) > 0
	}
	return value, true
}

// isText4 reports whether a DHCPv4 option is text.
var isText4 = func() (is [256]bool) {
	for _, code := range textOptions {
		is[code] = true
	}
	return is
}()

// inside4 returns a sub-option of a DHCPv4 option. Code and length have one octet each.
func inside4(options []byte, code uint16, padded bool) ([]byte, bool) {
	for len(options) >= 2 {
		budget.Spend(1)
		c, n := options[0], int(options[1])
		switch {
		case padded && c == dhcp4.OptPad:
			options = options[1:]
			continue
		case padded && c == dhcp4.OptEnd, 2+n > len(options):
			return nil, false
		case uint16(c) == code:
			return options[2 : 2+n : 2+n], true
		}
		options = options[2+n:]
	}
	return nil, false
}

// inside6 returns an option from a row of DHCPv6 options. Code and length have two octets each.
func inside6(options []byte, code uint16) ([]byte, bool) {
	for c, value := range dhcp6.Options(options) {
		if c == dhcp6.Code(code) {
			return value, true
		}
	}
	return nil, false
}

// chain4 follows a chain of codes into a DHCPv4 option.
func (e *Evaluator) chain4(chain []uint16) ([]byte, bool) {
	value, ok := e.option4(byte(chain[0]))
	if !ok || len(chain) == 1 {
		return value, ok
	}
	if len(chain) > 2 {
		return nil, false // no DHCPv4 sub-option has others inside
	}
	switch byte(chain[0]) {
	case dhcp4.OptRelayAgentInformation:
		return inside4(value, chain[1], false)
	case optVendorEncapsulated:
		return inside4(value, chain[1], true)
	case optVIVSO:
		return inVendor4(value, chain[1])
	}
	return nil, false
}

const (
	optVendorEncapsulated = 43
	optVIVCO              = 124
	optVIVSO              = 125
)

// chain6 follows the rest of a chain of codes from a DHCPv6 option inwards.
func chain6(value []byte, chain []uint16) ([]byte, bool) {
	for i := 1; i < len(chain); i++ {
		begin, has := suboptions6[chain[i-1]]
		if !has || i > 1 || len(value) < begin {
			return nil, false
		}
		var ok bool
		if value, ok = inside6(value[begin:], chain[i]); !ok {
			return nil, false
		}
	}
	return value, true
}

// message6 returns an option of the DHCPv6 message.
func (e *Evaluator) message6(chain []uint16) ([]byte, bool) {
	if e.query.Path == nil || e.query.Path.Packet == nil {
		return nil, false
	}
	value, ok := e.query.Path.Packet.Message().Option(dhcp6.Code(chain[0]))
	if !ok {
		return nil, false
	}
	return chain6(value, chain)
}

// relay returns a believed relay level: from 0 on counted from the outermost one, and with a
// negative number from the one next to the client.
func (e *Evaluator) relay(level int) (r dhcp6.Relay, ok bool) {
	p := e.query.Path
	if p == nil {
		return r, false
	}
	if level < 0 {
		level += p.Believed
	}
	if level < 0 || level >= p.Believed {
		return r, false
	}
	return p.Packet.Relay(level), true
}

func (e *Evaluator) relayOption(level int, chain []uint16) ([]byte, bool) {
	r, ok := e.relay(level)
	if !ok {
		return nil, false
	}
	value, ok := inside6(r.Options(), chain[0])
	if !ok {
		return nil, false
	}
	return chain6(value, chain)
}

// inVendor4 returns a sub-option of option 125, of its first enterprise (RFC 3925 section 4).
func inVendor4(value []byte, code uint16) ([]byte, bool) {
	if len(value) < 5 {
		return nil, false
	}
	n := int(value[4])
	if 5+n > len(value) {
		return nil, false
	}
	return inside4(value[5:5+n], code, false)
}

// vendor returns the value of the vendor option, or of the vendor class option if class is true, if
// it is of an enterprise; 0 is any.
func (e *Evaluator) vendor(v6, class bool, enterprise uint32) ([]byte, bool) {
	var value []byte
	var ok bool
	switch {
	case v6 && class:
		value, ok = e.message6(vendorClass6)
	case v6:
		value, ok = e.message6(vendorOpts6)
	case class:
		value, ok = e.option4(optVIVCO)
	default:
		value, ok = e.option4(optVIVSO)
	}
	if !ok || len(value) < 4 || (enterprise != 0 && binary.BigEndian.Uint32(value) != enterprise) {
		return nil, false
	}
	return value, true
}

var (
	vendorClass6 = []uint16{uint16(dhcp6.OptVendorClass)}
	vendorOpts6  = []uint16{uint16(dhcp6.OptVendorOpts)}
)

// vendorText returns a text of the vendor class option, by its number from 0. In DHCPv4 an
// enterprise number stands before each (RFC 3925 section 3), in DHCPv6 only before the first.
func vendorText(value []byte, v6 bool, index int) []byte {
	rest := value[4:]
	for {
		budget.Spend(1)
		var n, header int // octets of the text, and of its length
		switch {
		case v6 && len(rest) >= 2:
			n, header = int(binary.BigEndian.Uint16(rest)), 2
		case !v6 && len(rest) >= 1:
			n, header = int(rest[0]), 1
		default:
			return nil
		}
		if header+n > len(rest) {
			return nil
		}
		if index == 0 {
			return rest[header : header+n : header+n]
		}
		index--
		rest = rest[header+n:]
		if !v6 {
			if len(rest) < 4 {
				return nil
			}
			rest = rest[4:]
		}
	}
}
