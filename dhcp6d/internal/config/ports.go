package config

import "github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"

// ports are the keys of port parameters, beside those of what they belong to.
func portKeys[T any](of func(*T) *softwire.Ports, more ...key[T]) []key[T] {
	number := func(most uint64, set func(p *softwire.Ports, n uint64)) func(r *reader, v *value, into *T) {
		return func(r *reader, v *value, into *T) {
			if n, ok := r.number(v, most); ok {
				p := of(into)
				p.Given = true
				set(p, n)
			}
		}
	}
	return append(more,
		key[T]{"psid-offset", "0 to 15", "bits of a port before the PSID, which are not all zero; unset means 6 for " +
			"MAP, 0 for lw4o6", number(255, func(p *softwire.Ports, n uint64) { p.Offset = uint8(n) })},
		key[T]{"psid-length", "0 to 16", "bits of the PSID: so many CEs as a power of 2 share the address; " +
			"with EA bits it follows from these, and is best left out",
			number(255, func(p *softwire.Ports, n uint64) { p.Length = min(uint8(n), 17) })},
		key[T]{"psid", "a number, also as 0x34",
			"which of the CEs that share the address this one is; not with EA bits",
			number(65535, func(p *softwire.Ports, n uint64) { p.PSID = uint16(n) })})
}

// at reports a problem where its field stands.
func (r *reader) at(item *value, wrong softwire.Problem) {
	names := map[softwire.Field]string{softwire.EABits: "ea-bits", softwire.IPv4Prefix: "ipv4-prefix",
		softwire.IPv6Prefix: "ipv6-prefix",
		softwire.PSIDOffset: "psid-offset", softwire.PSIDLength: "psid-length", softwire.PSID: "psid"}
	if v := item.Get(names[wrong.Field]); v != nil {
		item = v
	}
	r.Fail(item, "%s", wrong.Text)
}
