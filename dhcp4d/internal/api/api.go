// Package api shows the leases over HTTP, and changes them by order of the
// operator.
//
// It owns the paths, the parameters, who may come in, and the listener. It
// never makes a query of a client wait: the table is read a few leases at a
// time, nothing is held while an answer is written, and so many requests are
// served at once, no more. What it changes goes the way of every change: it is
// on stable storage before the answer leaves, and in the lease log with who
// ordered it.
//
// openapi.json is the reference; a test holds it against [routes] and the
// types here.
package api

import (
	"context"
	"errors"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/export"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Place is where a scan of the leases goes on; 0 is the start, and the end.
type Place uint64

// Leases is what the API is about. It is called by many goroutines.
type Leases interface {
	// Now is the time that leases go by.
	Now() lease.Time
	// Get copies what is known of an address.
	Get(a netip.Addr, into *lease.Batch)
	// Scan copies the matching ones of a few leases and returns where to go
	// on. A place of before the table was made anew is ErrStale.
	Scan(from Place, match func(*lease.Binding) bool, into *lease.Batch) (next Place, err error)
	// OfClient copies what the client with a key has or had.
	OfClient(key []byte, into *lease.Batch)
	// Subnets tells of all configured subnets.
	Subnets() []Subnet
	// Release ends the lease of an address, Reserve makes one. They return
	// when that is on stable storage, with the record. Errors of theirs are,
	// wrapped, those below.
	Release(ctx context.Context, a netip.Addr, by string) (lease.Binding, error)
	Reserve(ctx context.Context, r *Reservation, by string) (lease.Binding, error)
}

// What an order may fail with.
var (
	ErrNotFound = errors.New("nothing is known of the address")
	ErrConflict = errors.New("not possible for this address")
	ErrStale    = errors.New("the leases were loaded again since the cursor was given; start again without it")
	ErrBusy     = errors.New("too many changes wait for the disk; try again")
	ErrStore    = errors.New("the lease store has failed")
)

// Subnet is the use of a configured subnet.
type Subnet struct {
	ID     uint32       `json:"id"`
	Prefix netip.Prefix `json:"prefix"`
	State  string       `json:"state"` // active, drain or recovery
	// Size and Free count addresses of the pools, without reserved ones.
	Size uint32 `json:"pool_addresses"`
	Free uint32 `json:"free_addresses"`
	// The leases of the subnet, outside the pools too.
	Bound    int `json:"bound"`
	Offered  int `json:"offered"`
	Declined int `json:"declined"`
	Former   int `json:"former"` // ended or released, and still known
}

// Reservation is a lease that is to be made for a client.
type Reservation struct {
	Address  netip.Addr
	Client   []byte // key, see lease.AppendKey
	ClientID []byte // option 61, empty for a client without
	HWType   byte
	HWAddr   []byte
	Time     uint32 // seconds, lease.Infinite for no end
}

// What requests and answers look like.
type (
	// page is the answer of a list.
	page struct {
		Leases []export.Lease `json:"leases"`
		Next   string         `json:"next"` // cursor of the next page, empty on the last
	}
	// subnetList is the answer of the subnets.
	subnetList struct {
		Subnets []Subnet `json:"subnets"`
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
