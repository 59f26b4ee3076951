package udp

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// repeats bounds how often we offer a message again that the kernel refused because of an earlier
// datagram.
const repeats = 8

// hearRefusals makes the kernel queue the errors that come back for datagrams sent earlier
// (IP_RECVERR). The kernel then also returns each of them once as the result of a later, unrelated
// call; see aboutEarlier. A call that meets such an error after it has sent some messages returns
// how many it has sent, and no error.
func hearRefusals(fd int, f family) error {
	var errs []error
	if f != onlyIPv4 {
		errs = append(errs, os.NewSyscallError("setsockopt IPV6_RECVERR",
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)))
	}
	if f != onlyIPv6 {
		errs = append(errs,
			os.NewSyscallError("setsockopt IP_RECVERR", unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)))
	}
	return errors.Join(errs...)
}

// aboutEarlier reports whether an error of a call that sends may be about an earlier datagram. If
// so, it reports the refusals, and the caller makes the call again.
func (c *Conn) aboutEarlier(errno unix.Errno) bool {
	if c.options.Refused == nil {
		return false
	}
	switch errno {
	case unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EACCES, unix.EMSGSIZE, unix.EPROTO:
		c.tellRefusals()
		return true
	}
	return false
}

// tellRefusals empties the queue of errors and calls Refused for those that mean that nobody
// listens.
func (c *Conn) tellRefusals() {
	if c.options.Refused == nil {
		return
	}
	var payload [1]byte
	var control [256]byte
	_ = c.control(func(fd int) error {
		for {
			_, n, _, to, err := unix.Recvmsg(fd, payload[:], control[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return nil //nolint:nilerr // there is no more
			}
			if addr := destination(to); addr.IsValid() && refusal(control[:n]) {
				c.options.Refused(addr)
			}
		}
	})
}

// refusal reports whether an entry of the queue says that a port is closed. Its control data begin
// with the error number (struct sock_extended_err).
func refusal(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		if (v6 || v4) && len(m.Data) >= 4 {
			return unix.Errno(binary.NativeEndian.Uint32(m.Data)) == unix.ECONNREFUSED
		}
	}
	return false
}

// destination returns where the datagram had been sent.
func destination(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
