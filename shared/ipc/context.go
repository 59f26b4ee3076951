package ipc

import (
	"encoding/binary"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

const (
	enterpriseISC = 2495

	subInterface = 60000
	subSource    = 60001
	subPort      = 60002
	subLocal     = 60003

	header     = 4 // of an option, and of a suboption
	enterprise = 4 // octets of an enterprise number

	maxInterface = 15  // on output: a Linux interface name
	maxOpaque    = 255 // on input: the name is the other side's
)

// Context is what travels with a query and comes back with its answer.
type Context struct {
	// Interface is the name of the interface that received the query: 1 to
	// 15 octets. dhcp4d takes it as opaque text and accepts up to 255.
	Interface []byte
	// Source is where the query came from: the outermost relay, or the
	// client when there is none.
	Source netip.AddrPort
	// Local is the unicast address of ours that the query was sent to. The
	// zero Addr says none, or not to be told.
	Local netip.Addr
}

// appendOption appends the context in an option of its own.
func (c *Context) appendOption(dst []byte) []byte {
	dst, mark := dhcp6.BeginOption(dst, dhcp6.OptVendorOpts)
	dst = binary.BigEndian.AppendUint32(dst, enterpriseISC)
	dst = c.appendSuboptions(dst)
	_ = dhcp6.EndOption(dst, mark) // fits: 4+255+54 octets at most
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
	return dst
}

// parse reads the context from all ISC instances of option 17. The first three
// suboptions are mandatory. None may be repeated: Kea's side does not remove
// what a client put there, and of two source addresses one is forged.
func (c *Context) parse(m *dhcp6.Message) drop.Reason {
	*c = Context{}
	var addr netip.Addr
	var seen [4]bool
	for options := m.Options(); len(options) > 0; {
		code, option, rest, _ := cut(options)
		options = rest
		if code != uint16(dhcp6.OptVendorOpts) || !isISC(option) {
			continue
		}
		for subs := option[header+enterprise:]; len(subs) > 0; {
			code, sub, rest, ok := cut(subs)
			if !ok {
				return drop.Malformed
			}
			subs = rest
			if !isContext(code) {
				continue
			}
			if seen[code-subInterface] {
				return drop.Context
			}
			seen[code-subInterface] = true
			value := sub[header:]
			if !rightLength(code, len(value)) {
				return drop.Context
			}
			switch code {
			case subInterface:
				c.Interface = value
			case subSource:
				addr = netip.AddrFrom16([16]byte(value))
			case subPort:
				c.Source = netip.AddrPortFrom(addr, binary.BigEndian.Uint16(value))
			case subLocal:
				c.Local = netip.AddrFrom16([16]byte(value))
			}
		}
	}
	if !seen[0] || !seen[1] || !seen[2] {
		return drop.Context
	}
	c.Source = netip.AddrPortFrom(addr, c.Source.Port())
	return drop.None
}

func rightLength(code uint16, n int) bool {
	switch code {
	case subInterface:
		return n >= 1 && n <= maxOpaque
	case subPort:
		return n == 2
	default:
		return n == 16
	}
}

// isContext tells whether a suboption of ours is the context's.
func isContext(code uint16) bool { return code >= subInterface && code <= subLocal }

// isISC tells whether an option 17, header included, is ISC's.
func isISC(option []byte) bool {
	return len(option) >= header+enterprise && binary.BigEndian.Uint32(option[header:]) == enterpriseISC
}

// cut takes the first option or suboption, header included, off b.
func cut(b []byte) (code uint16, first, rest []byte, ok bool) {
	if len(b) < header {
		return 0, nil, nil, false
	}
	n := header + int(binary.BigEndian.Uint16(b[2:]))
	if n > len(b) {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[:n], b[n:], true
}
