// Package ethernet reads and writes Ethernet frames, and the UDP datagrams over IPv6 in them, by
// packet sockets.
package ethernet

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// Sizes of the headers, and the offsets in a frame of the fields that are used here: Ethernet 14,
// IPv6 40 (next header at 20, source at 22, destination at 38), UDP 8 (ports at 54 and 56, length
// at 58, checksum at 60).
const (
	ethernetLen = 14
	ipv6Len     = 40
	udpLen      = 8
	headersLen  = ethernetLen + ipv6Len + udpLen

	etherTypeIPv6 = 0x86dd
	protocolUDP   = 17
)

// A Datagram is a UDP datagram over IPv6 on Ethernet.
type Datagram struct {
	SourceMAC      net.HardwareAddr
	DestinationMAC net.HardwareAddr
	Source         netip.AddrPort
	Destination    netip.AddrPort
	Payload        []byte
}

// Decode reads a frame. It returns false unless the frame is one whole UDP datagram over IPv6,
// without fragmentation and extension headers.
func Decode(frame []byte) (Datagram, bool) {
	if len(frame) < headersLen || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 || frame[20] != protocolUDP {
		return Datagram{}, false
	}
	length := int(binary.BigEndian.Uint16(frame[58:]))
	if length < udpLen || ethernetLen+ipv6Len+length > len(frame) {
		return Datagram{}, false
	}
	return Datagram{
		DestinationMAC: frame[0:6],
		SourceMAC:      frame[6:12],
		Source:         netip.AddrPortFrom(netip.AddrFrom16([16]byte(frame[22:38])), binary.BigEndian.Uint16(frame[54:])),
		Destination:    netip.AddrPortFrom(netip.AddrFrom16([16]byte(frame[38:54])), binary.BigEndian.Uint16(frame[56:])),
		Payload:        frame[headersLen : ethernetLen+ipv6Len+length],
	}, true
}

// Encode returns the frame of a datagram, with hop limit 255 and the checksum.
func (d Datagram) Encode() []byte {
	b := make([]byte, headersLen, headersLen+len(d.Payload))
	copy(b[0:], d.DestinationMAC)
	copy(b[6:], d.SourceMAC)
	binary.BigEndian.PutUint16(b[12:], etherTypeIPv6)
	b[14] = 6 << 4
	length := uint16(udpLen + len(d.Payload))
	binary.BigEndian.PutUint16(b[18:], length)
	b[20], b[21] = protocolUDP, 255
	source, destination := d.Source.Addr().As16(), d.Destination.Addr().As16()
	copy(b[22:], source[:])
	copy(b[38:], destination[:])
	binary.BigEndian.PutUint16(b[54:], d.Source.Port())
	binary.BigEndian.PutUint16(b[56:], d.Destination.Port())
	binary.BigEndian.PutUint16(b[58:], length)
	b = append(b, d.Payload...)
	binary.BigEndian.PutUint16(b[60:], checksum(b))
	return b
}

// checksum returns the UDP checksum over IPv6 (RFC 8200 §8.1). It covers a pseudo header of
// addresses, length and protocol, then header and payload with a checksum of zero.
func checksum(frame []byte) uint16 {
	sum := uint32(binary.BigEndian.Uint16(frame[58:])) + protocolUDP
	b := frame[22:]
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if sum == 0xffff {
		return 0xffff // an all-zero checksum is not allowed
	}
	return ^uint16(sum)
}
