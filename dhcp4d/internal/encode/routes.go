package encode

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// route appends one route of option 121 (RFC 3442): the width of the prefix,
// as many of its octets as the width covers, the router.
func (e *encoder) route(wire []byte, v *yaml.Node, path, s string) []byte {
	destination, router, ok := splitRoute(s, true)
	if !ok {
		e.report(v, path, fmt.Sprintf("%q must be a route such as `10.0.0.0/8 via 192.0.2.1`, `default via 192.0.2.1` "+
			"or `10.0.0.0/8 on-link`", s))
		return wire
	}
	if destination == "default" {
		destination = "0.0.0.0/0"
	}
	p, err := netip.ParsePrefix(destination)
	switch {
	case err != nil || !p.Addr().Is4():
		e.report(v, path, fmt.Sprintf("%q must be an IPv4 prefix such as 10.0.0.0/8", destination))
		return wire
	case p != p.Masked():
		e.report(v, path, fmt.Sprintf("%s has bits set behind the prefix; did you mean %s?", destination, p.Masked()))
		return wire
	case !unicast(router) && router != netip.IPv4Unspecified(): // 0.0.0.0: on-link
		e.report(v, path, fmt.Sprintf("%s is not the address of a router", router))
		return wire
	}
	wire = append(wire, byte(p.Bits()))
	wire = append(wire, p.Addr().AsSlice()[:(p.Bits()+7)/8]...)
	return append(wire, router.AsSlice()...)
}

// hostRoute appends one route of option 33: destination and router. The
// default route is not allowed there (RFC 2132 section 5.8).
func (e *encoder) hostRoute(wire []byte, v *yaml.Node, path, s string) []byte {
	destination, router, ok := splitRoute(s, false)
	if !ok {
		e.report(v, path, fmt.Sprintf("%q must be a route to a host such as `198.51.100.7 via 192.0.2.1`", s))
		return wire
	}
	a, err := netip.ParseAddr(destination)
	if err != nil || !unicast(a) || !unicast(router) {
		e.report(v, path, fmt.Sprintf("%q must name a host and a router; for other routes use classless-static-route",
			s))
		return wire
	}
	return append(append(wire, a.AsSlice()...), router.AsSlice()...)
}

func splitRoute(s string, onLink bool) (destination string, router netip.Addr, ok bool) {
	f := strings.Fields(s)
	switch {
	case len(f) == 3 && f[1] == "via":
		a, err := netip.ParseAddr(f[2])
		return f[0], a, err == nil && a.Is4()
	case len(f) == 2 && f[1] == "on-link" && onLink:
		return f[0], netip.IPv4Unspecified(), true
	}
	return "", netip.Addr{}, false
}
