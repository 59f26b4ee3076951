package config

import (
	"net/netip"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// linkKeys are those of an entry.
var linkKeys = []key[linkDocument]{
	{"interface", "a name or pattern such as eth*", "only clients on these interfaces whose link no relay names",
		func(r *reader, v *value, l *linkDocument) {
			s, ok := r.Scalar(v, "the name of an interface")
			if _, err := path.Match(s, ""); ok && (err != nil || strings.ContainsAny(s, "/! \t,")) {
				r.Fail(v, "%q is neither the name nor a pattern of an interface", s)
			}
			l.Interface = s
		}},
	{"link", "an IPv6 prefix", "only clients whose relay names the link by an address of the prefix",
		func(r *reader, v *value, l *linkDocument) { r.prefix(v, 6, &l.Link) }},
	{"interface-id", "text, or 0x and hex", "only clients whose relay names their port so (Interface-Id)",
		func(r *reader, v *value, l *linkDocument) {
			s, ok := r.Scalar(v, "text, or 0x and hex")
			if !ok {
				return
			}
			id, err := octets.Parse(s)
			if err != nil {
				r.Fail(v, "%v", err)
			}
			l.InterfaceID = id
		}},
	{"class", "text", "only clients of this class", func(_ *reader, v *value, l *linkDocument) { l.class = v }},
	{"aftr-name", "a domain name", "DS-Lite: the AFTR (option 64, RFC 6334)", func(r *reader, v *value, l *linkDocument) {
		s, ok := r.Scalar(v, "a domain name")
		if err := checkDomain(s); ok && (err != nil || !strings.Contains(strings.TrimSuffix(s, "."), ".")) {
			r.Fail(v, "%q is no fully qualified domain name; give one such as aftr.example.net", s)
			return
		}
		l.AFTR = s
	}},
	{"4o6-servers", "empty, or list of IPv6 addresses and multicast", "DHCPv4 over DHCPv6: the servers (option 88, " +
		"RFC 7341)", func(r *reader, v *value, l *linkDocument) { l.servers4o6(r, v) }},
	{"map-e", "MAP-E, or a list of them", "MAP-E (option 94, RFC 7597); several are several MAP domains",
		func(r *reader, v *value, l *linkDocument) {
			domains := []*value{v}
			if v.Kind == yaml.SequenceNode {
				domains = r.List(v, "MAP-E")
			}
			for _, domain := range domains {
				l.mapE(r, domain)
			}
		}},
	{"map-t", "MAP-T", "MAP-T (option 95, RFC 7599)", func(r *reader, v *value, l *linkDocument) { l.mapT(r, v) }},
	{"lw4o6", "lw4o6", "lightweight 4over6 (option 96, RFC 7596)",
		func(r *reader, v *value, l *linkDocument) { l.lw4o6(r, v) }},
	{"softwire", "softwire", "the softwire for the IPv4 address that comes by 4o6 (options 90 and 137, RFC 8539)",
		func(r *reader, v *value, l *linkDocument) { l.softwire(r, v) }},
	{"priority", "list of " + strings.Join(softwire.Mechanisms(), ", "),
		"which of them a client that knows several is to take, the first one first (option 111, RFC 8026)",
		func(r *reader, v *value, l *linkDocument) { l.priority = r.List(v, "mechanisms") }},
}

// linkDocument is an entry as it is read.
type linkDocument struct {
	Service
	class    *value
	priority []*value
	claims   []claim
}

func (l *linkDocument) servers4o6(r *reader, v *value) {
	l.Offer4o6 = true
	if v.Kind == yaml.ScalarNode && v.Value == "empty" {
		return
	}
	for _, item := range r.List(v,
		"IPv6 addresses and multicast; the word empty stands for the option without an address") {
		s, ok := r.Scalar(item, "an IPv6 address or multicast")
		if !ok {
			continue
		}
		a := allServers
		if s != "multicast" {
			var err error
			if a, err = netip.ParseAddr(s); err != nil || (!isHost(a) && !isGroup(a)) {
				r.Fail(item, "%q is no IPv6 address that a client could send to", s)
				continue
			}
		}
		if slices.Contains(l.Servers4o6, a) {
			r.Fail(item, "%v is listed twice; leave one out", a)
		}
		l.Servers4o6 = append(l.Servers4o6, a)
	}
	if v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		r.Fail(v, "is an empty list; write empty for the option without an address")
	}
}

// link reads an entry.
func (d *servicesDocument) link(r *reader, item *value) {
	l := linkDocument{Service: Service{Class: -1, Line: item.Line}}
	before := len(r.Mistakes)
	if !mapping(r, item, "a link", linkKeys, &l) {
		return
	}
	var when []string
	for _, name := range []string{"interface", "link", "interface-id", "class"} {
		if v := item.Get(name); v != nil {
			when = append(when, name+" "+v.Value)
		}
	}
	l.when = strings.Join(when, ", ")
	if l.class != nil {
		l.Class = d.number(r, l.class)
	}
	if l.Interface != "" && l.Link.IsValid() {
		r.Fail(item, "has an interface, for clients whose link no relay names, and a link, for those whose relay "+
			"does; leave one out, or write two entries")
	}
	for _, item := range l.priority {
		s, ok := r.Scalar(item, "a mechanism")
		m, known := softwire.ParseMechanism(s)
		switch {
		case !ok:
		case !known:
			r.Fail(item, "%q must be one of %s", s, strings.Join(softwire.Mechanisms(), ", "))
		case slices.Contains(l.Priority, m):
			r.Fail(item, "%s is listed twice; leave one out", s)
		default:
			l.Priority = append(l.Priority, m)
		}
	}
	offers := l.AFTR != "" || l.Offer4o6 || l.MAPE != nil || l.MAPT != nil || l.LW4o6 != nil || l.Softwire != nil
	if !offers && len(r.Mistakes) == before {
		r.Fail(item, "offers nothing; give one of aftr-name, 4o6-servers, map-e, map-t, lw4o6, softwire")
	}
	d.claims = append(d.claims, l.claims...)
	d.List = append(d.List, l.Service)
	d.at = append(d.at, item)
}
