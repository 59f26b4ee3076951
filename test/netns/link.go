package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
)

// An End is one interface of a link.
type End struct {
	Host *Host
	// Name is the interface's name inside the host, at most 15 octets.
	Name string
	// MAC is its address. Nil stands for a new one, unique in the lab.
	MAC net.HardwareAddr
	// Addresses are added to the link-local address of the MAC.
	Addresses []netip.Prefix
	// Offload keeps the offloads that the kernel gives the interface, which is right for measuring.
	// A capture then shows unfinished checksums, and trains of datagrams as one.
	Offload bool

	silent bool // a port of a bridge or fault link: it has no address
}

// Link joins two hosts by a veth pair.
func (l *Lab) Link(a, b End) error {
	if err := l.pair(a, b); err != nil {
		return err
	}
	return errors.Join(a.set(), b.set(), a.wait(), b.wait())
}

// Segment joins any number of hosts by a bridge in a namespace between them.
func (l *Lab) Segment(ends ...End) error {
	middle, err := l.Host("bridge")
	if err != nil {
		return err
	}
	off := false
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: &off}
	if err := middle.links.LinkAdd(bridge); err != nil {
		return fmt.Errorf("making a bridge: %w", err)
	}
	if err := middle.links.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("bringing a bridge up: %w", err)
	}
	ports := make([]End, len(ends))
	for i, e := range ends {
		port := End{Host: middle, Name: fmt.Sprintf("port%d", i), silent: true}
		ports[i] = port
		if err := l.pair(e, port); err != nil {
			return err
		}
		link, err := middle.links.LinkByName(port.Name)
		if err != nil {
			return fmt.Errorf("finding bridge port %s: %w", port.Name, err)
		}
		if err := middle.links.LinkSetMaster(link, bridge); err != nil {
			return fmt.Errorf("adding %s to a bridge: %w", port.Name, err)
		}
	}
	for _, e := range append(ports, ends...) {
		if err := e.set(); err != nil {
			return err
		}
	}
	for _, e := range append(ports, ends...) {
		if err := e.wait(); err != nil {
			return err
		}
	}
	return nil
}

// FaultLink joins two hosts by a link with faults: a forwarder in a namespace between them. It
// passes everything until [faultlink.Link.SetRule].
func (l *Lab) FaultLink(a, b End) (*faultlink.Link, error) {
	middle, err := l.Host("wire")
	if err != nil {
		return nil, err
	}
	left, right := End{Host: middle, Name: "left", silent: true}, End{Host: middle, Name: "right", silent: true}
	if err := errors.Join(l.pair(a, left), l.pair(b, right)); err != nil {
		return nil, err
	}
	// The ends in the middle come up first: the hosts' ends are up only then.
	for _, e := range []End{left, right, a, b} {
		if err := e.set(); err != nil {
			return nil, err
		}
	}
	w, err := In(middle, func() (*faultlink.Link, error) { return faultlink.Open(left.Name, right.Name) })
	if err != nil {
		return nil, err
	}
	l.closeLater(w)
	return w, errors.Join(a.wait(), b.wait(), left.wait(), right.wait())
}

// pair makes the veth pair of two ends, each in its host. Both are down.
func (l *Lab) pair(a, b End) error {
	for _, e := range []*End{&a, &b} {
		if e.MAC == nil {
			e.MAC = l.mac()
		}
	}
	veth := &netlink.Veth{
		LinkAttrs:        netlink.LinkAttrs{Name: a.Name, HardwareAddr: a.MAC},
		PeerName:         b.Name,
		PeerHardwareAddr: b.MAC,
		PeerNamespace:    netlink.NsFd(int(b.Host.ns)),
	}
	if err := a.Host.links.LinkAdd(veth); err != nil {
		return fmt.Errorf("making the link %s:%s to %s:%s: %w", a.Host.Name, a.Name, b.Host.Name, b.Name, err)
	}
	return errors.Join(a.prepare(), b.prepare())
}

// mac returns the next address of the lab, a locally administered one.
func (l *Lab) mac() net.HardwareAddr {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nextMAC++
	n := l.nextMAC
	return net.HardwareAddr{0x02, 0x4a, 0x06, byte(n >> 16), byte(n >> 8), byte(n)}
}

// prepare switches off what the kernel does by itself: offloads, unless they are wanted, and the
// generation of addresses with duplicate address detection.
func (e End) prepare() error {
	link, err := e.Host.links.LinkByName(e.Name)
	if err != nil {
		return fmt.Errorf("host %s: finding %s: %w", e.Host.Name, e.Name, err)
	}
	if err := e.Host.links.LinkSetIP6AddrGenMode(link, nl.IN6_ADDR_GEN_MODE_NONE); err != nil {
		return fmt.Errorf("host %s: switching off address generation on %s (is IPv6 disabled in this kernel?): %w",
			e.Host.Name, e.Name, err)
	}
	if e.Offload {
		return nil
	}
	return e.Host.Do(func() error { return noOffload(e.Name) })
}

