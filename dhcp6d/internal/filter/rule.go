package filter

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Rule is one entry of an access list: exactly one field is set.
type Rule struct {
	Prefix      netip.Prefix
	InterfaceID []byte
	RemoteID    []byte // enterprise number (4 octets) and identifier, as on the wire
}

// UnmarshalText takes
//
//	prefix=2001:db8::/32          a prefix or an address
//	interface-id=port-7           text, or 0x and hexadecimal
//	remote-id=2495:0xdeadbeef     enterprise number, then as above
func (r *Rule) UnmarshalText(text []byte) error {
	key, value, ok := strings.Cut(string(text), "=")
	if !ok {
		return fmt.Errorf("%q has no = between what to compare and the value", text)
	}
	var rule Rule
	var err error
	switch key {
	case "prefix":
		rule.Prefix, err = parsePrefix(value)
	case "interface-id":
		rule.InterfaceID, err = parseID(value)
	case "remote-id":
		rule.RemoteID, err = parseRemoteID(value)
	default:
		err = fmt.Errorf("%q is none of prefix, interface-id and remote-id", key)
	}
	if err != nil {
		return err
	}
	*r = rule
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Is6() && !a.Is4In6() && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is no IPv6 prefix or address", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits set after its length (%v?)", s, p.Masked())
	}
	return p, nil
}

func parseID(s string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(s, "0x")
	if !isHex {
		if s == "" {
			return nil, fmt.Errorf("an identifier is empty (0x stands for one without octets)")
		}
		return []byte(s), nil
	}
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal", s)
	}
	return b, nil
}

func parseRemoteID(s string) ([]byte, error) {
	number, value, ok := strings.Cut(s, ":")
	enterprise, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q does not begin with an enterprise number and a colon", s)
	}
	id, err := parseID(value)
	switch {
	case err != nil:
		return nil, err
	case len(id) == 0:
		return nil, fmt.Errorf("%q has an empty identifier", s)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(enterprise)), id...), nil
}
