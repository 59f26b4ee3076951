package dhcp4

import "net/netip"

// RelayInfo is the value of a Relay Agent Information option whose
// suboptions (code, length, value; neither pads nor an end, RFC 3046 §2) are
// well formed.
type RelayInfo []byte

// RelayInfo returns option 82, with scratch as in [Message.Option]. A
// malformed one counts as absent: it is echoed, not used.
func (m *Message) RelayInfo(scratch []byte) (RelayInfo, bool) { return nil, false }

// Sub returns the first suboption of a code and whether there is one.
func (r RelayInfo) Sub(code byte) ([]byte, bool) { return nil, false }

// LinkSelection returns suboption 5, the subnet that the relay wants (RFC
// 3527 §3). One that is not four octets long counts as absent.
func (r RelayInfo) LinkSelection() (netip.Addr, bool) { return netip.Addr{}, false }
