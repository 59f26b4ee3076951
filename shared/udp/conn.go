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

// Conn is a UDP socket that the runtime's poller waits for. Its methods may be called from any
// goroutine.
type Conn struct {
	file    *os.File
	raw     syscall.RawConn
	options Options
	local   netip.AddrPort
	family  family
	gro     bool                      // the kernel coalesces what this socket receives
	gso     bool                      // the kernel knows UDP_SEGMENT
	stopped atomic.Pointer[time.Time] // when StopReading was called
}

// newConn makes a Conn that owns the descriptor.
func newConn(fd int, o Options) (*Conn, error) {
	c := &Conn{options: o, family: familyOf(o)}
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

// LocalAddr returns the address that the socket is bound to, with the port that the kernel chose if
// none was given.
func (c *Conn) LocalAddr() netip.AddrPort { return c.local }

// Close closes the socket. A waiting Read returns net.ErrClosed.
func (c *Conn) Close() error {
	if err := c.file.Close(); err != nil {
		return net.ErrClosed
	}
	return nil
}

// drainLimit bounds how long Read returns queued datagrams after StopReading, so that shutdown ends
// even during a flood.
const drainLimit = 250 * time.Millisecond

// StopReading ends reading without a loss: Read returns the datagrams that have arrived, and then
// net.ErrClosed. Writers go on.
func (c *Conn) StopReading() {
	now := time.Now()
	if c.stopped.CompareAndSwap(nil, &now) {
		_ = c.file.SetReadDeadline(time.Unix(0, 1))
	}
}

// Wake makes a waiting Read, or the next one, return, perhaps without a packet: there is other work
// for the loop that reads.
func (c *Conn) Wake() { _ = c.file.SetReadDeadline(time.Unix(0, 1)) }

// awake reports whether the end of a Read was the work of Wake, and makes the next one wait again.
func (c *Conn) awake(err error) bool {
	if !errors.Is(err, os.ErrDeadlineExceeded) || c.stopped.Load() != nil {
		return false
	}
	_ = c.file.SetReadDeadline(time.Time{})
	if c.stopped.Load() != nil { // meanwhile
		_ = c.file.SetReadDeadline(time.Unix(0, 1))
	}
	return true
}

// receiveRest calls receive, which never waits, after StopReading. It reports whether a datagram
// had arrived.
func (c *Conn) receiveRest(receive func(fd uintptr) bool) (some bool) {
	since := c.stopped.Load()
	if since == nil || time.Since(*since) > drainLimit {
		return false
	}
	err := c.raw.Control(func(fd uintptr) { some = receive(fd) })
	return some && err == nil
}

// Join makes the socket a member of an IPv6 group on one interface. Joining twice is no error. The
// kernel keeps the membership until [Conn.Leave] or Close, also when the interface is gone.
func (c *Conn) Join(group netip.Addr, ifindex int) error {
	err := c.membership(unix.IPV6_JOIN_GROUP, group, ifindex)
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil
	case errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("join %v on interface %d: the kernel gives this socket no more memory for memberships, "+
			"raise net.core.optmem_max (sysctl): %w", group, ifindex, err)
	case err != nil:
		return fmt.Errorf("join %v on interface %d: %w", group, ifindex, err)
	}
	return nil
}

// Leave ends a membership, also on an interface that is gone. Leaving a group that was not joined
// is no error.
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
	// ReceiveQueue and SendQueue are the octets that wait now, by the kernel's accounting, which
	// includes headers and slack.
	ReceiveQueue, SendQueue int
	// ReceiveBuffer and SendBuffer are the limits of the queues. The kernel grants twice what the
	// options ask for.
	ReceiveBuffer, SendBuffer int
	// Options is the memory of socket options such as group memberships, in octets.
	Options int
	// Drops counts the datagrams that the kernel discarded since the socket was opened because the
	// receive buffer was full (or the checksum wrong). It wraps at 2³².
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

// control calls f with the descriptor, which cannot be closed meanwhile.
func (c *Conn) control(f func(fd int) error) error {
	var err error
	if closed := c.raw.Control(func(fd uintptr) { err = f(int(fd)) }); closed != nil {
		return net.ErrClosed
	}
	return err
}
