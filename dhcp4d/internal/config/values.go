package config

import (
	"encoding/hex"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// MaxOctets bounds identifiers of the configuration. Longer ones of a packet
// match nothing.
const MaxOctets = 255

// scalar returns the text of a value as it stands in the document.
func (r *reader) scalar(v *value, want string) (string, bool) {
	switch {
	case v.Kind != yaml.ScalarNode:
		r.fail(v, "must be %s", want)
	case v.Value == "" || v.Tag == "!!null":
		r.fail(v, "is empty; give %s or leave the key out", want)
	default:
		return v.Value, true
	}
	return "", false
}

func (r *reader) boolean(v *value, into *bool) {
	switch s, ok := r.scalar(v, "true or false"); {
	case !ok:
	case s == "true":
		*into = true
	case s == "false":
		*into = false
	default:
		r.fail(v, "%q must be true or false", s)
	}
}

// either reads one of two words; the first sets into.
func (r *reader) either(v *value, yes, no string, into *bool) {
	switch s, ok := r.scalar(v, no+" or "+yes); {
	case !ok:
	case s == yes || s == no:
		*into = s == yes
	default:
		r.fail(v, "%q must be %s or %s", s, no, yes)
	}
}

func (r *reader) number(v *value, least, most uint32, into *uint32) {
	s, ok := r.scalar(v, "a number")
	if !ok {
		return
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < uint64(least) || n > uint64(most) {
		r.fail(v, "%q must be a number from %d to %d", s, least, most)
		return
	}
	*into = uint32(n)
}

// seconds reads a duration of at least a second: 3600, 90s, 1h30m, 7d.
func (r *reader) seconds(v *value, into *uint32) bool {
	s, ok := r.scalar(v, durationKind)
	if !ok {
		return false
	}
	n, ok := parseSeconds(s)
	if !ok {
		r.fail(v, "%q must be %s", s, durationKind)
		return false
	}
	*into = n
	return true
}

const durationKind = "a duration in whole seconds, from one second to 100 years, such as 3600, 90s, 1h30m or 7d"

func parseSeconds(s string) (uint32, bool) {
	const most = 100 * 366 * 24 * time.Hour
	if n, err := strconv.ParseUint(s, 10, 32); err == nil {
		return uint32(n), n > 0 && n <= uint64(most/time.Second)
	}
	var days uint64
	if d, rest, found := strings.Cut(s, "d"); found {
		var err error
		if days, err = strconv.ParseUint(d, 10, 16); err != nil {
			return 0, false
		}
		s = rest
		if s == "" {
			s = "0s"
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || d > most || days > 36600 {
		return 0, false
	}
	d += time.Duration(days) * 24 * time.Hour
	return uint32(d / time.Second), d%time.Second == 0 && d > 0 && d <= most
}

// leaseTime reads a duration or "infinite".
func (r *reader) leaseTime(v *value, into *uint32) {
	if v.Value == "infinite" && v.Kind == yaml.ScalarNode {
		*into = Infinite
		return
	}
	r.seconds(v, into)
}

// timer reads a duration or a factor of the lease time.
func (r *reader) timer(v *value, into *Timer) {
	s, ok := r.scalar(v, "a duration or a factor such as 0.5")
	if !ok {
		return
	}
	if strings.Contains(s, ".") {
		f, err := strconv.ParseFloat(s, 64)
		part := math.Round(f * 1000)
		if err != nil || !(part >= 1 && part <= 999) {
			r.fail(v, "%q must be a factor between 0 and 1, such as 0.5, or a duration", s)
			return
		}
		*into = Timer{Part: uint32(part)}
		return
	}
	var t Timer
	if r.seconds(v, &t.Seconds) {
		*into = t
	}
}

// addr4 reads the IPv4 address of a host.
func (r *reader) addr4(v *value, into *netip.Addr) bool {
	s, ok := r.scalar(v, "an IPv4 address")
	if !ok {
		return false
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || !a.Is4():
		r.fail(v, "%q is no IPv4 address", s)
		return false
	case !isHost(a):
		r.fail(v, "%s is not the address of a host", a)
		return false
	}
	*into = a
	return true
}

// isHost tells whether an IPv4 address can be a host's: neither "this
// network", nor multicast, reserved or broadcast.
func isHost(a netip.Addr) bool {
	return a.Is4() && a.As4()[0] != 0 && a.As4()[0] < 224
}

// prefix6 reads an IPv6 prefix; an address alone is a prefix of 128 bits.
func (r *reader) prefix6(v *value, into *netip.Prefix) bool {
	s, ok := r.scalar(v, "an IPv6 prefix")
	if !ok {
		return false
	}
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		r.fail(v, "%q must be an IPv6 prefix such as 2001:db8:1::/64", s)
		return false
	case p != p.Masked():
		r.fail(v, "%s has bits set behind the prefix; did you mean %s?", p, p.Masked())
		return false
	}
	*into = p
	return true
}

// octets reads an identifier: text, or hex after 0x.
func (r *reader) octets(v *value, into *[]byte) bool {
	s, ok := r.scalar(v, "text, or 0x and hex")
	if !ok {
		return false
	}
	b := []byte(s)
	if digits, found := strings.CutPrefix(s, "0x"); found {
		return r.hex(v, s, digits, into)
	}
	return r.bounded(v, b, into)
}

func (r *reader) hex(v *value, s, digits string, into *[]byte) bool {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, ":", ""))
	if err != nil || len(b) == 0 {
		r.fail(v, "%q must be hex with two digits per octet", s)
		return false
	}
	return r.bounded(v, b, into)
}

func (r *reader) bounded(v *value, b []byte, into *[]byte) bool {
	if len(b) > MaxOctets {
		r.fail(v, "has %d octets; at most %d are possible", len(b), MaxOctets)
		return false
	}
	*into = b
	return true
}

// hexOctets reads an identifier that is never text: ff:00:01, ff0001 or 0xff0001.
func (r *reader) hexOctets(v *value, into *[]byte) bool {
	s, ok := r.scalar(v, "hex such as ff:00:01")
	return ok && r.hex(v, s, strings.TrimPrefix(s, "0x"), into)
}

// remoteID reads enterprise:value, or the whole option 37 as hex after 0x
// (RFC 4649 section 3: four octets of enterprise number, then the identifier).
func (r *reader) remoteID(v *value, into *[]byte) bool {
	const want = "the enterprise number and the identifier, such as 3561:line-7 or 3561:0x0a0b, or 0x and the whole option in hex"
	s, ok := r.scalar(v, want)
	if !ok {
		return false
	}
	if digits, found := strings.CutPrefix(s, "0x"); found {
		var b []byte
		if !r.hex(v, s, digits, &b) {
			return false
		}
		if len(b) < 5 {
			r.fail(v, "%q is too short; must be %s", s, want)
			return false
		}
		*into = b
		return true
	}
	number, id, found := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 32)
	if !found || err != nil || id == "" {
		r.fail(v, "%q must be %s", s, want)
		return false
	}
	b := []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
	octets := []byte(id)
	if digits, isHex := strings.CutPrefix(id, "0x"); isHex && !r.hex(v, s, digits, &octets) {
		return false
	}
	return r.bounded(v, append(b, octets...), into)
}

// text reads printable ASCII of bounded length.
func (r *reader) text(v *value, most int, into *string) {
	s, ok := r.scalar(v, "text")
	if !ok {
		return
	}
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			r.fail(v, "%q holds a character that is not printable ASCII", s)
			return
		}
	}
	if len(s) > most {
		r.fail(v, "has %d octets; at most %d are possible", len(s), most)
		return
	}
	*into = s
}

// ParseOctets reads an identifier as the document has it: text, or hex after 0x.
func ParseOctets(s string) ([]byte, error) { return parseAlone(s, (*reader).octets) }

// ParseRemoteID reads a remote-id as the document has it.
func ParseRemoteID(s string) ([]byte, error) { return parseAlone(s, (*reader).remoteID) }

func parseAlone(s string, read func(*reader, *value, *[]byte) bool) (b []byte, err error) {
	r := &reader{}
	if !read(r, &value{Node: &yaml.Node{Kind: yaml.ScalarNode, Value: s}}, &b) {
		return nil, r.err()
	}
	return b, nil
}
