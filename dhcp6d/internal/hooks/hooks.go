// Package hooks holds the hooks that dhcp6d ships, one file each.
//
// A hook never sends and keeps nothing of an event. It changes a packet at buffer points only, in
// the memory that the event has for that. Package hook says how to add one.
package hooks

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// All returns the hooks, in the order of the documentation.
func All() []hook.Kind {
	return []hook.Kind{
		hook.Define("acl", newACL, string(event.Pkt6Receive)),
		hook.Define("ratelimit", newRateLimit, string(event.Pkt6Receive)),
		hook.Define("rules", newRules),
		hook.Define("packetlog", newPacketLog),
	}
}
