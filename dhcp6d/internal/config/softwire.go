package config

import "github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"

var softwireKeys = []key[softwire.Softwire]{
	{"border-relays", "list of IPv6 addresses", "where the client sends what leaves by the softwire (option 90)",
		func(r *reader, v *value, w *softwire.Softwire) { w.BorderRelays = r.relays(v) }},
	{"bind-prefix", "an IPv6 prefix",
		"the client takes its address for the softwire from this prefix (option 137); unset leaves it to the client",
		func(r *reader, v *value, w *softwire.Softwire) { r.prefix(v, 6, &w.Bind) }},
}

func (l *linkDocument) softwire(r *reader, v *value) {
	var w softwire.Softwire
	if !mapping(r, v, "a softwire", softwireKeys, &w) {
		return
	}
	r.needs(v, "a softwire", "border-relays")
	l.Softwire = &w
}
