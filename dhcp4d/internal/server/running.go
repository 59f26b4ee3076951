package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/subnet"
)

// Running is the configuration that queries are decided by. It never changes;
// a reload replaces it as a whole, and a batch uses one from end to end.
type Running struct {
	subnets  *config.Subnets
	selector *subnet.Selector
	policies []lease.Policy // by position of the subnet
}
