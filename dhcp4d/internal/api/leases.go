package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	"github.com/dhcp4o6/dhcp4o6/shared/web"
)

// The length of a page.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// types are the media types of the formats. The page is the default.
var types = map[leasefile.Format]string{
	leasefile.Array:  "application/json",
	leasefile.NDJSON: "application/x-ndjson",
	leasefile.CSV:    "text/csv",
}

// list answers with a page of leases, or streams all of them.
func (h *Handler) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	f, err := newFilter(q, h.leases)
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	format, ok := formatOf(r)
	if !ok {
		fail(w, http.StatusBadRequest, fmt.Sprintf("format: %q is none of json, ndjson, csv", q.Get("format")))
		return
	}
	limit := math.MaxInt
	if format == leasefile.Array {
		limit = defaultLimit
	}
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || (format == leasefile.Array && limit > maxLimit) {
			fail(w, http.StatusBadRequest, fmt.Sprintf("limit: %q is not a number from 1 to %d", s, maxLimit))
			return
		}
	}
	from, err := leases.ParseCursor(q.Get("cursor"))
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	walk := walk{ctx: r.Context(), leases: h.leases, filter: f, at: from, limit: limit}
	if format == leasefile.Array {
		h.page(w, &walk)
		return
	}
	stream(w, &walk, format)
}

// shown is a lease as it is at a time.
func shown(all Leases, b *lease.Binding, now lease.Time) leasefile.Lease {
	l := leasefile.Of(b, now)
	name, ok := all.Subnet(l.Address)
	l.SubnetName, l.Orphaned = name, !ok
	return l
}

// formatOf is what a request asks for, by its parameter or its Accept header.
func formatOf(r *http.Request) (leasefile.Format, bool) {
	if f := leasefile.Format(r.URL.Query().Get("format")); f != "" {
		_, ok := types[f]
		return f, ok
	}
	for part := range strings.SplitSeq(r.Header.Get("Accept"), ",") {
		media, _, err := mime.ParseMediaType(part)
		if err != nil {
			continue
		}
		for f, t := range types {
			if t == media {
				return f, true
			}
		}
	}
	return leasefile.Array, true
}

func (h *Handler) page(w http.ResponseWriter, walk *walk) {
	p := page{Leases: []leasefile.Lease{}}
	for !walk.done {
		if err := walk.step(); err != nil {
			failed(w, err)
			return
		}
		now := h.leases.Now()
		for i := range walk.found.Records {
			p.Leases = append(p.Leases, shown(h.leases, &walk.found.Records[i], now))
		}
	}
	if walk.more {
		p.Next = walk.at.String()
	}
	answer(w, http.StatusOK, &p)
}

