package config

import "net/netip"

// NoHost reports whether a prefix holds no address that a host can have: multicast addresses only,
// or the unspecified address alone. Where it is configured, it would never take effect.
func NoHost(p netip.Prefix) bool {
	a := p.Addr()
	return a.IsMulticast() || (a.IsUnspecified() && p.Bits() == a.BitLen())
}

// LinkLocal reports whether an IPv6 prefix holds link-local addresses only. As link-addresses they
// name no link (RFC 9915 section 19.1.1).
func LinkLocal(p netip.Prefix) bool { return p.Addr().IsLinkLocalUnicast() && p.Bits() >= 10 }
