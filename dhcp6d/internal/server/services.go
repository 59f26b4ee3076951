package server

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Service has options for some clients, beside the options of their link: for those who meet every
// condition.
type Service struct {
	Interface   string       // name or pattern, of clients whose link no relay names; empty: any
	Link        netip.Prefix // of the address by which a relay names the link; the zero Prefix: any
	InterfaceID []byte       // of the relay next to the client; nil: any
	Class       int          // -1: any
	Options     *answer.Additions
}

// Services choose the service of a client: the first that fits. They never change.
type Services struct {
	list    []Service
	ports   map[string]*entries // by Interface-Id
	rest    entries             // the services without an Interface-Id
	classes *expression.Classes
	// supplies says that some of the options also go to other servers.
	supplies bool
	// beside says that some of them also stand beside a DHCPv4 message.
	beside bool
}

// NewServices returns the services, nil if there are none. Their interfaces are names and patterns
// that [listen.ParsePatterns] takes.
func NewServices(list []Service, classes *expression.Classes) *Services {
	if len(list) == 0 {
		return nil
	}
	s := &Services{list: list, ports: map[string]*entries{}, classes: classes}
	for i := range list {
		one := &list[i]
		s.supplies = s.supplies || one.Options.Supplies()
		s.beside = s.beside || one.Options.Beside()
		if one.Interface != "" && one.Link.IsValid() {
			continue // no client is on both
		}
		to := &s.rest
		if one.InterfaceID != nil {
			if s.ports[string(one.InterfaceID)] == nil {
				s.ports[string(one.InterfaceID)] = new(entries)
			}
			to = s.ports[string(one.InterfaceID)]
		}
		to.add(one.Link, one.Interface, i, one.Class, classes)
	}
	return s
}

// service returns what the client of the message at hand is offered beside the options of its link,
// nil if that is nothing.
func (u *Up) service(in *udp.Packet, ifc *listen.Interface) *answer.Additions {
	s := u.set.Services
	if s == nil {
		return nil
	}
	q := expression.Query{Path: &u.path, Local: unicast(in.Local)}
	u.eval.Begin(q, s.classes, &u.member)
	u.member.Forget()
	link := u.path.Link()
	u.indexes = s.rest.append(u.indexes[:0], &u.eval, ifc, link)
	if r, ok := u.path.Relay(); ok {
		id := r.InterfaceID()
		budget.Spend(len(id))
		if port := s.ports[string(id)]; port != nil {
			u.indexes = port.append(u.indexes, &u.eval, ifc, link)
		}
	}
	first := int32(len(s.list))
	for _, indexes := range u.indexes {
		for _, i := range indexes {
			budget.Spend(1)
			if i >= first {
				break
			}
			if class := s.list[i].Class; class < 0 || u.eval.Member(class) {
				first = i
			}
		}
	}
	if int(first) == len(s.list) {
		return nil
	}
	return s.list[first].Options
}
