package api

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// filterNames are the parameters that choose leases; all that are given must fit.
var filterNames = []string{"address", "client_id", "hw_address", "subnet", "state", "source", "interface_id",
	"remote_id", "link_address"}

// filter chooses leases.
type filter struct {
	address   netip.Addr
	clientID  []byte
	hwAddress []byte
	subnet    uint32
	subnetSet bool
	state     leasefile.State
	source    netip.Prefix

	// What the relays must have. Identifiers are nil if they do not matter.
	interfaceID, remoteID []byte
	link                  netip.Prefix

	now lease.Time
}

// newFilter reads the parameters of a request. all knows the names of subnets.
func newFilter(q url.Values, all Leases) (*filter, error) {
	f := &filter{now: all.Now()}
	for _, name := range filterNames {
		s := q.Get(name)
		if s == "" {
			continue
		}
		var err error
		switch name {
		case "address":
			if f.address, err = netip.ParseAddr(s); err != nil || !f.address.Is4() {
				err = fmt.Errorf("%.80q is no IPv4 address", s)
			}
		case "client_id":
			f.clientID, err = leasefile.Octets(s)
		case "hw_address":
			f.hwAddress, err = octets.ParseHWAddress(s)
		case "subnet":
			f.subnet, err = subnetOf(s, all)
			f.subnetSet = true
		case "state":
			if f.state = leasefile.State(s); f.state != leasefile.Former &&
				!slices.Contains(leasefile.States(), f.state) {
				err = fmt.Errorf("%.80q is none of %v, and not %s", s, leasefile.States(), leasefile.Former)
			}
		case "source":
			f.source, err = addrOrPrefix(s)
		case "interface_id":
			f.interfaceID, err = octets.Parse(s)
		case "remote_id":
			f.remoteID, err = octets.ParseRemoteID(s)
		case "link_address":
			f.link, err = addrOrPrefix(s)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return f, nil
}

// subnetOf reads the id or the name of a subnet. A name is never a number.
func subnetOf(s string, all Leases) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err == nil {
		return uint32(n), nil
	}
	id, ok := all.SubnetNamed(s)
	if !ok {
		return 0, fmt.Errorf("%.80q is neither a number nor the name of a subnet", s)
	}
	return id, nil
}

func addrOrPrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.WithZone("").Prefix(a.BitLen())
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("%.80q is neither an address nor a prefix, such as 2001:db8:7::/64", s)
	}
	return p, nil
}

// match is called under the lock of the leases.
func (f *filter) match(b *lease.Binding) bool {
	switch {
	case f.subnetSet && b.Subnet != f.subnet,
		f.address.IsValid() && b.Addr != f.address,
		f.state != "" && !leasefile.StateOf(b, f.now).Is(f.state),
		f.source.IsValid() && !f.source.Contains(b.Source),
		f.hwAddress != nil && !bytes.Equal(b.HWAddr, f.hwAddress),
		f.clientID != nil && (len(b.Client) == 0 || b.Client[0] != lease.KeyIdentifier ||
			!bytes.Equal(b.Client[1:], f.clientID)),
		f.interfaceID != nil && !attachment.Has(b.Point, attachment.InterfaceID, f.interfaceID),
		f.remoteID != nil && !b.HasRemoteID(f.remoteID),
		f.link.IsValid() && !attachment.Behind(b.Point, f.link):
		return false
	}
	return true
}

// walk goes through the leases that a filter chooses, a few at a time.
type walk struct {
	ctx    context.Context // of the request
	leases Leases
	filter *filter
	at     leases.Cursor // where to go on
	limit  int           // so many more
	found  lease.Batch
	done   bool
	more   bool // done because of the limit
}

// step finds the next few, possibly none.
func (w *walk) step() error {
	w.found.Reset()
	if err := w.ctx.Err(); err != nil {
		return err
	}
	var next leases.ScanPosition
	switch f := w.filter; {
	case f.address.IsValid():
		w.look(func(into *lease.Batch) { w.leases.Get(f.address, into) })
	case f.clientID != nil:
		w.look(func(into *lease.Batch) { w.leases.OfClient(append([]byte{lease.KeyIdentifier}, f.clientID...), into) })
	default:
		var err error
		if next, err = w.leases.Scan(w.at.Position, f.match, &w.found); err != nil {
			return err
		}
	}
	// The scan may find less by now than when the page before was made.
	found := w.found.Records
	w.found.Records = found[min(w.at.Skip, len(found)):]
	if n := len(w.found.Records); n > w.limit {
		w.found.Records = w.found.Records[:w.limit]
		w.at.Skip += w.limit
		w.done, w.more = true, true
		return nil
	}
	w.limit -= len(w.found.Records)
	w.at = leases.Cursor{Position: next}
	switch {
	case next == 0:
		w.done = true
	case w.limit == 0:
		w.done, w.more = true, true
	}
	return nil
}

// look finds all of what an index knows.
func (w *walk) look(find func(into *lease.Batch)) {
	var all lease.Batch
	find(&all)
	for i := range all.Records {
		if w.filter.match(&all.Records[i]) {
			w.found.Add(&all.Records[i])
		}
	}
}
