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
	f, err := newFilter(q, h.leases.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	format, ok := formatOf(r)
	if !ok {
		fail(w, http.StatusBadRequest, fmt.Sprintf("format %q is none of json, ndjson, csv", q.Get("format")))
		return
	}
	limit := math.MaxInt
	if format == leasefile.Array {
		limit = defaultLimit
	}
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || (format == leasefile.Array && limit > maxLimit) {
			fail(w, http.StatusBadRequest, fmt.Sprintf("limit %q is not a number from 1 to %d", s, maxLimit))
			return
		}
	}
	var from cursor
	if s := q.Get("cursor"); s != "" {
		if from, err = parseCursor(s); err != nil {
			fail(w, http.StatusBadRequest, err.Error())
			return
		}
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
	l.Orphaned = all.Orphaned(l.Address)
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
		list.Subnets = append(list.Subnets, subnet(u))
	}
	answer(w, http.StatusOK, list)
}

func (h *Handler) release(w http.ResponseWriter, r *http.Request) {
	a, ok := address(w, r)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxOrder)
	defer cancel()
	b, err := h.leases.Release(ctx, lease.ID{Addr: a}, by(r))
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, shown(h.leases, &b, h.leases.Now()))
}

func (h *Handler) reserve(w http.ResponseWriter, r *http.Request) {
	// A form in a browser cannot send this type without having asked before.
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		fail(w, http.StatusUnsupportedMediaType, "the request must be application/json")
		return
	}
	o := order{HWType: 1}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		fail(w, http.StatusBadRequest, "the request cannot be read: "+err.Error())
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		fail(w, http.StatusBadRequest, "something follows the request")
		return
	}
	wanted, err := o.reservation()
	if err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), maxOrder)
	defer cancel()
	b, err := h.leases.Reserve(ctx, wanted, by(r))
	if err != nil {
		failed(w, err)
		return
	}
	answer(w, http.StatusOK, shown(h.leases, &b, h.leases.Now()))
}

// reservation checks an order.
func (o *order) reservation() (*leases.Reservation, error) {
	r := &leases.Reservation{Address: o.Address, HWType: o.HWType, Time: o.LeaseTime}
	var err error
	if r.ClientID, err = leasefile.Octets(o.ClientID); err != nil {
		return nil, fmt.Errorf("client_id: %w", err)
	}
	if r.HWAddr, err = leasefile.Octets(o.HWAddress); err != nil {
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
