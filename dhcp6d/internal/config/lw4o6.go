package config

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
)

// lwDocument is lw4o6 as it is read.
type lwDocument struct {
	softwire.LW4o6
	ipv4    netip.Prefix
	binding softwire.Binding
}

var lwKeys = portKeys(func(l *lwDocument) *softwire.Ports { return &l.binding.Ports },
	key[lwDocument]{"border-relays", "list of IPv6 addresses", "the lwAFTRs (option 90)",
		func(r *reader, v *value, l *lwDocument) { l.BorderRelays = r.relays(v) }},
	key[lwDocument]{"ipv4-address", "an IPv4 address", "the address of the one CE (option 92); unset leaves it to 4o6",
		func(r *reader, v *value, l *lwDocument) {
			if r.prefix(v, 4, &l.ipv4); l.ipv4.IsValid() && l.ipv4.Bits() < 32 {
				r.Fail(v, "%v is no single address", l.ipv4)
			}
		}},
	key[lwDocument]{"bind-prefix", "an IPv6 prefix", "the CE takes its address for the softwire from this prefix",
		func(r *reader, v *value, l *lwDocument) { r.prefix(v, 6, &l.binding.IPv6) }},
)

func (l *linkDocument) lw4o6(r *reader, v *value) {
	var d lwDocument
	before := len(r.Mistakes)
	if !mapping(r, v, "lw4o6", lwKeys, &d) {
		return
	}
	r.needs(v, "lw4o6", "border-relays")
	binding := v.Get("ipv4-address") != nil || v.Get("bind-prefix") != nil || d.binding.Ports.Given
	if binding {
		r.needs(v, "lw4o6 with an address", "ipv4-address", "bind-prefix")
	}
	if len(r.Mistakes) > before {
		return
	}
	if binding {
		d.binding.IPv4 = d.ipv4.Addr()
		if d.binding.Ports.Length == 0 && d.binding.Ports.PSID == 0 {
			d.binding.Ports = softwire.Ports{} // the address is not shared
		}
		for _, wrong := range d.binding.Check() {
			r.at(v, wrong)
		}
		d.Binding = &d.binding
		l.claims = append(l.claims, claim{d.binding.Claim(), v.Get("ipv4-address")})
	}
	l.LW4o6 = &d.LW4o6
}
