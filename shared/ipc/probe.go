package ipc

import (
	"encoding/binary"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// A probe is dhcp6d's question whether a dhcp4d is alive and able to serve.
//
// It has two forms. The plain one is a DHCPV4-QUERY of a header alone, and its answer is a
// DHCPV4-RESPONSE of a header alone. The answer says only that dhcp4d is alive; a dhcp4d that is
// not able gives none. The full form also holds a Vendor-specific Information option, and nothing
// after it:
//
//	0   1  message type, 20; 21 in the answer
//	1   3  zero
//	4   2  option code, 17
//	6   2  length
//	8   4  enterprise, 2495 (ISC)
//	12  2  suboption, 60004: mark
//	14  2  length, 4
//	16  4  a number that the answer returns
//	20  2  suboption, 60005, in the answer only: ability
//	22  2  length, 1
//	24  1  ability, see [Ability]
//
// Other suboptions may follow. A receiver skips those that it does not know. A dhcp4d that knows
// only the plain form drops the full one, so dhcp6d sends both until it knows better. Neither form
// carries a DHCPv4 message, so no client can have sent one, and none can be sent to a client.
const (
	plainProbe      = "\x14\x00\x00\x00"
	plainProbeReply = "\x15\x00\x00\x00"

	subMark    = 60004
	subAbility = 60005

	// fullHead is what stands between the message type and the mark of a full probe, but for the
	// option's length.
	fullHead = "\x00\x00\x00" + "\x00\x11\x00\x00" + "\x00\x00\x09\xbf" + "\xea\x64\x00\x04"
	fullLen  = 1 + len(fullHead) + 4
)

// Ability says whether a dhcp4d can acknowledge leases, and if not why.
type Ability uint8

// The abilities. Any other value says that it cannot, for a reason that we do not know.
const (
	Able        Ability = iota
	StoreFailed         // the lease store has failed
	StoreHangs          // the disk, or the database, does not answer
	Loading             // the leases are not loaded yet
	ClockWrong          // the clock is behind the lease store
	Leaving             // dhcp4d is shutting down
)

// String returns what is the matter, in words that go after "it".
func (a Ability) String() string {
	switch a {
	case Able:
		return "can acknowledge leases"
	case StoreFailed:
		return "cannot write its lease store"
	case StoreHangs:
		return "waits for its disk or its database"
	case Loading:
		return "is still loading its leases"
	case ClockWrong:
		return "has a clock that is behind its lease store"
	case Leaving:
		return "is shutting down"
	}
	return "cannot acknowledge leases"
}

// Probe is a probe as dhcp4d reads it.
type Probe struct {
	// Full says that the sender understands a full answer.
	Full bool
	// Mark comes back in a full answer.
	Mark uint32
}

// ProbeReply is the answer to a probe as dhcp6d reads it.
type ProbeReply struct {
	Full bool
	Mark uint32 // of the probe, if the answer is full
	// Ability is Able in a plain answer.
	Ability Ability
}

// AppendProbe appends a plain probe.
func AppendProbe(dst []byte) []byte { return append(dst, plainProbe...) }

// AppendProbeReply appends the answer to a plain probe.
func AppendProbeReply(dst []byte) []byte { return append(dst, plainProbeReply...) }

// AppendFullProbe appends a full probe.
func AppendFullProbe(dst []byte, mark uint32) []byte {
	return appendFull(dst, dhcp6.DHCPv4Query, mark, 0)
}

// AppendReply appends the answer of a dhcp4d. Only one that is able answers a plain probe, because
// the sender takes any answer for a promise.
func (p Probe) AppendReply(dst []byte, a Ability) []byte {
	switch {
	case p.Full:
		dst = appendFull(dst, dhcp6.DHCPv4Response, p.Mark, header+1)
		dst = binary.BigEndian.AppendUint16(dst, subAbility)
		dst = binary.BigEndian.AppendUint16(dst, 1)
		return append(dst, byte(a))
	case a == Able:
		return AppendProbeReply(dst)
	}
	return dst
}

// appendFull appends the beginning of a full probe or answer, up to the mark. The caller then
// appends more octets, which are in the lengths already.
func appendFull(dst []byte, t dhcp6.Type, mark uint32, more int) []byte {
	start := len(dst)
	dst = append(dst, byte(t))
	dst = append(dst, fullHead...)
	dst = binary.BigEndian.AppendUint32(dst, mark)
	binary.BigEndian.PutUint16(dst[start+6:], uint16(fullLen-8+more))
	return dst
}

// ParseProbe reads a datagram, the signature off, if it is a probe.
func ParseProbe(b []byte) (Probe, bool) {
	if string(b) == plainProbe {
		return Probe{}, true
	}
	mark, _, ok := parseFull(b, dhcp6.DHCPv4Query)
	return Probe{Full: true, Mark: mark}, ok
}

// ParseProbeReply reads a datagram, the signature off, if it answers a probe.
func ParseProbeReply(b []byte) (ProbeReply, bool) {
	if string(b) == plainProbeReply {
		return ProbeReply{}, true
	}
	mark, rest, ok := parseFull(b, dhcp6.DHCPv4Response)
	r := ProbeReply{Full: true, Mark: mark}
	for ok && len(rest) > 0 {
		budget.Spend(1)
		var code dhcp6.Code
		var option []byte
		code, option, rest, ok = dhcp6.Cut(rest)
		if !ok || code != subAbility {
			continue
		}
		if len(option) != header+1 {
			return r, false
		}
		r.Ability = Ability(option[header])
	}
	return r, ok
}

// parseFull reads a full probe or answer up to the mark, and returns the suboptions after it.
func parseFull(b []byte, t dhcp6.Type) (mark uint32, rest []byte, ok bool) {
	if len(b) < fullLen || b[0] != byte(t) || string(b[1:6]) != fullHead[:5] || string(b[8:fullLen-4]) != fullHead[7:] {
		return 0, nil, false
	}
	if int(binary.BigEndian.Uint16(b[6:])) != len(b)-8 {
		return 0, nil, false
	}
	return binary.BigEndian.Uint32(b[fullLen-4:]), b[fullLen:], true
}
