// Package api shows the leases over HTTP, and changes them by order of the operator.
//
// It owns the paths and the parameters. It never makes a query of a client wait long: it reads the
// table a few leases at a time, holds no lock while it writes an answer, and serves a bounded
// number of requests at once. A change is on stable storage before its answer leaves, and the lease
// log has it with the name of who ordered it.
//
// openapi.json is the reference; a test holds it against [routes] and the types here.
package api

import (
	"context"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
)

// Leases is what the API is about. It is called by many goroutines.
type Leases interface {
	// Now is the time that leases go by.
	Now() lease.Time
	// Get copies what is known of an address.
	Get(a netip.Addr, into *lease.Batch)
	// Scan copies the matching ones of a few leases and returns where to go
	// on. A position of before the table was made anew is leases.ErrStale.
	Scan(from leases.ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (next leases.ScanPosition, err error)
	// OfClient copies what the client with a key has or had.
	OfClient(key []byte, into *lease.Batch)
	// Subnets tells of all configured subnets. Subnet tells of the one that has an address, and
	// SubnetNamed of the one with a name; they are false if there is none.
	Subnets() []leases.Usage
	Subnet(a netip.Addr) (name string, ok bool)
	SubnetNamed(name string) (id uint32, ok bool)
}

// Orders are what the API has done. It is called by many goroutines.
type Orders interface {
	// Release ends the lease of an address, Reserve makes one. They return the record when it is on
	// stable storage. Their errors wrap those of packages leases and operator.
	Release(ctx context.Context, id lease.ID, by string) (lease.Binding, error)
	Reserve(ctx context.Context, w *leases.Assignment, by string) (lease.Binding, error)
}

// What requests and answers look like.
type (
	// page is the answer of a list.
	page struct {
		Leases []leasefile.Lease `json:"leases"`
		Next   string            `json:"next"` // cursor of the next page, empty on the last
	}
	// subnet is a leases.Usage.
	subnet struct {
		ID       uint32       `json:"id"`
		Name     string       `json:"name"`
		Prefix   netip.Prefix `json:"prefix"`
		Network  string       `json:"network"`
		State    string       `json:"state"`
		Size     uint32       `json:"pool_addresses"`
		Free     uint32       `json:"free_addresses"`
		Bound    int          `json:"bound"`
		Offered  int          `json:"offered"`
		Declined int          `json:"declined"`
		Former   int          `json:"former"`
		Pools    []pool       `json:"pools"`
	}
	// pool is a leases.PoolUsage. A range is first-last.
	pool struct {
		Ranges []string `json:"ranges"`
		Size   uint32   `json:"pool_addresses"`
		Free   uint32   `json:"free_addresses"`
	}
	// subnetList is the answer of the subnets.
	subnetList struct {
		Subnets []subnet `json:"subnets"`
	}
	// order is the request of a reservation.
	order struct {
		Address   netip.Addr `json:"address"`
		ClientID  string     `json:"client_id"`
		HWType    byte       `json:"hw_type"`
		HWAddress string     `json:"hw_address"`
		LeaseTime uint32     `json:"lease_time"`
	}
	// problem is the answer when something is wrong.
	problem struct {
		Error string `json:"error"`
	}
)
