// Package pool knows which addresses of a subnet are free.
package pool

import "net/netip"

// Range is a run of IPv4 addresses, both ends included.
type Range struct{ First, Last netip.Addr }
