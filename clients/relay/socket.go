package relay

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// AllAgentsAndServers is the link-scoped group of relay agents and servers (RFC 9915 §7.1).
var AllAgentsAndServers = netip.MustParseAddr("ff02::1:2")

// The ports of RFC 9915 §7.2.
const (
	ClientPort = 546
	ServerPort = 547
)

// Listen opens a UDP socket in the current network namespace, and joins the groups. The socket
// sends and receives through one interface only, so link-local addresses need no zone.
func Listen(name string, local netip.AddrPort, groups ...netip.Addr) (*net.UDPConn, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding interface %s: %w", name, err)
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) { err = setup(int(fd), link, groups) }); e != nil {
			return e
		}
		return err
	}}
	conn, err := config.ListenPacket(context.Background(), "udp6", local.String())
	if err != nil {
		return nil, fmt.Errorf("listening on %s on %s: %w", local, name, err)
	}
	return conn.(*net.UDPConn), nil
}

func setup(fd int, link *net.Interface, groups []netip.Addr) error {
	if err := unix.BindToDevice(fd, link.Name); err != nil {
		return fmt.Errorf("binding to the interface: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, link.Index); err != nil {
		return fmt.Errorf("choosing the interface for multicast: %w", err)
	}
	// Other sockets of this host must not get what we send to a group.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0); err != nil {
		return fmt.Errorf("switching multicast loop-back off: %w", err)
	}
	for _, g := range groups {
		mreq := &unix.IPv6Mreq{Multiaddr: g.As16(), Interface: uint32(link.Index)}
		if err := unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, mreq); err != nil {
			return fmt.Errorf("joining %s: %w", g, err)
		}
	}
	return nil
}
