package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// settleLink chooses, among the subnets that share a link with the selected one, the one that
// serves a query: where the client has an address or its reservation, else the first that suits the
// query, the selected one before the others. Package lease says how well a subnet suits
// ([lease.FitOf]). Whether the client is known does not depend on the choice. It returns false if
// hooks have chosen an address that none of the subnets grants.
func (s *Server) settleLink(q *exchange) bool {
	first := q.chosen.Subnet
	known := false
	for _, sub := range first.Link {
		s.enterAnew(q, sub, false)
		known = known || q.reserved != nil
	}
	best, most := first, lease.NoFit
	for i := -1; i < len(first.Link); i++ {
		sub := first
		if i >= 0 {
			if sub = first.Link[i]; sub == first {
				continue
			}
		}
		if !s.enterAnew(q, sub, known) {
			continue
		}
		if fit := s.fitOf(q); fit > most {
			best, most = sub, fit
		}
	}
	return s.enterAnew(q, best, known)
}

// enterAnew sets another subnet for a query. It returns what enter does.
func (s *Server) enterAnew(q *exchange, sub *network.Subnet, known bool) bool {
	q.client.restoreID(&q.message)
	q.chosen.Subnet, q.event.Subnet = sub, sub
	granted := s.enter(q)
	q.known = known
	return granted
}

// fitOf returns how well the subnet of a query suits it. An INFORM has no lease: the subnet of its
// address serves it.
func (s *Server) fitOf(q *exchange) lease.Fit {
	if q.message.Type() == dhcp4.Inform {
		if q.chosen.Subnet.Prefix.Contains(q.terms.CIAddr) {
			return lease.Fits
		}
		return lease.NoFit
	}
	s.classify(q)
	return s.Book.Fit(&q.terms, s.now)
}
