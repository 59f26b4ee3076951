package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Conn is a UDP socket that the runtime's poller waits for. Its methods may be
// called from any goroutine.
type Conn struct {
	file    *os.File
	raw     syscall.RawConn
	options Options
	local   netip.AddrPort
	v4      bool
	gro     bool                      // the kernel coalesces what this socket receives
	gso     bool                      // the kernel knows UDP_SEGMENT
	stopped atomic.Pointer[time.Time] // when StopReading was called
}

// newConn takes the descriptor over.
func newConn(fd int, o Options) (*Conn, error) {
	c := &Conn{options: o, v4: o.Address.Addr().Is4()}
	if o.Coalesce {
		c.gro = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
		_, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		c.gso = err == nil
	}
	c.file = os.NewFile(uintptr(fd), "udp")
	raw, err := c.file.SyscallConn()
	if err != nil {
		_ = c.file.Close()
		return nil, fmt.Errorf("listen on UDP %v: %w", o.Address, err)
	}
	c.raw = raw
	sa, err := unix.Getsockname(fd)
	if err != nil {
		_ = c.file.Close()
		return nil, fmt.Errorf("listen on UDP %v: %w", o.Address, os.NewSyscallError("getsockname", err))
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		c.local = netip.AddrPortFrom(o.Address.Addr(), uint16(sa.Port))
	case *unix.SockaddrInet6:
		c.local = netip.AddrPortFrom(o.Address.Addr(), uint16(sa.Port))
	}
	return c, nil
}

// LocalAddr is the address the socket is bound to, with the port that the
// kernel chose when none was given.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Close closes the socket. A waiting Read returns net.ErrClosed.
func (c *Conn) Close() error {
	if err := c.file.Close(); err != nil {
		return net.ErrClosed
	}
	return nil
}

// rest is how long what has arrived may take to be read after StopReading: who
// is flooded ends all the same.
const rest = 250 * time.Millisecond

// StopReading ends reading without a loss: Read returns what has arrived, until
// nothing is left, and then net.ErrClosed. Sending goes on.
func (c *Conn) StopReading() {
	now := time.Now()
	if c.stopped.CompareAndSwap(nil, &now) {
		_ = c.file.SetReadDeadline(time.Unix(0, 1))
	}
}

// remains calls receive, which never waits, for what has arrived at a socket
// that is to be read no more; false when that is nothing.
func (c *Conn) remains(receive func(fd uintptr) bool) (some bool) {
	since := c.stopped.Load()
	if since == nil || time.Since(*since) > rest {
		return false
	}
	err := c.raw.Control(func(fd uintptr) { some = receive(fd) })
	return some && err == nil
}

// Join makes the socket a member of an IPv6 group on one interface. Joining
// twice is no error. The membership outlives the interface: the kernel keeps
// its record until [Conn.Leave] or Close.
func (c *Conn) Join(group netip.Addr, ifindex int) error {
	err := c.membership(unix.IPV6_JOIN_GROUP, group, ifindex)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("join %v on interface %d: the kernel gives this socket no more memory for memberships, raise net.core.optmem_max (sysctl): %w", group, ifindex, err)
	case err != nil:
		return fmt.Errorf("join %v on interface %d: %w", group, ifindex, err)
	}
	return nil
}

// Leave ends a membership; the interface need not exist any more. Leaving what
// was not joined is no error.
func (c *Conn) Leave(group netip.Addr, ifindex int) error {
	err := c.membership(unix.IPV6_LEAVE_GROUP, group, ifindex)
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leave %v on interface %d: %w", group, ifindex, err)
	}
	return nil
}

func (c *Conn) membership(option int, group netip.Addr, ifindex int) error {
	mreq := unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(ifindex)}
	return c.control(func(fd int) error {
		return unix.SetsockoptIPv6Mreq(fd, unix.IPPROTO_IPV6, option, &mreq)
	})
}

// Stats is the kernel's account of the socket.
type Stats struct {
	// ReceiveQueue and SendQueue are what waits now, in octets of the
	// kernel's accounting (headers and slack included).
	ReceiveQueue, SendQueue int
	// ReceiveBuffer and SendBuffer are the limits granted, which are twice
	// what the options asked for.
	ReceiveBuffer, SendBuffer int
	// Options is what options such as group memberships occupy, in octets.
	Options int
	// Drops counts the datagrams that the kernel discarded since the socket
	// was opened because the receive buffer was full (or the checksum
	// wrong). It wraps at 2³².
	Drops uint32
}

// Stats reads the figures of SO_MEMINFO (Linux 4.12 and later).
func (c *Conn) Stats() (Stats, error) {
	var m [unix.SK_MEMINFO_VARS]uint32
	length := uint32(unsafe.Sizeof(m))
	err := c.control(func(fd int) error {
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&m)), uintptr(unsafe.Pointer(&length)), 0)
		if errno != 0 {
			return os.NewSyscallError("getsockopt SO_MEMINFO", errno)
		}
		return nil
	})
	if err != nil {
		return Stats{}, fmt.Errorf("read socket figures: %w", err)
	}
	return Stats{
		ReceiveQueue:  int(m[unix.SK_MEMINFO_RMEM_ALLOC]),
		ReceiveBuffer: int(m[unix.SK_MEMINFO_RCVBUF]),
		SendQueue:     int(m[unix.SK_MEMINFO_WMEM_ALLOC]),
		SendBuffer:    int(m[unix.SK_MEMINFO_SNDBUF]),
		Options:       int(m[unix.SK_MEMINFO_OPTMEM]),
		Drops:         m[unix.SK_MEMINFO_DROPS],
	}, nil
}

// control runs f on the descriptor while it cannot be closed.
func (c *Conn) control(f func(fd int) error) error {
	var err error
	if closed := c.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return net.ErrClosed
	}
	return err
}
