package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Service has options for some clients, beside the options of their link: for those who meet every
// condition.
type Service struct {
	Interface   func(name string) bool // of clients whose link no relay names; nil: any
	Link        netip.Prefix           // of the address by which a relay names the link; the zero Prefix: any
	InterfaceID []byte                 // of the relay next to the client; nil: any
	Class       int                    // -1: any
	Options     *answer.Additions
}

// Services choose the service of a client: the first that fits. They never change.
type Services struct {
	list    []Service
	ports   map[string][]int // by Interface-Id: places in list, ascending
	rest    []int            // places of the services without an Interface-Id, ascending
	classes *expression.Classes
	// supplies says that some of the options also go to other servers.
	supplies bool
	// beside says that some of them also stand beside a DHCPv4 message.
	beside bool
}

// NewServices returns the services, nil if there are none.
func NewServices(list []Service, classes *expression.Classes) *Services {
	if len(list) == 0 {
		return nil
	}
	s := &Services{list: list, ports: map[string][]int{}, classes: classes}
	for i := range list {
		s.supplies = s.supplies || list[i].Options.Supplies()
		s.beside = s.beside || list[i].Options.Beside()
		if id := list[i].InterfaceID; id != nil {
			s.ports[string(id)] = append(s.ports[string(id)], i)
		} else {
			s.rest = append(s.rest, i)
		}
	}
	return s
}

// service returns what the client of the message at hand is offered beside the options of its link,
// nil if that is nothing. There may be a service for each of many subscribers, so services with an
// Interface-Id are found through a map.
func (u *Up) service(in *udp.Packet, ifc *listen.Interface) *answer.Additions {
	s := u.set.Services
	if s == nil {
		return nil
	}
	q := expression.Query{Path: &u.path, Local: unicast(in.Local)}
	u.eval.Begin(q, s.classes, &u.member)
	u.member.Forget()
	var ports []int
	if r, ok := u.path.Relay(); ok {
		ports = s.ports[string(r.InterfaceID())]
	}
	rest, link := s.rest, u.path.Link()
	for len(ports) > 0 || len(rest) > 0 {
		from := &rest
		if len(rest) == 0 || (len(ports) > 0 && ports[0] < rest[0]) {
			from = &ports
		}
		one := &s.list[(*from)[0]]
		*from = (*from)[1:]
		if one.fits(ifc.Name, link) && (one.Class < 0 || u.eval.Member(one.Class)) {
			return one.Options
		}
	}
	return nil
}

// fits reports whether a service is for clients of a link: the one that a relay names, or else the
// interface (RFC 9915 section 13.1).
func (s *Service) fits(ifc string, link netip.Addr) bool {
	if s.Interface != nil && (link.IsValid() || !s.Interface(ifc)) {
		return false
	}
	return !s.Link.IsValid() || s.Link.Contains(link)
}
