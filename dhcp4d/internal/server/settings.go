package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Settings is the configuration for queries. It never changes once it is in effect. A reload
// replaces it as a whole, and a batch uses the same one from its start to its end.
type Settings struct {
	Hooks  *event.Hooks
	Leases *leases.Settings

	asker    *asking.Asker // nil: no program outside is asked
	selector *network.Selector
	asks     bool // the selector or a hook may ask what a query is like, before there is a subnet
	classes  *expression.Classes
	boots    []boot // by position of the subnet
}

// boot is the boot server of a subnet in the form of package reply.
type boot struct{ server, file []byte }

// NewSettings returns the settings for a configuration. Peers are the server identifiers of other
// dhcp4d. Asker is that of the hooks, nil if no program outside is asked.
func NewSettings(s *network.Subnets, peers []netip.Addr, hooks *event.Hooks, asker *asking.Asker) *Settings {
	set := &Settings{Hooks: hooks, Leases: leases.NewSettings(s, peers), asker: asker,
		selector: network.NewSelector(s), classes: s.Classes, boots: make([]boot, len(s.All))}
	set.asks = set.selector.Asks() || !hooks.Pkt4Receive.Empty() || !hooks.Subnet4Select.Empty() || asker != nil
	set.Leases.Observers = &hooks.Leases4Committed
	for i := range s.All {
		sub := &s.All[i]
		set.boots[i] = boot{[]byte(sub.ServerHostname), []byte(sub.BootFileName)}
	}
	return set
}