// set gives the end its addresses and brings it up.
func (e End) set() error {
	link, err := e.Host.links.LinkByName(e.Name)
	if err != nil {
		return fmt.Errorf("host %s: finding %s: %w", e.Host.Name, e.Name, err)
	}
	if err := e.Host.links.LinkSetUp(link); err != nil {
		return fmt.Errorf("host %s: bringing %s up: %w", e.Host.Name, e.Name, err)
	}
	if e.silent {
		return nil
	}
	own := netip.PrefixFrom(LinkLocal(link.Attrs().HardwareAddr), 64)
	for _, p := range append([]netip.Prefix{own}, e.Addresses...) {
		if err := e.Host.AddAddress(e.Name, p); err != nil {
			return err
		}
	}
	return nil
}

// wait returns when the interface can send: the kernel activates its queue a moment after the peer
// is up.
func (e End) wait() error {
	for range 2000 {
		link, err := e.Host.links.LinkByName(e.Name)
		if err != nil {
			return fmt.Errorf("host %s: finding %s: %w", e.Host.Name, e.Name, err)
		}
		if link.Attrs().RawFlags&unix.IFF_RUNNING != 0 && link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("host %s: %s has no carrier after 2 s", e.Host.Name, e.Name)
}

// AddAddress gives an interface of the host an address, without duplicate address detection.
func (h *Host) AddAddress(name string, p netip.Prefix) error {
	link, err := h.links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("host %s: finding %s: %w", h.Name, name, err)
	}
	addr := &netlink.Addr{IPNet: ipNet(p), LinkIndex: link.Attrs().Index}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if err := h.links.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("host %s: adding %s to %s: %w", h.Name, p, name, err)
	}
	if p.Addr().Is4() {
		return nil
	}
	return h.waitLocal(p.Addr(), link)
}

// RemoveAddress takes an address from an interface of the host.
func (h *Host) RemoveAddress(name string, p netip.Prefix) error {
	link, err := h.links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("host %s: finding %s: %w", h.Name, name, err)
	}
	if err := h.links.AddrDel(link, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
		return fmt.Errorf("host %s: removing %s from %s: %w", h.Name, p, name, err)
	}
	return nil
}

// waitLocal returns when the host accepts datagrams to its new address. The kernel inserts the
// local route a moment after the address, in a work queue.
func (h *Host) waitLocal(a netip.Addr, link netlink.Link) error {
	filter := &netlink.Route{Table: unix.RT_TABLE_LOCAL, Dst: ipNet(netip.PrefixFrom(a, a.BitLen())),
		LinkIndex: link.Attrs().Index}
	for range 2000 {
		routes, err := h.links.RouteListFiltered(unix.AF_INET6, filter,
			netlink.RT_FILTER_TABLE|netlink.RT_FILTER_DST|netlink.RT_FILTER_OIF)
		if err != nil {
			return fmt.Errorf("host %s: looking for the local route of %s: %w", h.Name, a, err)
		}
		if len(routes) > 0 {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("host %s: %s got no local route within 2 s", h.Name, a)
}

// AddRoute makes the host send datagrams for dst to a neighbour.
func (h *Host) AddRoute(dst netip.Prefix, via netip.Addr) error {
	err := h.links.RouteAdd(&netlink.Route{Dst: ipNet(dst), Gw: via.AsSlice()})
	if err != nil {
		return fmt.Errorf("host %s: adding a route to %s by %s: %w", h.Name, dst, via, err)
	}
	return nil
}

// DeleteLink removes an interface of the host, and so its other end.
func (h *Host) DeleteLink(name string) error {
	link, err := h.links.LinkByName(name)
	if err != nil {
		return fmt.Errorf("host %s: finding %s: %w", h.Name, name, err)
	}
	if err := h.links.LinkDel(link); err != nil {
		return fmt.Errorf("host %s: deleting %s: %w", h.Name, name, err)
	}
	return nil
}

// HardwareAddr returns the link-layer address of an interface of the host.
func (h *Host) HardwareAddr(name string) (net.HardwareAddr, error) {
	link, err := h.links.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("host %s: finding %s: %w", h.Name, name, err)
	}
	return link.Attrs().HardwareAddr, nil
}

// LinkLocal returns the link-local address of an interface with this MAC (modified EUI-64, RFC 4291
// Appendix A).
func LinkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2],
		11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
