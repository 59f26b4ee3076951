package config

import (
	"math"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// either reads one of two words. The first sets into to true, the second to false.
func (r *reader) either(v *value, yes, no string, into *bool) {
	switch s, ok := r.Scalar(v, no+" or "+yes); {
	case !ok:
	case s == yes || s == no:
		*into = s == yes
	default:
		r.Fail(v, "%q must be %s or %s", s, no, yes)
	}
}

func (r *reader) number(v *value, least, most uint32, into *uint32) {
	s, ok := r.Scalar(v, "a number")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < uint64(least) || n > uint64(most) {
		r.Fail(v, "%q must be a number from %d to %d", s, least, most)
		return
	}
	*into = uint32(n)
}

// seconds reads a duration of at least a second: 3600, 90s, 1h30m, 7d.
func (r *reader) seconds(v *value, into *uint32) bool {
	s, ok := r.Scalar(v, config.SecondsKind)
	if !ok {
		return false
	}
	n, ok := config.ParseSeconds(s)
	if !ok {
		r.Fail(v, "%q must be %s", s, config.SecondsKind)
		return false
	}
	*into = n
	return true
}

// leaseTime reads a duration or "infinite".
func (r *reader) leaseTime(v *value, into *uint32) {
	if v.Value == "infinite" && v.Kind == yaml.ScalarNode {
		*into = lease.Infinite
		return
	}
	r.seconds(v, into)
}

// timer reads a duration or a factor of the lease time.
func (r *reader) timer(v *value, into *network.Timer) {
	s, ok := r.Scalar(v, "a duration or a factor such as 0.5")
	if !ok {
		return
	}
	if strings.Contains(s, ".") {
		f, err := strconv.ParseFloat(s, 64)
		part := math.Round(f * 1000)
		if err != nil || !(part >= 1 && part <= 999) {
			r.Fail(v, "%q must be a factor between 0 and 1, such as 0.5, or a duration", s)
			return
		}
		*into = network.Timer{Part: uint32(part)}
		return
	}
	var t network.Timer
	if r.seconds(v, &t.Seconds) {
		*into = t
	}
}

// addr4 reads the IPv4 address of a host.
func (r *reader) addr4(v *value, into *netip.Addr) bool {
	s, ok := r.Scalar(v, "an IPv4 address")
	if !ok {
		return false
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || !a.Is4():
		r.Fail(v, "%q is no IPv4 address", s)
		return false
	case !network.IsHost(a):
		r.Fail(v, "%s is not the address of a host", a)
		return false
	}
	*into = a
	return true
}

// prefix6 reads an IPv6 prefix; an address alone is a prefix of 128 bits.
func (r *reader) prefix6(v *value, into *netip.Prefix) bool {
	s, ok := r.Scalar(v, "an IPv6 prefix")
	if !ok {
		return false
	}
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		r.Fail(v, "%q must be an IPv6 prefix such as 2001:db8:1::/64", s)
		return false
	case p != p.Masked():
		r.Fail(v, "%s has bits set behind the prefix; did you mean %s?", p, p.Masked())
		return false
	case config.NoHost(p):
		r.Fail(v, "%s holds no address that a host or a relay can have", p)
		return false
	}
	*into = p
	return true
}

// The ways to write an identifier.
const (
	octetsKind = "text, or 0x and hex"
	hexKind    = "hex such as ff:00:01"
)

// identifier reads an identifier that is written like kind.
func (r *reader) identifier(v *value, kind string, parse func(string) ([]byte, error), into *[]byte) bool {
	s, ok := r.Scalar(v, kind)
	if !ok {
		return false
	}
	b, ok := r.parsed(v, s, parse)
	if ok {
		*into = b
	}
	return ok
}

// parsed returns the result of parse, and reports its error at v.
func (r *reader) parsed(v *value, s string, parse func(string) ([]byte, error)) ([]byte, bool) {
	b, err := parse(s)
	if err != nil {
		r.Fail(v, "%v", err)
	}
	return b, err == nil
}

// text reads printable ASCII of bounded length.
func (r *reader) text(v *value, most int, into *string) {
	s, ok := r.Scalar(v, "text")
	if !ok {
		return
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			r.Fail(v, "%q holds a character that is not printable ASCII", s)
			return
		}
	}
	if len(s) > most {
		r.Fail(v, "has %d octets; at most %d are possible", len(s), most)
		return
	}
	*into = s
}
