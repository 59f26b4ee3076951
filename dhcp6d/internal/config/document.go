package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
)

type value = document.Value

// reader collects the mistakes while a document is read.
type reader struct{ document.Reader }

// key is a key that a mapping may have. The tables of keys are read by the decoder and by the
// documentation.
type key[T any] struct {
	name    string
	kind    string // what its value looks like
	meaning string
	read    func(r *reader, v *value, into *T)
}

// mapping reads the keys of a mapping into a struct.
func mapping[T any](r *reader, v *value, what string, keys []key[T], into *T) bool {
	names := make([]string, len(keys))
	for i := range keys {
		names[i] = keys[i].name
	}
	return r.Mapping(v, what, names, func(i int, v *value) { keys[i].read(r, v, into) })
}

// number reads a number, also a hexadecimal one such as 0x34.
func (r *reader) number(v *value, most uint64) (uint64, bool) {
	s, ok := r.Scalar(v, "a number")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil || n > most {
		r.Fail(v, "%q must be a number from 0 to %d", s, most)
		return 0, false
	}
	return n, true
}

// prefix reads an IPv6 prefix, or an IPv4 prefix. An address alone is a prefix of all its bits.
func (r *reader) prefix(v *value, family int, into *netip.Prefix) {
	example := map[int]string{6: "2001:db8::/40", 4: "192.0.2.0/24"}[family]
	s, ok := r.Scalar(v, fmt.Sprintf("an IPv%d prefix such as %s", family, example))
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || p.Addr().Is4() != (family == 4) || p.Addr().Is4In6():
		r.Fail(v, "%q must be an IPv%d prefix such as %s", s, family, example)
	case p != p.Masked():
		r.Fail(v, "%s has bits set behind its length; did you mean %s?", p, p.Masked())
	case config.NoHost(p) || p.Addr().IsMulticast() || config.LinkLocal(p):
		r.Fail(v, "%s holds no address that a host beyond the link can have", p)
	default:
		*into = p
	}
}

// address6 reads a unicast IPv6 address of a host.
func (r *reader) address6(v *value) (netip.Addr, bool) {
	s, ok := r.Scalar(v, "an IPv6 address")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !isHost(a) || a.IsLinkLocalUnicast() {
		r.Fail(v, "%q is no IPv6 address that a host beyond the link can have", s)
		return netip.Addr{}, false
	}
	return a, true
}

// needs reports what a container lacks (RFC 7598 section 6).
func (r *reader) needs(v *value, what string, keys ...string) {
	for _, k := range keys {
		switch item := v.Get(k); {
		case item == nil:
			r.Fail(v, "%s must have %s; clients ignore it without", what, k)
		case item.Kind == yaml.SequenceNode && len(item.Content) == 0:
			r.Fail(item, "is empty; clients ignore %s without one", what)
		}
	}
}

// relays reads the addresses of border relays.
func (r *reader) relays(v *value) (relays []netip.Addr) {
	for _, item := range r.List(v, "IPv6 addresses") {
		a, ok := r.address6(item)
		switch {
		case !ok:
		case slices.Contains(relays, a):
			r.Fail(item, "%v is listed twice; leave one out", a)
		default:
			relays = append(relays, a)
		}
	}
	return relays
}
