package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// open opens the socket of all clients.
func open(ctx context.Context, c *Config, link *net.Interface) (*udp.Conn, error) {
	o := udp.Options{Coalesce: c.Trains, ReceiveBuffer: 8 << 20, SendBuffer: 8 << 20}
	local := netip.IPv6Unspecified()
	if c.sources == nil {
		if !c.Local.IsValid() {
			var err error
			if c.Local, err = linkLocal(link); err != nil {
				return nil, err
			}
		}
		if local = c.Local; local.IsLinkLocalUnicast() {
			local = local.WithZone(c.Interface)
		}
	} else {
		o.PacketInfo, o.FreeBind = true, c.Prefix.IsValid()
	}
	port := uint16(relay.ClientPort)
	if c.Relays > 0 {
		port = relay.ServerPort
	}
	o.Address = netip.AddrPortFrom(local, port)
	conn, err := listen(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("opening the clients' socket: %w", err)
	}
	return conn, nil
}

// listen waits while an address is tentative: one or two seconds after an interface comes up (RFC
// 4862 §5.4).
func listen(ctx context.Context, o udp.Options) (*udp.Conn, error) {
	for patience := time.Now().Add(5 * time.Second); ; {
		conn, err := udp.Listen(o)
		if !errors.Is(err, unix.EADDRNOTAVAIL) || time.Now().After(patience) || ctx.Err() != nil {
			return conn, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func linkLocal(link *net.Interface) (netip.Addr, error) {
	addrs, err := own(link)
	if err != nil {
		return netip.Addr{}, err
	}
	for a := range addrs {
		if a.Is6() && a.IsLinkLocalUnicast() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no link-local address", link.Name)
}

// own returns the addresses of an interface.
func own(link *net.Interface) (map[netip.Addr]bool, error) {
	addrs, err := link.Addrs()
	if err != nil {
		return nil, fmt.Errorf("reading the addresses of %s: %w", link.Name, err)
	}
	set := make(map[netip.Addr]bool)
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(p.IP)
			set[ip.Unmap()] = true
		}
	}
	return set, nil
}

// addSources makes the clients' addresses local for the run. A prefix gets a local route, which
// makes all its addresses those of this host. Single addresses are added to the interface, without
// duplicate address detection.
func addSources(c *Config, link *net.Interface) (remove func(), err error) {
	var undo []func()
	remove = func() {
		for _, f := range undo {
			f()
		}
	}
	if c.Prefix.IsValid() {
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return remove, fmt.Errorf("finding the loopback interface: %w", err)
		}
		route := &netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(c.Prefix.Masked()), Table: unix.RT_TABLE_LOCAL,
			Type: unix.RTN_LOCAL, Scope: unix.RT_SCOPE_HOST, Protocol: unix.RTPROT_STATIC}
		if err := netlink.RouteAdd(route); err != nil && !errors.Is(err, unix.EEXIST) {
			return remove, fmt.Errorf("making %s local to this host (it takes CAP_NET_ADMIN): %w", c.Prefix, err)
		}
		undo = append(undo, func() { _ = netlink.RouteDel(route) }) // a failure does not matter: the run is over
		return remove, nil
	}
	if c.sources == nil {
		return remove, nil
	}
	have, err := own(link)
	if err != nil {
		return remove, err
	}
	on := &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: link.Name, Index: link.Index}}
	for _, a := range c.sources {
		if have[a] {
			continue
		}
		addr := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(a, 128)),
			Flags: unix.IFA_F_NODAD | unix.IFA_F_NOPREFIXROUTE}
		if err := netlink.AddrAdd(on, addr); err != nil {
			remove()
			return remove, fmt.Errorf("adding %s to %s (it takes CAP_NET_ADMIN): %w", a, link.Name, err)
		}
		undo = append(undo, func() { _ = netlink.AddrDel(on, addr) }) // a failure does not matter: the run is over
	}
	return remove, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
