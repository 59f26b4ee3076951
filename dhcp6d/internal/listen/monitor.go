package listen

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// monitor is an rtnetlink socket that receives every change of links and IPv6 addresses. It reports
// that something has changed, and which interfaces have vanished. The state itself is then read
// anew ([interfaces]), so a missing or additional message does no harm.
type monitor struct {
	file *os.File
	raw  syscall.RawConn
	buf  []byte
}

// news is what has happened since the last call of wait.
type news struct {
	// gone are the interfaces that vanished or lost IPv6. One with the same index may be there
	// again.
	gone map[int]struct{}
	// lost reports whether the kernel had to discard messages.
	lost bool
}

// burst bounds the messages that one wait reads.
const burst = 1024

func newMonitor() (*monitor, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("follow the interfaces: %w", os.NewSyscallError("socket", err))
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("follow the interfaces: %w", os.NewSyscallError("bind", err))
	}
	m := &monitor{file: os.NewFile(uintptr(fd), "rtnetlink"), buf: make([]byte, 1<<16)}
	if m.raw, err = m.file.SyscallConn(); err != nil {
		_ = m.file.Close()
		return nil, fmt.Errorf("follow the interfaces: %w", err)
	}
	return m, nil
}

// wait waits until something has happened and returns it. It returns an error when the deadline has
// passed or the monitor is closed.
func (m *monitor) wait() (n news, err error) {
	n.gone = make(map[int]struct{})
	closed := m.raw.Read(func(fd uintptr) bool {
		for heard := range burst {
			var length int
			length, _, err = unix.Recvfrom(int(fd), m.buf, unix.MSG_TRUNC)
			switch {
			case errors.Is(err, unix.EAGAIN):
				err = nil
				return heard > 0
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.ENOBUFS) || (err == nil && length > len(m.buf)):
				n.lost = true
				err = nil
			case err != nil:
				return true
			default:
				n.note(m.buf[:length])
			}
		}
		return true
	})
	return n, errors.Join(err, closed)
}

// note adds what a netlink datagram reports.
func (n *news) note(b []byte) {
	budget.Spend(len(b))
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		n.lost = true
		return
	}
	for i := range messages {
		budget.Spend(1 + len(messages[i].Data))
		if s, ok := parseLink(&messages[i]); ok && (messages[i].Header.Type == unix.RTM_DELLINK || !s.ipv6()) {
			n.gone[s.Index] = struct{}{}
		}
	}
}

// deadline sets when a wait ends; the zero time means never.
func (m *monitor) deadline(t time.Time) { _ = m.file.SetReadDeadline(t) }

func (m *monitor) close() error { return m.file.Close() }
