package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// settleLink chooses, among the subnets that share a link with the selected one, the one that
// serves a query: where the client has an address or its reservation, else the first that suits the
// query, the selected one before the others. Package lease says how well a subnet suits
// ([lease.FitOf]). It returns false if hooks have chosen an address that none of the subnets
// grants.
func (s *Server) settleLink(q *exchange) bool {
	selected := q.chosen.Subnet
	known := s.knownOnLink(q, selected.Link)
	best, most := selected, lease.NoFit
	for _, sub := range selected.Link {
		if !s.moveTo(q, sub, known) {
			continue
		}
		if fit := s.fitOf(q); fit > most || (fit == most && sub == selected) {
			best, most = sub, fit
		}
	}
	return s.moveTo(q, best, known)
}

// knownOnLink reports whether the client of a query has a reservation in any of the subnets. So
// whether a client is known does not depend on the subnet that is chosen.
func (s *Server) knownOnLink(q *exchange, link []*network.Subnet) bool {
	for _, sub := range link {
		s.moveTo(q, sub, false)
		if q.reserved != nil {
			return true
		}
	}
	return false
}

// moveTo moves a query to another subnet. It returns false if hooks have chosen an address that the
// subnet does not grant.
func (s *Server) moveTo(q *exchange, sub *network.Subnet, known bool) bool {
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
