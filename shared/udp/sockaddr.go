package udp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// This file translates between packets and the kernel's socket addresses and control messages, for
// both address families and without allocation. An address is kept in the larger of the two forms.

type name = unix.RawSockaddrInet6

const (
	sizeofName4 = unix.SizeofSockaddrInet4
	sizeofName6 = unix.SizeofSockaddrInet6

	sizeofPacketInfo4 = unix.SizeofInet4Pktinfo
	sizeofPacketInfo6 = unix.SizeofInet6Pktinfo
)

// message is struct mmsghdr; the compiler adds the tail padding.
type message struct {
	header unix.Msghdr
	length uint32 // octets received or sent
}

// A family is the addresses that a socket can send to.
type family uint8

const (
	onlyIPv6 family = iota
	onlyIPv4
	// bothFamilies is an IPv6 socket for which the kernel writes IPv4 addresses mapped into IPv6.
	// A [Packet] has them in their own form.
	bothFamilies
)

// familyOf returns the family of the socket that o describes.
func familyOf(o Options) family {
	switch a := o.Address.Addr(); {
	case a.Is4():
		return onlyIPv4
	case o.BothFamilies && a == netip.IPv6Unspecified():
		return bothFamilies
	}
	return onlyIPv6
}

// sendable reports whether the socket can send to and from the addresses of a packet.
func (f family) sendable(p *Packet) bool {
	to, from := p.Peer.Addr(), p.Local
	switch f {
	case onlyIPv4:
		return to.Is4() && (from.Is4() || !from.IsValid())
	case bothFamilies:
		return to.IsValid() && (from.Is4() == to.Is4() || !from.IsValid())
	}
	return to.Is6() && (from.Is6() || !from.IsValid())
}

// putName writes a destination and returns its length.
func (f family) putName(n *name, to netip.AddrPort) (size uint32) {
	if f == onlyIPv4 {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		n4.Family, n4.Addr = unix.AF_INET, to.Addr().As4()
		putPort(&n4.Port, to.Port())
		return sizeofName4
	}
	n.Family, n.Flowinfo, n.Addr, n.Scope_id = unix.AF_INET6, 0, to.Addr().As16(), 0
	putPort(&n.Port, to.Port())
	return sizeofName6
}

// peer reads the source of a received datagram. The scope is the interface when the source is
// link-local, otherwise 0.
func (f family) peer(n *name) (from netip.AddrPort, scope int) {
	if n.Family == unix.AF_INET {
		n4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(n))
		return netip.AddrPortFrom(netip.AddrFrom4(n4.Addr), port(&n4.Port)), 0
	}
	a := netip.AddrFrom16(n.Addr)
	if f == bothFamilies {
		a = a.Unmap()
	}
	return netip.AddrPortFrom(a, port(&n.Port)), int(n.Scope_id)
}

// Ports are in network order in the kernel's structures.
func port(p *uint16) uint16 { return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(p))[:]) }
func putPort(p *uint16, v uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(p))[:], v)
}

// appendPacketInfo appends the control message that fixes interface and source address, which is of
// the socket's family.
func (f family) appendPacketInfo(b []byte, source netip.Addr, ifindex int) []byte {
	if f == onlyIPv4 {
		info := unix.Inet4Pktinfo{Ifindex: int32(ifindex)}
		if source.IsValid() {
			info.Spec_dst = source.As4()
		}
		b, data := appendControl(b, unix.IPPROTO_IP, unix.IP_PKTINFO, sizeofPacketInfo4)
		*(*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0])) = info
		return b
	}
	info := unix.Inet6Pktinfo{Ifindex: uint32(ifindex)}
	if source.IsValid() {
		info.Addr = source.As16()
	}
	b, data := appendControl(b, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, sizeofPacketInfo6)
	*(*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])) = info
	return b
}

// appendSegment appends the control message that has the kernel cut the payload into datagrams of
// this length.
func appendSegment(b []byte, length uint16) []byte {
	b, data := appendControl(b, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)
	binary.NativeEndian.PutUint16(data, length)
	return b
}

// appendControl appends a control message; b must have the capacity and be aligned. data is where
// its payload goes.
func appendControl(b []byte, level, kind int32, size int) (whole, data []byte) {
	start := len(b)
	whole = b[:start+unix.CmsgSpace(size)]
	h := (*unix.Cmsghdr)(unsafe.Pointer(&whole[start]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(size))
	return whole, whole[start+unix.CmsgLen(0):][:size]
}

// readControl sets the fields that the control messages of a received datagram have values for. It
// returns the length of the coalesced segments, 0 for a single datagram.
func (f family) readControl(b []byte, p *Packet) (segment int) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		length := int(h.Len)
		if length < unix.CmsgLen(0) || length > len(b) {
			return segment
		}
		data := b[unix.CmsgLen(0):length]
		switch {
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= sizeofPacketInfo6:
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0]))
			p.Local, p.Interface = netip.AddrFrom16(info.Addr), int(info.Ifindex)
			if f == bothFamilies {
				p.Local = p.Local.Unmap()
			}
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= sizeofPacketInfo4:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			p.Local, p.Interface = netip.AddrFrom4(info.Addr), int(info.Ifindex)
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 2:
			segment = groSize(data)
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS_NEW && len(data) >= 16:
			p.Received = int64(binary.NativeEndian.Uint64(data))*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		}
		b = b[min(unix.CmsgSpace(len(data)), len(b)):]
	}
	return segment
}

// groSize reads UDP_GRO's payload, an int in the kernel's code.
func groSize(data []byte) int {
	if len(data) >= 4 {
		return int(int32(binary.NativeEndian.Uint32(data)))
	}
	return int(binary.NativeEndian.Uint16(data))
}
