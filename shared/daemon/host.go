package daemon

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Listens returns a warning of -check if this host cannot listen at an address, and "" otherwise.
// The variable is the one that holds the address. A host name is not looked up.
func Listens(variable string, at config.Listen) string {
	host, _, err := net.SplitHostPort(string(at))
	if err != nil {
		return ""
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return HasAddress(variable, a)
}

// HasAddress returns a warning of -check if this host does not have an address. It returns "" if
// the host has it, if the address is unspecified or a loopback address, or if the host's addresses
// cannot be read.
func HasAddress(variable string, a netip.Addr) string {
	if !a.IsValid() || a.IsUnspecified() || a.IsLoopback() {
		return ""
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, o := range own {
		if p, err := netip.ParsePrefix(o.String()); err == nil && p.Addr().Unmap() == a.WithZone("").Unmap() {
			return ""
		}
	}
	return fmt.Sprintf("%s: this host has no address %v now; correct it, or add the address before the start",
		variable, a)
}
