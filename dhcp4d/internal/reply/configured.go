package reply

import (
	"bytes"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// codes is a set of option codes.
type codes [4]uint64

func (s *codes) has(code byte) bool { return s[code>>6]>>(code&63)&1 != 0 }
func (s *codes) add(code byte)      { s[code>>6] |= 1 << (code & 63) }

// holds says whether every code of o is in s.
func (s *codes) holds(o codes) bool {
	for i := range o {
		if o[i]&^s[i] != 0 {
			return false
		}
	}
	return true
}

func setOf(list ...byte) (s codes) {
	for _, code := range list {
		s.add(code)
	}
	return s
}

// governed are the options that the protocol fills in or forbids, whatever a
// client requests and whoever configured them.
var governed = setOf(
	dhcp4.OptPad, dhcp4.OptRequestedAddress, dhcp4.OptLeaseTime, dhcp4.OptOverload,
	dhcp4.OptMessageType, dhcp4.OptServerIdentifier, dhcp4.OptParameterRequestList,
	dhcp4.OptMessage, dhcp4.OptMaximumMessageSize, dhcp4.OptRenewalTime,
	dhcp4.OptRebindingTime, dhcp4.OptClientIdentifier, dhcp4.OptRapidCommit,
	dhcp4.OptRelayAgentInformation, dhcp4.OptAuthentication, dhcp4.OptIPv6OnlyPreferred,
	dhcp4.OptS46SourceAddress, dhcp4.OptSubnetSelection, dhcp4.OptPortParameters,
	dhcp4.OptEnd,
)

// filling is one try to place the configured options. The options field takes
// them first, file and sname after it if they may hold options; the order of
// the client is kept across the fields, so nothing goes back to an earlier one.
//
// The query and the decision are arguments of the methods and not fields: what
// shares a struct with the octets that a Lookup returned is moved to the heap.
type filling struct {
	dst      []byte
	start    int // of the message in dst
	first    int // of the options placed here
	end      int // how far dst may grow
	overload byte
	file     int // octets used in file and sname
	sname    int

	field     field
	fields    field // the last that may be used
	whole     int   // the greatest space of one field before anything is placed
	done      codes // considered, whatever came of it
	placed    codes
	classless bool // 121 is to be sent instead of 3 and 33
	full      bool // an option did not fit, and none is placed behind it
	left      bool // some option was left out
}

// field is where options go.
type field uint8

const (
	inOptions field = iota
	inFile
	inSName
)

const (
	overloadFile  = 1
	overloadSName = 2
	overloadLen   = 3 // octets of option 52
)

// appendConfigured appends, within spare octets, option 52 where it helps,
// then what the client requested and what is always sent. start is where the
// message begins in dst.
//
// What does not fit is left out from the end of the client's list; an option
// too long for the empty reply is passed over and does not hold up the rest.
func appendConfigured(dst []byte, start, spare int, q *dhcp4.Message, r *Reply) []byte {
	f := filling{dst: dst, start: start, first: len(dst), end: len(dst) + spare}
	classless := false
	if q.Requested(dhcp4.OptClasslessStaticRoute) {
		_, classless = r.Options.Lookup(dhcp4.OptClasslessStaticRoute)
	}
	f.fit(q, r, classless)
	if classless && !f.placed.has(dhcp4.OptClasslessStaticRoute) {
		f.fit(q, r, false) // without the routes the client needs 3 and 33 after all
	}
	return f.dst
}

// fit places the options, with overload if something is left out otherwise
// and overload does not push out what had its place.
func (f *filling) fit(q *dhcp4.Message, r *Reply, classless bool) {
	f.try(q, r, inOptions, classless)
	if !f.left || !overloadable(q, r) || f.end-f.first < overloadLen {
		return
	}
	plain := f.placed
	f.try(q, r, inSName, classless)
	if f.overload == 0 || !f.placed.holds(plain) {
		f.try(q, r, inOptions, classless)
	}
}

// overloadable says whether file and sname may hold options. They may not if
// they are used, and not towards a client that boots from the network: such
// firmware is known to take whatever it finds there for a name.
func overloadable(q *dhcp4.Message, r *Reply) bool {
	return len(r.SName) == 0 && len(r.File) == 0 &&
		!q.Requested(dhcp4.OptTFTPServerName) && !q.Requested(dhcp4.OptBootfileName)
}

// try places the options anew, in the fields up to last.
func (f *filling) try(q *dhcp4.Message, r *Reply, last field, classless bool) {
	f.reset()
	f.fields, f.classless = last, classless
	if last > inOptions {
		f.dst = append(f.dst, dhcp4.OptOverload, 1, 0)
	}
	f.whole = 0
	for at := inOptions; at <= last; at++ {
		f.whole = max(f.whole, f.free(at))
	}
	for list := range q.Pieces(dhcp4.OptParameterRequestList) {
		for _, code := range list {
			f.take(q, r, code)
		}
	}
	for _, code := range r.Always {
		f.take(q, r, code)
	}
	if f.overload != 0 {
		f.dst[f.first+2] = f.overload
	}
	if f.overload&overloadFile != 0 {
		dhcp4.FileOf(f.dst[f.start:])[f.file] = dhcp4.OptEnd
	}
	if f.overload&overloadSName != 0 {
		dhcp4.SNameOf(f.dst[f.start:])[f.sname] = dhcp4.OptEnd
	}
}

// reset takes back what an earlier try has placed.
func (f *filling) reset() {
	f.dst = f.dst[:f.first]
	if f.overload != 0 {
		clear(dhcp4.FileOf(f.dst[f.start:]))
		clear(dhcp4.SNameOf(f.dst[f.start:]))
	}
	f.overload, f.file, f.sname = 0, 0, 0
	f.field, f.done, f.placed = inOptions, codes{}, codes{}
	f.full, f.left = false, false
}

// take places an option if it is configured, not yet considered and fits.
func (f *filling) take(q *dhcp4.Message, r *Reply, code byte) {
	if f.done.has(code) || governed.has(code) {
		return
	}
	f.done.add(code)
	switch code {
	case dhcp4.OptRouter, dhcp4.OptStaticRoute:
		if f.classless { // RFC 3442, section "DHCP Client Behavior"
			return
		}
	case dhcp4.OptClasslessStaticRoute:
		if !f.classless && q.Requested(code) { // not configured, or did not fit
			return
		}
	}
	value, ok := r.Options.Lookup(code)
	if !ok || len(value) == 0 {
		return
	}
	if code == dhcp4.OptRouter && wanted(q, r, dhcp4.OptSubnetMask) {
		f.take(q, r, dhcp4.OptSubnetMask) // RFC 2132 §3.3: the mask before the routers
	}
	f.place(code, value)
}

func wanted(q *dhcp4.Message, r *Reply, code byte) bool {
	return q.Requested(code) || bytes.IndexByte(r.Always, code) >= 0
}

// place writes an option into the first field, from the current one on, that
// has space for the whole of it.
func (f *filling) place(code byte, value []byte) {
	n := dhcp4.OptionLen(len(value))
	if f.full {
		f.left = true
		return
	}
	for at := f.field; at <= f.fields; at++ {
		if n > f.free(at) {
			continue
		}
		f.field = at
		f.placed.add(code)
		switch at {
		case inOptions:
			f.dst = dhcp4.AppendOption(f.dst, code, value)
		case inFile:
			f.overload |= overloadFile
			dhcp4.AppendOption(dhcp4.FileOf(f.dst[f.start:])[:f.file], code, value)
			f.file += n
		case inSName:
			f.overload |= overloadSName
			dhcp4.AppendOption(dhcp4.SNameOf(f.dst[f.start:])[:f.sname], code, value)
			f.sname += n
		}
		return
	}
	f.left = true
	f.full = n <= f.whole
}

// free is how many octets a field has left, its end option set aside.
func (f *filling) free(at field) int {
	switch at {
	case inFile:
		return len(dhcp4.FileOf(f.dst[f.start:])) - f.file - 1
	case inSName:
		return len(dhcp4.SNameOf(f.dst[f.start:])) - f.sname - 1
	}
	return f.end - len(f.dst)
}
