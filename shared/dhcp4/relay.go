package dhcp4

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// RelayInfo is the value of a Relay Agent Information option whose suboptions are well formed. They
// are code, length and value, with neither pads nor an end (RFC 3046 section 2).
type RelayInfo []byte

// RelayInfo returns option 82. A malformed or empty one counts as absent: it is echoed, not used.
func (m *Message) RelayInfo() (RelayInfo, bool) {
	v, _ := m.Option(OptRelayAgentInformation)
	if len(v) == 0 {
		return nil, false
	}
	for rest := v; len(rest) > 0; rest = rest[2+int(rest[1]):] {
		budget.Spend(1)
		if len(rest) < 2 || len(rest) < 2+int(rest[1]) {
			return nil, false
		}
	}
	return v, true
}

// Sub returns the first suboption of a code and whether there is one.
func (r RelayInfo) Sub(code byte) ([]byte, bool) {
	for rest := []byte(r); len(rest) > 0; rest = rest[2+int(rest[1]):] {
		budget.Spend(1)
		if rest[0] == code {
			end := 2 + int(rest[1])
			return rest[2:end:end], true
		}
	}
	return nil, false
}

// LinkSelection returns suboption 5, the subnet that the relay wants (RFC 3527 section 3). One that
// is not four octets long counts as absent.
func (r RelayInfo) LinkSelection() (netip.Addr, bool) { return r.addr(SubLinkSelection) }

// ServerID returns suboption 11, the address by which clients are to know their server (RFC 5107
// section 4). One that is not four octets long counts as absent.
func (r RelayInfo) ServerID() (netip.Addr, bool) { return r.addr(SubServerID) }

func (r RelayInfo) addr(code byte) (netip.Addr, bool) {
	v, _ := r.Sub(code)
	if len(v) != 4 {
		return netip.Addr{}, false
	}
	return addr(v), true
}
