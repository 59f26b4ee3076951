package load

import (
	"bytes"
	"encoding/binary"
)

// Fault is what can be wrong with an answer.
type Fault string

// The faults. Each makes the run a failure.
const (
	Malformed    Fault = "malformed"     // no DHCPV4-RESPONSE with one whole DHCPv4 reply in it
	FlagsSet     Fault = "flags_set"     // response flags are not zero (RFC 7341 §6.4)
	WrongChain   Fault = "wrong_chain"   // relay levels do not mirror the query's
	WrongClient  Fault = "wrong_client"  // hardware address or client identifier of another
	WrongType    Fault = "wrong_type"    // neither the expected message nor a NAK
	Refused      Fault = "refused"       // NAK
	Incomplete   Fault = "incomplete"    // an option is missing that must be there
	OtherAddress Fault = "other_address" // not what was offered or held
	TwiceGiven   Fault = "address_twice" // an address that another client holds
	Unexpected   Fault = "not_asked_for" // of no exchange, past or present
)

// An answer is what the engine needs of a response.
type answer struct {
	xid      uint32
	kind     byte // option 53
	address  uint32
	server   uint32
	lease    uint32
	chaddr   []byte
	clientID []byte
	chain    []byte // headers and options of all relay levels but option 9's
}

const (
	typeRelayForward = 12
	typeRelayReply   = 13
	typeResponse     = 21

	optionInterfaceID = 18
	optionRelayMsg    = 9
	optionDHCPv4      = 87

	fixedLen = 240 // DHCPv4 header and cookie
)

// read takes a datagram apart. chain is scratch for the mirror of the relay
// levels: hop count, addresses and Interface-Id of each.
func read(b []byte, chain []byte) (a answer, why Fault) {
	a.chain = chain[:0]
	for len(b) >= 34 && b[0] == typeRelayReply {
		a.chain = append(a.chain, b[1:34]...)
		var inner []byte
		for o := b[34:]; len(o) > 0; {
			code, value, rest, ok := option6(o)
			if !ok {
				return a, Malformed
			}
			switch code {
			case optionInterfaceID:
				a.chain = append(a.chain, value...)
			case optionRelayMsg:
				inner = value
			}
			o = rest
		}
		b = inner
	}
	if len(b) < 4 || b[0] != typeResponse {
		return a, Malformed
	}
	flags := b[1] | b[2] | b[3]
	var carried []byte
	for o := b[4:]; len(o) > 0; {
		code, value, rest, ok := option6(o)
		if !ok || code == optionDHCPv4 && carried != nil {
			return a, Malformed
		}
		if code == optionDHCPv4 {
			carried = value
		}
		o = rest
	}
	if why := a.carried(carried); why != "" {
		return a, why
	}
	if flags != 0 {
		return a, FlagsSet
	}
	return a, ""
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
func (a *answer) carried(m []byte) Fault {
	if len(m) < fixedLen || m[0] != 2 || m[2] > 16 || !bytes.Equal(m[236:240], []byte{0x63, 0x82, 0x53, 0x63}) {
		return Malformed
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
			return Malformed
		}
		value := o[2 : 2+o[1]]
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
	return ""
}