// stream writes leases as they are found. Where it cannot go on it breaks the
// connection off, so that nobody takes a part for the whole.
func stream(w http.ResponseWriter, walk *walk, format leasefile.Format) {
	control := http.NewResponseController(w)
	out, err := leasefile.NewWriter(w, format)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	begun := false
	for !walk.done {
		if err := walk.step(); err != nil {
			if !begun {
				failed(w, err)
				return
			}
			panic(http.ErrAbortHandler)
		}
		if !begun {
			w.Header().Set("Content-Type", types[format])
			begun = true
		}
		_ = control.SetWriteDeadline(time.Now().Add(web.WriteTime)) // a test without a connection has none
		now := walk.leases.Now()
		for i := range walk.found.Records {
			l := shown(walk.leases, &walk.found.Records[i], now)
			if err := out.Write(&l); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	}
	if err := out.Close(); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func (h *Handler) show(w http.ResponseWriter, r *http.Request) {
	a, ok := address(w, r)
	if !ok {
		return
	}
	var found lease.Batch
	h.leases.Get(a, &found)
	if len(found.Records) == 0 {
		failed(w, leases.ErrNotFound)
		return
	}
	answer(w, http.StatusOK, shown(h.leases, &found.Records[0], h.leases.Now()))
}

func (h *Handler) subnets(w http.ResponseWriter, _ *http.Request) {
	list := subnetList{Subnets: []subnet{}}
	for _, u := range h.leases.Subnets() {
		s := subnet{u.ID, u.Name, u.Prefix, u.Network, u.State, u.Size, u.Free, u.Bound, u.Offered, u.Declined,
			u.Former, []pool{}}
		for _, p := range u.Pools {
			s.Pools = append(s.Pools, pool{rangesOf(p.Ranges), p.Size, p.Free})
		}
		list.Subnets = append(list.Subnets, s)
	}
	answer(w, http.StatusOK, list)
}

func rangesOf(ranges []network.Range) []string {
	texts := []string{}
	for _, r := range ranges {
		texts = append(texts, r.First.String()+"-"+r.Last.String())
	}
	return texts
}

func (h *Handler) release(w http.ResponseWriter, r *http.Request) {
	a, ok := address(w, r)
	if !ok {
		h.changes.note(releasing, by(r), a, http.StatusBadRequest, errors.New("no IPv4 address"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxOrder)
	defer cancel()
	b, err := h.orders.Release(ctx, lease.ID{Addr: a}, by(r))
	h.changed(w, r, releasing, a, &b, err)
}

// changed answers what became of a change.
func (h *Handler) changed(w http.ResponseWriter, r *http.Request, change string, a netip.Addr, b *lease.Binding,
	err error) {
	if err != nil {
		status, why := statusOf(err)
		h.changes.note(change, by(r), a, status, err)
		fail(w, status, why)
		return
	}
	h.changes.note(change, by(r), a, http.StatusOK, nil)
	answer(w, http.StatusOK, shown(h.leases, b, h.leases.Now()))
}

func (h *Handler) reserve(w http.ResponseWriter, r *http.Request) {
	o, wanted, status, err := readOrder(r)
	if err != nil {
		h.changes.note(reserving, by(r), o.Address, status, err)
		fail(w, status, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxOrder)
	defer cancel()
	b, err := h.orders.Reserve(ctx, wanted, by(r))
	h.changed(w, r, reserving, o.Address, &b, err)
}

// readOrder reads the request of a reservation. With an error it returns the status that says it.
func readOrder(r *http.Request) (o order, wanted *leases.Assignment, status int, err error) {
	// A form in a browser cannot send this type without having asked before.
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return o, nil, http.StatusUnsupportedMediaType, errors.New("the request must be application/json")
	}
	o.HWType = 1
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, nil, http.StatusBadRequest, fmt.Errorf("the request cannot be read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return o, nil, http.StatusBadRequest, errors.New("something follows the request")
	}
	wanted, err = o.assignment()
	return o, wanted, http.StatusBadRequest, err
}

// reservation checks an order.
func (o *order) assignment() (*leases.Assignment, error) {
	r := &leases.Assignment{Address: o.Address, HWType: o.HWType, Time: o.LeaseTime}
	var err error
	if r.ClientID, err = leasefile.Octets(o.ClientID); err != nil {
		return nil, fmt.Errorf("client_id: %w", err)
	}
	if o.HWAddress != "" {
		r.HWAddr, err = octets.ParseHWAddress(o.HWAddress)
	}
	if err != nil {
		return nil, fmt.Errorf("hw_address: %w", err)
	}
	if r.Client, err = leasefile.Key(r.ClientID, r.HWType, r.HWAddr, lease.Bound); err != nil {
		return nil, err
	}
	switch {
	case !o.Address.Is4():
		return nil, fmt.Errorf("address %q is no IPv4 address", o.Address)
	case len(r.ClientID) == 1:
		return nil, fmt.Errorf("client_id: one octet, want two or more") // RFC 2132 section 9.14
	case o.LeaseTime == 0:
		return nil, fmt.Errorf("lease_time: want seconds, or %d for no end", lease.Infinite)
	}
	return r, nil
}

// address is the address in the path.
func address(w http.ResponseWriter, r *http.Request) (netip.Addr, bool) {
	a, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil || !a.Is4() {
		fail(w, http.StatusBadRequest, fmt.Sprintf("%.60q is no IPv4 address", r.PathValue("address")))
		return a, false
	}
	return a, true
}

// by is who gives an order, as the lease log has it.
func by(r *http.Request) string {
	if peer, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		return "api " + peer.Addr().Unmap().String()
	}
	return "api"
}
