package reply

import (
	"math/bits"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// holds reports whether every code of part is in all.
func holds(all, part *option.Codes) bool {
	for i := range part {
		if part[i]&^all[i] != 0 {
			return false
		}
	}
	return true
}

func setOf(list ...byte) (s option.Codes) {
	for _, code := range list {
		s.Add(code)
	}
	return s
}

// governed are the options that the protocol fills in or forbids, whatever clients request and
// whatever is configured.
var governed = setOf(
	dhcp4.OptPad, dhcp4.OptRequestedAddress, dhcp4.OptLeaseTime, dhcp4.OptOverload,
	dhcp4.OptMessageType, dhcp4.OptServerIdentifier, dhcp4.OptParameterRequestList,
	dhcp4.OptMessage, dhcp4.OptMaximumMessageSize, dhcp4.OptRenewalTime,
	dhcp4.OptRebindingTime, dhcp4.OptClientIdentifier, dhcp4.OptRapidCommit,
	dhcp4.OptRelayAgentInformation, dhcp4.OptAuthentication, dhcp4.OptIPv6OnlyPreferred,
	dhcp4.OptS46SourceAddress, dhcp4.OptSubnetSelection, dhcp4.OptPortParameters,
	dhcp4.OptEnd,
)

// filling is one try to write the configured options. An option goes into the first of the fields
// options, file and sname that has room for it; the latter two may hold options where that helps.
//
// The reply is an argument of the methods, and not a field: a struct that holds octets of a Lookup
// would move its other fields to the heap.
type filling struct {
	dst      []byte
	start    int // of the message in dst
	first    int // of the options written here
	end      int // how far dst may grow
	overload byte
	file     int // octets used in file and sname
	sname    int

	requested []byte       // the client's request list, which may repeat codes
	listed    option.Codes // the same as a set

	unasked   option.Codes // sent although the client does not request them
	fields    field        // the last that may be used
	classless bool         // 121 is to be sent instead of 3 and 33
	done      option.Codes // considered, whatever came of it
	written   option.Codes
	leftOut   option.Codes
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

// appendConfigured appends, within spare octets, option 52 where it helps, and the configured
// options: those that the client requests, and those that are always sent. A client that requests
// nothing gets all of them (RFC 2131 section 4.3.1). start is where the message begins in dst.
func appendConfigured(dst []byte, start, spare int, q *dhcp4.Message, r *Reply) []byte {
	f := filling{dst: dst, start: start, first: len(dst), end: len(dst) + spare, requested: q.ParameterRequestList()}
	budget.Spend(len(f.requested))
	for _, code := range f.requested {
		f.listed.Add(code)
	}
	all, always := r.Options.Configured()
	if f.unasked = always; len(f.requested) == 0 {
		f.unasked = all
	}
	classless := f.listed.Has(dhcp4.OptClasslessStaticRoute) && all.Has(dhcp4.OptClasslessStaticRoute)
	if classless {
		_, classless = r.Options.Lookup(dhcp4.OptClasslessStaticRoute) // a computed one may have no value
	}
	f.fit(r, classless)
	if classless && !f.written.Has(dhcp4.OptClasslessStaticRoute) {
		f.fit(r, false) // without the routes the client needs 3 and 33 after all
		f.leftOut.Add(dhcp4.OptClasslessStaticRoute)
	}
	r.LeftOut = f.leftOut
	return f.dst
}

// fit writes the options in the client's order. If there is no room for all, those that a host
// cannot do without come first, and then, in the client's order, those that fit (RFC 2131 section
// 3.5). Overload is used if no option is lost by it.
func (f *filling) fit(r *Reply, classless bool) {
	f.classless = classless
	f.try(r, inOptions, nil)
	if f.leftOut.Empty() {
		return
	}
	f.try(r, inOptions, essential[:])
	if f.leftOut.Empty() || !f.overloadable(r) || f.end-f.first < overloadLen {
		return
	}
	plain := f.written
	f.try(r, inSName, essential[:])
	if f.overload == 0 || !holds(&f.written, &plain) {
		f.try(r, inOptions, essential[:])
	}
}

// essential are the options that a host cannot do without.
var essential = [...]byte{dhcp4.OptSubnetMask, dhcp4.OptRouter, dhcp4.OptDomainNameServer}

// overloadable reports whether file and sname may hold options. They may not if they are in use,
// nor if the client boots from the network: such firmware is known to read anything in them as a
// name.
func (f *filling) overloadable(r *Reply) bool {
	return len(r.SName) == 0 && len(r.File) == 0 &&
		!f.listed.Has(dhcp4.OptTFTPServerName) && !f.listed.Has(dhcp4.OptBootfileName)
}

// try writes the options anew, in the fields up to last. It begins with the options in before.
func (f *filling) try(r *Reply, last field, before []byte) {
	f.reset()
	f.fields = last
	if last > inOptions {
		f.dst = append(f.dst, dhcp4.OptOverload, 1, 0)
	}
	for _, code := range before {
		if f.listed.Has(code) || f.unasked.Has(code) {
			f.take(r, code)
		}
	}
	for _, code := range f.requested {
		f.take(r, code)
	}
	for word, codes := range f.unasked {
		for ; codes != 0; codes &= codes - 1 {
			f.take(r, byte(word<<6|bits.TrailingZeros64(codes)))
		}
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

// reset takes back what an earlier try has written.
func (f *filling) reset() {
	f.dst = f.dst[:f.first]
	if f.overload != 0 {
		clear(dhcp4.FileOf(f.dst[f.start:]))
		clear(dhcp4.SNameOf(f.dst[f.start:]))
	}
	f.overload, f.file, f.sname = 0, 0, 0
	f.done, f.written, f.leftOut = option.Codes{}, option.Codes{}, option.Codes{}
}

// take writes an option if it is configured, not yet considered and fits.
func (f *filling) take(r *Reply, code byte) {
	budget.Spend(1)
	if f.done.Has(code) || governed.Has(code) {
		return
	}
	f.done.Add(code)
	switch code {
	case dhcp4.OptRouter, dhcp4.OptStaticRoute:
		if f.classless { // RFC 3442, section "DHCP Client Behavior"
			return
		}
	case dhcp4.OptClasslessStaticRoute:
		if !f.classless && f.listed.Has(code) {
			return // not configured, or the try before has shown that it does not fit
		}
	}
	value, ok := r.Options.Lookup(code)
	if !ok || len(value) == 0 {
		return
	}
	if code == dhcp4.OptRouter || code == dhcp4.OptClasslessStaticRoute || code == dhcp4.OptMSClasslessRoute {
		f.take(r, dhcp4.OptSubnetMask) // without it a client knows no route (RFC 2132 section 3.3)
	}
	f.write(code, value)
}

// write writes an option into the first field that has room for the whole of it.
func (f *filling) write(code byte, value []byte) {
	n := dhcp4.OptionLen(len(value))
	for at := inOptions; at <= f.fields; at++ {
		if n > f.free(at) {
			continue
		}
		f.written.Add(code)
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
	f.leftOut.Add(code)
}

// free returns how many octets a field has left, without its end option.
func (f *filling) free(at field) int {
	switch at {
	case inFile:
		return len(dhcp4.FileOf(f.dst[f.start:])) - f.file - 1
	case inSName:
		return len(dhcp4.SNameOf(f.dst[f.start:])) - f.sname - 1
	}
	return f.end - len(f.dst)
}
