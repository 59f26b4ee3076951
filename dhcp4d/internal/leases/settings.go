package leases

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/free"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Settings is the configuration of leases. It never changes once it is in effect.
type Settings struct {
	// Observers are called for changes. They are set before the configuration is in effect.
	Observers *hook.Observers[event.Lease]
	Policies  []lease.Policy // by position of the subnet

	subnets *network.Subnets
}

// NewSettings returns the settings for a configuration. Peers are the server identifiers of other
// dhcp4d.
func NewSettings(s *network.Subnets, peers []netip.Addr) *Settings {
	r := &Settings{Observers: new(hook.Observers[event.Lease]), subnets: s, Policies: make([]lease.Policy, len(s.All))}
	for i := range s.All {
		sub := &s.All[i]
		r.Policies[i] = lease.Policy{
			ServerID:      sub.ServerID,
			Peers:         peers,
			Authoritative: sub.Authoritative,
			Times:         sub.Lease.Times,
			Hold:          sub.OfferHold,
			Quarantine:    sub.DeclineTime,
			Limit:         int(sub.Limit),
			V6Mostly:      true, // Query.V6Only is set only if option 108 is configured
			Moves:         sub.Moves,
			T2:            sub.Lease.T2,
			Drain:         sub.Drain,
		}
	}
	return r
}

// Observed reports whether a hook observes changes of leases.
func (s *Settings) Observed() bool { return !s.Observers.Empty() }

// Recover makes every subnet give no new address for one lease time from the start. It is the
// longest lease time of the subnet, because a restored backup may lack leases as old as that. A
// subnet whose leases never end never leaves recovery: see [Settings.RecoverTill].
func (s *Settings) Recover(start lease.Time) {
	for i := range s.Policies {
		s.Policies[i].RecoverFrom = start
		s.Policies[i].RecoverTill = start.After(s.subnets.All[i].Longest())
	}
}

// RecoverTill returns when the last subnet leaves recovery, zero if none is in it.
func (s *Settings) RecoverTill() (till lease.Time) {
	for i := range s.Policies {
		till = max(till, s.Policies[i].RecoverTill)
	}
	return till
}

// layout returns the subnets in the form of package table.
func (s *Settings) layout() []table.Subnet {
	layout := make([]table.Subnet, len(s.subnets.All))
	for i := range s.subnets.All {
		sub := &s.subnets.All[i]
		t := table.Subnet{ID: sub.ID, Prefix: sub.Prefix}
		if sub.Link != nil {
			t.Link = sub.Link[0].Position + 1
		}
		for _, r := range sub.Reservations.All() {
			if r.Addr.IsValid() {
				t.Reserved = append(t.Reserved, r.Addr)
			}
		}
		timed := slices.ContainsFunc(sub.Pools, func(p network.Pool) bool { return p.Times != lease.Times{} })
		for _, p := range sub.Pools {
			for _, g := range p.Ranges {
				t.Pools = append(t.Pools, free.Range{First: g.First, Last: g.Last, Group: p.Group})
				if timed {
					t.Times = append(t.Times, p.Times)
				}
			}
		}
		layout[i] = t
	}
	return layout
}
