package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
)

// A configurer gives an interface the address of a lease and the routes that came with it. The
// address has the lease's lifetime, so the kernel removes it if the client dies. The routes are
// those of option 121, which replace all others (RFC 3442). Without that option there is a default
// route through the first router.
type configurer struct {
	link    netlink.Link
	metric  int
	address netip.Prefix
	routes  []netlink.Route
}

func newConfigurer(name string, metric int) (*configurer, error) {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding interface %s: %w", name, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return nil, fmt.Errorf("bringing %s up (it takes CAP_NET_ADMIN): %w", name, err)
	}
	return &configurer{link: link, metric: metric}, nil
}

func (c *configurer) apply(l *client.Lease) error {
	bits := l.Mask
	if bits == 0 {
		bits = 32
	}
	address := netip.PrefixFrom(l.Address, bits)
	if c.address.IsValid() && c.address != address {
		if err := c.remove(); err != nil {
			return err
		}
	}
	addr := &netlink.Addr{IPNet: ipNet(address)}
	if l.Duration < client.Infinite {
		addr.ValidLft = max(1, int(time.Until(l.End())/time.Second))
		addr.PreferedLft = addr.ValidLft
	}
	if err := netlink.AddrReplace(c.link, addr); err != nil {
		return fmt.Errorf("giving %s to %s: %w", address, c.link.Attrs().Name, err)
	}
	c.address = address
	return c.route(c.wanted(l, address))
}

// wanted returns the routes of a lease.
func (c *configurer) wanted(l *client.Lease, address netip.Prefix) []netlink.Route {
	route := func(dst *net.IPNet, router net.IP) netlink.Route {
		r := netlink.Route{LinkIndex: c.link.Attrs().Index, Dst: dst, Src: l.Address.AsSlice(), Priority: c.metric,
			Protocol: unix.RTPROT_DHCP}
		if router.IsUnspecified() { // on the link (RFC 3442)
			r.Scope = unix.RT_SCOPE_LINK
			return r
		}
		r.Gw = router
		if a, _ := netip.AddrFromSlice(router.To4()); !address.Contains(a) {
			r.Flags = int(netlink.FLAG_ONLINK)
		}
		return r
	}
	var all []netlink.Route
	m := l.Response.DHCPv4
	if classless := m.ClasslessStaticRoute(); len(classless) > 0 {
		for _, r := range classless {
			all = append(all, route(r.Dest, r.Router))
		}
		return all
	}
	if routers := m.Router(); len(routers) > 0 {
		all = append(all, route(&net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, routers[0]))
	}
	return all
}

// route replaces the routes of the last lease.
func (c *configurer) route(wanted []netlink.Route) error {
	var errs []error
	for _, old := range c.routes {
		if !slices.ContainsFunc(wanted, old.Equal) {
			errs = append(errs, unless(netlink.RouteDel(&old), unix.ESRCH))
		}
	}
	c.routes = wanted
	for _, r := range wanted {
		if err := netlink.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("adding the route to %s by %s: %w", r.Dst, r.Gw, err))
		}
	}
	return errors.Join(errs...)
}

// remove takes back what apply has set. Calling it again is no error.
func (c *configurer) remove() error {
	if !c.address.IsValid() {
		return nil
	}
	err := c.route(nil)
	gone := unless(netlink.AddrDel(c.link, &netlink.Addr{IPNet: ipNet(c.address)}), unix.EADDRNOTAVAIL)
	c.address = netip.Prefix{}
	return errors.Join(err, gone)
}

// unless returns err, but nil if err says that the thing is gone already, like an address whose
// lifetime has ended.
func unless(err, already error) error {
	if errors.Is(err, already) {
		return nil
	}
	return err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}
