package udp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Options say what kind of socket [Listen] opens. The zero value of every field but Address is
// useful.
type Options struct {
	// Address is where to listen; port 0 lets the kernel choose one. An IPv6 address gives a socket
	// for IPv6 only (but see BothFamilies), an IPv4 address one for IPv4. A link-local address
	// needs its zone.
	Address netip.AddrPort
	// BothFamilies has the IPv6 wildcard address [::] stand for all IPv4 addresses too. It means
	// nothing with any other address.
	BothFamilies bool
	// PacketInfo fills Local and Interface of received packets.
	PacketInfo bool
	// OnlyJoined keeps out datagrams to groups that this socket has not joined but another socket
	// of the host has (IPv6, Linux 4.20 and later). The kernel compares the group only: a group
	// that this socket has joined on one interface comes in by every interface on which any
	// socket has joined it.
	OnlyJoined bool
	// Coalesce lets the kernel hand over several datagrams of one sender in one buffer (UDP_GRO)
	// and take several to one destination in one call (UDP_SEGMENT), if it knows these options.
	// Nothing changes on the wire or for the caller.
	Coalesce bool
	// Timestamps fills Received of received packets, if the kernel has timestamps.
	Timestamps bool
	// MaxDatagram is the length in octets above which a received datagram is truncated; 0 stands
	// for 65535, which no datagram exceeds. With Coalesce it is always 65535.
	MaxDatagram int
	// ReceiveBuffer and SendBuffer are how much the kernel may queue, in octets by its own
	// accounting; 0 leaves the system's default. Without CAP_NET_ADMIN the kernel grants at most
	// net.core.rmem_max and wmem_max; [Conn.Stats] returns what it granted.
	ReceiveBuffer, SendBuffer int
	// Refused, if not nil, is called with the destination of a datagram for which an ICMP message
	// says that nobody listens there. The goroutine that reads or writes calls it, so it must not
	// block.
	Refused func(netip.AddrPort)
	// FreeBind allows sources in Local that are no addresses of an interface (IPv6), such as those
	// of a prefix that is routed to this host.
	FreeBind bool
}

// Listen opens a UDP socket. It never forbids fragmentation: a datagram longer than the path's MTU
// is left to the kernel. Errors say what a person can do.
func Listen(o Options) (*Conn, error) {
	fd, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %v: %w", o.Address, err)
	}
	return newConn(fd, o)
}

// open returns a bound descriptor, or an error without the address.
func open(o Options) (fd int, err error) {
	family := unix.AF_INET6
	switch {
	case !o.Address.IsValid():
		return -1, errors.New("no address given")
	case o.Address.Addr().Is4In6():
		return -1, errors.New("write an IPv4 address in its own form, not mapped into IPv6")
	case o.Address.Addr().Is4():
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_UDP)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		return -1, fmt.Errorf("this kernel has no such address family (is IPv6 disabled?): %w", err)
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer func() {
		if err != nil {
			_ = unix.Close(fd)
		}
	}()
	if err = configure(fd, family, o); err != nil {
		return -1, err
	}
	sa, err := bindAddress(o.Address)
	if err != nil {
		return -1, err
	}
	if err = unix.Bind(fd, sa); err != nil {
		return -1, explainBind(o.Address, err)
	}
	return fd, nil
}

// configure sets the socket options before the first datagram can arrive.
func configure(fd, family int, o Options) error {
	set := func(name string, level, option, value int) error {
		return os.NewSyscallError("setsockopt "+name, unix.SetsockoptInt(fd, level, option, value))
	}
	var errs []error
	if family == unix.AF_INET6 {
		only := 1
		if familyOf(o) == bothFamilies {
			only = 0
		}
		errs = append(errs, set("IPV6_V6ONLY", unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only))
		if o.PacketInfo {
			errs = append(errs, set("IPV6_RECVPKTINFO", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1))
		}
		if o.OnlyJoined {
			err := set("IPV6_MULTICAST_ALL", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0)
			if !errors.Is(err, unix.ENOPROTOOPT) { // the owner also looks at Interface
				errs = append(errs, err)
			}
		}
		if o.FreeBind {
			errs = append(errs, set("IPV6_FREEBIND", unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1))
		}
	} else if o.PacketInfo {
		errs = append(errs, set("IP_PKTINFO", unix.IPPROTO_IP, unix.IP_PKTINFO, 1))
	}
	if o.Refused != nil {
		errs = append(errs, hearRefusals(fd, familyOf(o)))
	}
	if o.Timestamps {
		err := set("SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1)
		if !errors.Is(err, unix.ENOPROTOOPT) { // an emulated kernel, such as QEMU's, may have none
			errs = append(errs, err)
		}
	}
	if o.ReceiveBuffer > 0 {
		errs = append(errs, setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer))
	}
	if o.SendBuffer > 0 {
		errs = append(errs, setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer))
	}
	return errors.Join(errs...)
}

// setBuffer sets the size of a buffer, beyond the system's limit where that is permitted.
func setBuffer(fd, force, ordinary, size int) error {
	err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size)
	if errors.Is(err, unix.EPERM) {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, ordinary, size)
	}
	return os.NewSyscallError("setsockopt buffer size", err)
}

func bindAddress(a netip.AddrPort) (unix.Sockaddr, error) {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}, nil
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
	if zone := a.Addr().Zone(); zone != "" {
		ifi, err := net.InterfaceByName(zone)
		if err != nil {
			return nil, fmt.Errorf("zone %q is no interface of this host: %w", zone, err)
		}
		sa.ZoneId = uint32(ifi.Index)
	}
	return sa, nil
}

// explainBind adds to an error of bind what a person can do.
func explainBind(a netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("port %d is in use: stop the other process (ss -lunp shows it) or choose another port: %w",
			a.Port(), err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("port %d is privileged: run as root, grant CAP_NET_BIND_SERVICE, or lower "+
			"net.ipv4.ip_unprivileged_port_start: %w", a.Port(), err)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("%v is no address of this host (or is still tentative): use one that ip address shows, or "+
			"the wildcard: %w", a.Addr(), err)
	case errors.Is(err, unix.EINVAL) && a.Addr().IsLinkLocalUnicast() && a.Addr().Zone() == "":
		return fmt.Errorf("a link-local address needs its interface, as in [%v%%eth0]:%d: %w", a.Addr(), a.Port(), err)
	}
	return os.NewSyscallError("bind", err)
}
