package ipc

import "github.com/dhcp4o6/dhcp4o6/shared/dhcp6"

// A probe asks whether a backend is alive. It is a DHCPV4-QUERY, its answer a
// DHCPV4-RESPONSE, of a header alone and so nothing that a client could be
// sent or have sent.
const (
	probe      = "\x14\x00\x00\x00"
	probeReply = "\x15\x00\x00\x00"
)

// IsProbe tells whether a datagram, the signature off, is a probe.
func IsProbe(b []byte) bool { return string(b) == probe }

// IsProbeReply tells whether a datagram, the signature off, answers a probe.
func IsProbeReply(b []byte) bool { return string(b) == probeReply }

// AppendProbe appends a probe.
func AppendProbe(dst []byte) []byte { return dhcp6.AppendMessage(dst, dhcp6.DHCPv4Query, [3]byte{}) }

// AppendProbeReply appends the answer to a probe.
func AppendProbeReply(dst []byte) []byte {
	return dhcp6.AppendMessage(dst, dhcp6.DHCPv4Response, [3]byte{})
}
