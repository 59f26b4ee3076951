package ipc

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	enterpriseISC = 2495

	subInterface  = 60000
	subSource     = 60001
	subPort       = 60002
	subLocal      = 60003
	subUnbelieved = 60016
	subBeside     = 60017

	// mandatory are the bits of the first three, counted from subInterface.
	mandatory = 1<<0 | 1<<(subSource-subInterface) | 1<<(subPort-subInterface)

	header      = 4 // of an option, and of a suboption
	contextSubs = 6 // suboptions that a context may have
	enterprise  = 4 // octets of an enterprise number

	maxInterface = 15  // on output: a Linux interface name
	maxOpaque    = 255 // on input: the name is the other side's

	// MaxBeside is the most octets of Context.Beside.
	MaxBeside = 512
)

// Context is what travels with a query and comes back with its answer.
type Context struct {
	// Interface is the name of the interface that received the query: 1 to 15 octets. dhcp4d takes
	// it as opaque text and accepts up to 255.
	Interface []byte
	// Source is where the query came from: the outermost relay, or the client when there is none.
	Source netip.AddrPort
	// Local is the unicast address of ours that the query was sent to. The zero Addr says that
	// there is none, or that the other side is not to know it.
	Local netip.Addr
	// Unbelieved is how many of the innermost relay levels are not believed (package attachment).
	// Kea is not told.
	Unbelieved uint8
	// Beside are the options that the response is to have beside the DHCPv4 message, encoded:
	// border relays and a bind prefix (RFC 8539), at most MaxBeside octets. They go with a query
	// only. Kea is not told.
	Beside []byte
}

// appendOption appends the context in an option of its own.
func (c *Context) appendOption(dst []byte) []byte {
	dst, mark := dhcp6.BeginOption(dst, dhcp6.OptVendorOpts)
	dst = binary.BigEndian.AppendUint32(dst, enterpriseISC)
	dst = c.appendSuboptions(dst)
	_ = dhcp6.EndOption(dst, mark) // fits: 4+255+68+MaxBeside octets at most
	return dst
}

func (c *Context) appendSuboptions(dst []byte) []byte {
	dst = dhcp6.AppendOption(dst, subInterface, c.Interface)
	source := c.Source.Addr().As16()
	dst = dhcp6.AppendOption(dst, subSource, source[:])
	dst = binary.BigEndian.AppendUint16(dst, subPort)
	dst = binary.BigEndian.AppendUint16(dst, 2)
	dst = binary.BigEndian.AppendUint16(dst, c.Source.Port())
	if c.Local.IsValid() {
		local := c.Local.As16()
		dst = dhcp6.AppendOption(dst, subLocal, local[:])
	}
	if c.Unbelieved > 0 {
		n := [1]byte{c.Unbelieved}
		dst = dhcp6.AppendOption(dst, subUnbelieved, n[:])
	}
	if len(c.Beside) > 0 {
		dst = dhcp6.AppendOption(dst, subBeside, c.Beside)
	}
	return dst
}

// parse reads the context from all ISC instances of option 17. The first three suboptions are
// mandatory. None may be repeated: Kea's side does not remove what a client put there, and of two
// source addresses one is forged. The reasons are [drop.Context], and [drop.Malformed] for
// suboptions that run past their option.
func (c *Context) parse(m *dhcp6.Message) drop.Reason {
	*c = Context{}
	var addr netip.Addr
	var seen uint32 // bit by bit
	row := m.Options()
	for range m.Count(dhcp6.OptVendorOpts) {
		var option []byte
		option, row = cutVendor(row)
		for subs := suboptions(option); len(subs) > 0; {
			budget.Spend(1)
			code, sub, rest, ok := dhcp6.Cut(subs)
			if !ok {
				return drop.Malformed
			}
			subs = rest
			if !isContext(code) {
				continue
			}
			bit := uint32(1) << (code - subInterface)
			value := sub[header:]
			if seen&bit != 0 || !rightLength(code, len(value)) || (code == subBeside && !isBeside(value)) {
				return drop.Context
			}
			seen |= bit
			switch code {
			case subInterface:
				c.Interface = value
			case subSource:
				addr = netip.AddrFrom16([16]byte(value))
			case subPort:
				c.Source = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(value))
			case subLocal:
				c.Local = netip.AddrFrom16([16]byte(value))
			case subUnbelieved:
				c.Unbelieved = value[0]
			case subBeside:
				c.Beside = value
			}
		}
	}
	if seen&mandatory != mandatory {
		return drop.Context
	}
	c.Source = netip.AddrPortFrom(addr, c.Source.Port())
	return drop.None
}

// cutVendor returns the first option 17 of a row, header included, and what follows it. The row
// must hold one.
func cutVendor(row []byte) (option, rest []byte) {
	for {
		budget.Spend(1)
		code, option, rest, _ := dhcp6.Cut(row)
		if code == dhcp6.OptVendorOpts {
			return option, rest
		}
		row = rest
	}
}

// suboptions returns the suboptions of an option 17 as a row, if it is ISC's.
func suboptions(option []byte) []byte {
	if !isISC(option) {
		return nil
	}
	return option[header+enterprise:]
}

// rightLength reports whether a suboption of the context may have n octets.
func rightLength(code dhcp6.Code, n int) bool {
	switch code {
	case subInterface:
		return n >= 1 && n <= maxOpaque
	case subPort:
		return n == 2
	case subUnbelieved:
		return n == 1
	case subBeside:
		return n >= 1 && n <= MaxBeside
	default:
		return n == 16
	}
}

// isContext reports whether a suboption is one of the context's.
func isContext(code dhcp6.Code) bool {
	return (code >= subInterface && code <= subLocal) || code == subUnbelieved || code == subBeside
}

// isBeside reports whether a row has whole options only, which may stand beside a DHCPv4 message.
func isBeside(row []byte) bool {
	for len(row) > 0 {
		budget.Spend(1)
		code, _, rest, ok := dhcp6.Cut(row)
		if !ok || !IsBeside(code) {
			return false
		}
		row = rest
	}
	return true
}

// IsBeside reports whether an option of a code belongs beside the DHCPv4 message of a
// DHCPV4-RESPONSE (RFC 8539 section 7).
func IsBeside(code dhcp6.Code) bool { return code == dhcp6.OptS46BR || code == dhcp6.OptS46BindIPv6 }

// isISC reports whether an option 17, header included, is ISC's.
func isISC(option []byte) bool {
	return len(option) >= header+enterprise && binary.BigEndian.Uint32(option[header:]) == enterpriseISC
}
