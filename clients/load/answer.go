package load

import (
	"bytes"
	"encoding/binary"
)

// fault is a mistake in an answer.
type fault uint8

// The faults. Any of them makes the run a failure.
const (
	none fault = iota
	malformed
	flagsSet
	wrongChain
	wrongClient
	wrongType
	refused
	incomplete
	otherAddress
	wrongSubnet
	twiceGiven
	declinedGiven
	notForInform
	misdelivered
	unexpected
)

// faults gives each fault its name in reports and its meaning.
var faults = [...]struct{ name, meaning string }{
	malformed:     {"malformed", "no DHCPV4-RESPONSE with one whole DHCPv4 reply in it"},
	flagsSet:      {"flags_set", "response flags are not zero (RFC 7341 §6.4)"},
	wrongChain:    {"wrong_chain", "relay levels do not mirror the query's"},
	wrongClient:   {"wrong_client", "hardware address or client identifier of another"},
	wrongType:     {"wrong_type", "neither the expected message nor a NAK"},
	refused:       {"refused", "NAK"},
	incomplete:    {"incomplete", "an option is missing that must be there, or the address"},
	otherAddress:  {"other_address", "not what was offered or held"},
	wrongSubnet:   {"wrong_subnet", "an address outside of what is expected"},
	twiceGiven:    {"address_twice", "an address that another client holds"},
	declinedGiven: {"declined_given", "an address that a client declined"},
	notForInform:  {"not_for_inform", "an address or lease time in the answer to an INFORM (RFC 2131 §4.3.5)"},
	misdelivered:  {"misdelivered", "came to another address than the query's source"},
	unexpected:    {"not_asked_for", "of no exchange, past or present"},
}

// An answer is what the engine needs of a response.
type answer struct {
	xid      uint32
	kind     byte // option 53
	address  uint32
	server   uint32
	lease    uint32
	options  [4]uint64 // the set of codes that it has
	chaddr   []byte
	clientID []byte
	chain    []byte // of all relay levels: hop count, addresses, Interface-Id
}

const (
	typeRelayForward = 12
	typeRelayReply   = 13
	typeResponse     = 21

	optionInterfaceID = 18
	optionRelayMsg    = 9
	optionDHCPv4      = 87

	levelLen = 34  // header of a relay level
	fixedLen = 240 // DHCPv4 header and cookie
)

// read parses a datagram. chain is memory for what the relay levels hold.
func read(b []byte, chain []byte) (a answer, why fault) {
	a.chain = chain[:0]
	for len(b) >= levelLen && b[0] == typeRelayReply {
		level, inner, ok := readLevel(a.chain, b)
		if !ok {
			return a, malformed
		}
		a.chain, b = level, inner
	}
	if len(b) < 4 || b[0] != typeResponse {
		return a, malformed
	}
	flags := b[1] | b[2] | b[3]
	var carried []byte
	for o := b[4:]; len(o) > 0; {
		code, value, rest, ok := option6(o)
		if !ok || (code == optionDHCPv4 && carried != nil) {
			return a, malformed
		}
		if code == optionDHCPv4 {
			carried = value
		}
		o = rest
	}
	if why := a.carried(carried); why != none {
		return a, why
	}
	if flags != 0 {
		return a, flagsSet
	}
	return a, none
}

// readLevel appends what a relay level holds to chain, and returns the message inside.
func readLevel(chain, b []byte) (longer, inner []byte, ok bool) {
	chain = append(chain, b[1:levelLen]...)
	for o := b[levelLen:]; len(o) > 0; {
		code, value, rest, ok := option6(o)
		if !ok {
			return chain, nil, false
		}
		switch code {
		case optionInterfaceID:
			chain = append(chain, o[:len(o)-len(rest)]...)
		case optionRelayMsg:
			inner = value
		}
		o = rest
	}
	return chain, inner, true
}

func option6(b []byte) (code uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < 4+n {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[4 : 4+n], b[4+n:], true
}

// carried reads the DHCPv4 reply.
func (a *answer) carried(m []byte) fault {
	if len(m) < fixedLen || m[0] != 2 || m[2] > 16 || !bytes.Equal(m[236:240], []byte{0x63, 0x82, 0x53, 0x63}) {
		return malformed
	}
	a.xid = binary.BigEndian.Uint32(m[4:])
	a.address = binary.BigEndian.Uint32(m[16:])
	a.chaddr = m[28 : 28+m[2]]
	for o := m[fixedLen:]; len(o) > 0 && o[0] != 255; {
		if o[0] == 0 {
			o = o[1:]
			continue
		}
		if len(o) < 2 || len(o) < 2+int(o[1]) {
			return malformed
		}
		value := o[2 : 2+int(o[1])]
		a.options[o[0]/64] |= 1 << (o[0] % 64)
		switch {
		case o[0] == 53 && len(value) == 1:
			a.kind = value[0]
		case o[0] == 54 && len(value) == 4:
			a.server = binary.BigEndian.Uint32(value)
		case o[0] == 51 && len(value) == 4:
			a.lease = binary.BigEndian.Uint32(value)
		case o[0] == 61:
			a.clientID = value
		}
		o = o[2+int(o[1]):]
	}
	return none
}
