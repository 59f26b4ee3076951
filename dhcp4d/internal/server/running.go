package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/pool"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/subnet"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/table"
)

// Running is the configuration that queries are decided by. It never changes;
// a reload replaces it as a whole, and a batch uses one from end to end.
type Running struct {
	subnets  *config.Subnets
	selector *subnet.Selector
	policies []lease.Policy // by position of the subnet
	boots    []boot         // likewise
}

// boot is what a subnet says of a boot server, as the reply wants it.
type boot struct{ server, file []byte }

// NewRunning makes the tables of a configuration. The peers are the server
// identifiers of other dhcp4d.
func NewRunning(s *config.Subnets, peers []netip.Addr) *Running {
	r := &Running{subnets: s, selector: subnet.New(s), policies: make([]lease.Policy, len(s.All)), boots: make([]boot, len(s.All))}
	for i := range s.All {
		sub := &s.All[i]
		r.boots[i] = boot{[]byte(sub.ServerHostname), []byte(sub.BootFileName)}
		r.policies[i] = lease.Policy{
			ServerID:      sub.ServerID,
			Peers:         peers,
			Authoritative: sub.Authoritative,
			Default:       sub.Lease.Default,
			Min:           sub.Lease.Min,
			Max:           sub.Lease.Max,
			Hold:          sub.OfferHold,
			Quarantine:    sub.DeclineTime,
			Limit:         int(sub.Limit),
			V6Mostly:      true, // where option 108 is configured: see serve
			RefuseMoves:   sub.RefuseMoves,
			Drain:         sub.Drain,
		}
	}
	return r
}

// Recover makes every subnet give no new address for one lease time from the
// start: the longest that it gives, because so old may be the leases that a
// restored backup does not know of. A subnet whose leases never end does not
// recover; [Running.RecoverTill] tells.
func (r *Running) Recover(start lease.Time) {
	for i := range r.policies {
		r.policies[i].RecoverTill = start.After(r.policies[i].Max)
	}
}

// RecoverTill is when the last subnet recovers, zero if none has to.
func (r *Running) RecoverTill() (till lease.Time) {
	for i := range r.policies {
		till = max(till, r.policies[i].RecoverTill)
	}
	return till
}

// Layout is what the table of leases must know of the subnets.
func (r *Running) Layout() []table.Subnet {
	layout := make([]table.Subnet, len(r.subnets.All))
	for i := range r.subnets.All {
		sub := &r.subnets.All[i]
		t := table.Subnet{ID: sub.ID, Prefix: sub.Prefix}
		for _, r := range sub.Reservations() {
			t.Reserved = append(t.Reserved, r.Addr)
		}
		for _, p := range sub.Pools {
			for _, g := range p.Ranges {
				t.Pools = append(t.Pools, pool.Range{First: g.First, Last: g.Last})
			}
		}
		layout[i] = t
	}
	return layout
}
