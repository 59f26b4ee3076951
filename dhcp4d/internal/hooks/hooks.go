// Package hooks holds the hooks that dhcp4d ships, one file each. Package hook says how to add one.
package hooks

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// All returns the hooks, in the order of the documentation.
func All() []hook.Kind {
	return []hook.Kind{
		hook.Define("leaselog", newLeaseLog, string(event.Leases4Committed)),
		hook.Define("run", newRun, string(event.Leases4Committed)),
		hook.Define("rules", newRules),
		hook.Define("outside", newOutside),
		hook.Define("packetlog", newPacketLog),
	}
}
