package lease

import (
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Fit is how well one subnet of a link that several share suits a query. The subnet that suits it
// best serves it.
type Fit uint8

// The fits, in rising order.
const (
	NoFit       Fit = iota // nothing speaks for the subnet
	Fits                   // a DISCOVER finds a free address in it; another message names an address in it
	Wanted                 // the address that a DISCOVER asks for is free in it
	WasHere                // a DISCOVER gets the address back that the client had
	IsHere                 // the client has an address in it, or an offer
	NamesIt                // the address that the message names is that one
	Reserved               // the client can have its reservation in it
	HasReserved            // the client has its reservation in it
)

// FitOf returns how well the subnet of q suits it, from the facts about q in that subnet.
func FitOf(q *Query, p *Policy, f *Facts, now Time) Fit {
	r := rules{q: q, p: p, f: f, now: now, own: f.Own, named: f.Named, reservation: f.Reserved}
	r.move()
	if q.Type == dhcp4.Discover {
		return r.fitOfDiscover()
	}
	has := func(a *Address) bool { return a.Standing == Mine || a.Standing == Held }
	switch {
	case q.Type == dhcp4.Request && r.reservable():
		return r.fitOfReservation(&r.reservation)
	case has(&r.named), !isSet(q.Named()) && r.own.Standing == Held:
		return NamesIt
	case has(&r.own):
		return IsHere
	case r.named.InSubnet:
		return Fits
	}
	return NoFit
}

func (r *rules) fitOfDiscover() Fit {
	if r.elsewhere() {
		return IsHere // it decides that there is no answer
	}
	a, why := r.choose()
	switch {
	case why != drop.None:
		return NoFit
	case r.reserved(&a):
		return r.fitOfReservation(&a)
	case a.Standing == Mine:
		return NamesIt // before an offer
	case a.Standing == Held:
		return IsHere
	case a.Standing == Former:
		return WasHere
	case a.Addr == r.named.Addr:
		return Wanted
	}
	return Fits
}

func (r *rules) fitOfReservation(a *Address) Fit {
	if a.Standing == Mine {
		return HasReserved
	}
	return Reserved
}
