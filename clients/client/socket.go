package client

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Transport sends and receives the client's datagrams. [Socket] is the real one.
type Transport interface {
	Send(b []byte, to netip.Addr) error
	// Receive waits for a datagram until the deadline. Then it returns an error that is
	// os.ErrDeadlineExceeded. The caller owns the octets.
	Receive(deadline time.Time) ([]byte, netip.AddrPort, error)
}

// Socket is a UDP socket on one interface. It sends to port 547.
type Socket struct {
	conn   *net.UDPConn
	buf    []byte
	global bool // it is a client's, bound to an address that is not link-local
}

// Listen opens a socket in the current network namespace. With the zero local address, the kernel
// chooses an address of the interface for each destination (a link-local one for multicast, RFC
// 7341 §9), and the port is 546. A client behind relay levels uses port 547.
func Listen(interfaceName string, local netip.AddrPort) (*Socket, error) {
	if !local.IsValid() {
		local = netip.AddrPortFrom(netip.IPv6Unspecified(), relay.ClientPort)
	}
	conn, err := relay.Listen(interfaceName, local)
	if err != nil {
		return nil, err
	}
	a := local.Addr()
	global := local.Port() == relay.ClientPort && !a.IsUnspecified() && !a.IsLinkLocalUnicast()
	return &Socket{conn: conn, buf: make([]byte, 1<<16), global: global}, nil
}

// Send sends to a server or relay agent.
func (s *Socket) Send(b []byte, to netip.Addr) error {
	if to.IsMulticast() && s.global {
		return fmt.Errorf("a client's query to %s must come from a link-local address (RFC 7341 §9)", to)
	}
	_, err := s.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(to, relay.ServerPort))
	return err
}

// Receive implements [Transport].
func (s *Socket) Receive(deadline time.Time) ([]byte, netip.AddrPort, error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return nil, netip.AddrPort{}, err
	}
	n, from, err := s.conn.ReadFromUDPAddrPort(s.buf)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	return append([]byte(nil), s.buf[:n]...), netip.AddrPortFrom(from.Addr().WithZone(""), from.Port()), nil
}

// Close closes the socket.
func (s *Socket) Close() error { return s.conn.Close() }
