package softwire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// ParseMAPE reads the data of option 94. Like the others it takes nothing that a CE would ignore,
// and only what it would append itself, so the octets of a value are known.
func ParseMAPE(data []byte) (m MAPE, err error) {
	err = eachOption(data, func(code dhcp6.Code, data []byte) (err error) {
		switch code {
		case dhcp6.OptS46Rule:
			if len(m.BorderRelays) > 0 {
				return errors.New("a rule follows a border relay")
			}
			m.Rules, err = appendRule(m.Rules, data)
		case dhcp6.OptS46BR:
			m.BorderRelays, err = appendRelay(m.BorderRelays, data)
		default:
			err = fmt.Errorf("option %d does not belong there", code)
		}
		return err
	})
	if err == nil && (len(m.Rules) == 0 || len(m.BorderRelays) == 0) {
		err = errors.New("MAP-E needs a rule and a border relay")
	}
	return m, err
}

// ParseMAPT reads the data of option 95.
func ParseMAPT(data []byte) (m MAPT, err error) {
	err = eachOption(data, func(code dhcp6.Code, data []byte) (err error) {
		switch {
		case m.Default.IsValid():
			return errors.New("an option follows the default mapping rule")
		case code == dhcp6.OptS46Rule:
			m.Rules, err = appendRule(m.Rules, data)
		case code == dhcp6.OptS46DMR:
			m.Default, err = wholePrefix(data)
			if err == nil && m.Default.Bits() > maxDMR {
				err = fmt.Errorf("a default mapping rule of %d bits has no room for an IPv4 address", m.Default.Bits())
			}
		default:
			err = fmt.Errorf("option %d does not belong there", code)
		}
		return err
	})
	if err == nil && (len(m.Rules) == 0 || !m.Default.IsValid()) {
		err = errors.New("MAP-T needs a rule and a default mapping rule")
	}
	return m, err
}

// ParseLW4o6 reads the data of option 96.
func ParseLW4o6(data []byte) (l LW4o6, err error) {
	err = eachOption(data, func(code dhcp6.Code, data []byte) (err error) {
		switch {
		case l.Binding != nil:
			return errors.New("an option follows the binding")
		case code == dhcp6.OptS46BR:
			l.BorderRelays, err = appendRelay(l.BorderRelays, data)
		case code == dhcp6.OptS46V4V6Bind:
			var b Binding
			if b, err = parseBinding(data); err == nil {
				l.Binding = &b
			}
		default:
			err = fmt.Errorf("option %d does not belong there", code)
		}
		return err
	})
	if err == nil && len(l.BorderRelays) == 0 {
		err = errors.New("lw4o6 needs a border relay")
	}
	return l, err
}

// ParsePriority reads the data of option 111.
func ParsePriority(data []byte) (order []Mechanism, err error) {
	if len(data) == 0 || len(data)%2 != 0 {
		return nil, errors.New("is no list of option codes")
	}
	for ; len(data) > 0; data = data[2:] {
		m := Mechanism(binary.BigEndian.Uint16(data))
		if m.String() == "unknown" {
			return nil, fmt.Errorf("option %d is no mechanism of RFC 8026", m)
		}
		order = append(order, m)
	}
	return order, nil
}

// ParseName reads the data of option 64: one domain name and nothing else.
func ParseName(data []byte) (string, error) {
	if len(data) > 255 {
		return "", errors.New("is longer than a domain name can be")
	}
	var name []byte
	for len(data) > 0 {
		n := int(data[0])
		switch {
		case n == 0 && len(data) == 1 && len(name) > 0:
			return string(name[:len(name)-1]), nil
		case n == 0 || n > 63 || n >= len(data):
			return "", errors.New("is no domain name")
		}
		for _, c := range data[1 : 1+n] {
			if c <= ' ' || c > '~' || c == '.' {
				return "", errors.New("is no domain name")
			}
		}
		name = append(append(name, data[1:1+n]...), '.')
		data = data[1+n:]
	}
	return "", errors.New("is no domain name")
}

// ParseRelay reads the data of option 90.
func ParseRelay(data []byte) (netip.Addr, error) {
	if len(data) != 16 {
		return netip.Addr{}, errors.New("a border relay has no IPv6 address")
	}
	return netip.AddrFrom16([16]byte(data)), nil
}

// ParseBindPrefix reads the data of option 137.
func ParseBindPrefix(data []byte) (netip.Prefix, error) { return wholePrefix(data) }

// eachOption calls f for each option of a row that has whole ones only.
func eachOption(row []byte, f func(code dhcp6.Code, data []byte) error) error {
	const header = 4
	for len(row) > 0 {
		code, option, rest, ok := dhcp6.Cut(row)
		if !ok {
			return errors.New("an option is cut off")
		}
		if err := f(code, option[header:]); err != nil {
			return err
		}
		row = rest
	}
	return nil
}

func appendRule(rules []Rule, data []byte) ([]Rule, error) {
	const fixed = 7
	if len(data) < fixed {
		return nil, errors.New("a rule is cut off")
	}
	r := Rule{Forwarding: data[0]&forwarding != 0, EABits: data[1]}
	var err error
	if r.IPv4, err = netip.AddrFrom4([4]byte(data[3:])).Prefix(int(data[2])); err != nil ||
		r.IPv4.Addr() != netip.AddrFrom4([4]byte(data[3:])) {
		return nil, errors.New("a rule has no IPv4 prefix")
	}
	if data[0]&^forwarding != 0 || r.EABits > maxEA {
		return nil, errors.New("a rule has flags that mean nothing, or too many EA bits")
	}
	rest := data[fixed:]
	if r.IPv6, rest, err = cutPrefix(rest); err != nil {
		return nil, err
	}
	if r.Ports, err = parsePorts(rest); err != nil {
		return nil, err
	}
	return append(rules, r), nil
}

func parseBinding(data []byte) (b Binding, err error) {
	if len(data) < 4 {
		return b, errors.New("a binding is cut off")
	}
	b.IPv4 = netip.AddrFrom4([4]byte(data))
	rest := data[4:]
	if b.IPv6, rest, err = cutPrefix(rest); err != nil {
		return b, err
	}
	b.Ports, err = parsePorts(rest)
	return b, err
}

func appendRelay(relays []netip.Addr, data []byte) ([]netip.Addr, error) {
	a, err := ParseRelay(data)
	return append(relays, a), err
}

// parsePorts reads what follows the prefix of a rule or binding: an option 93 or nothing.
func parsePorts(row []byte) (p Ports, err error) {
	err = eachOption(row, func(code dhcp6.Code, data []byte) error {
		if code != dhcp6.OptS46PortParams || p.Given || len(data) != 4 {
			return errors.New("port parameters are not understood")
		}
		p = Ports{Given: true, Offset: data[0], Length: data[1]}
		psid := binary.BigEndian.Uint16(data[2:])
		if p.Offset > 15 || int(p.Offset)+int(p.Length) > 16 || psid<<p.Length != 0 {
			return errors.New("port parameters have more than the 16 bits of a port")
		}
		p.PSID = psid >> (16 - p.Length)
		return nil
	})
	return p, err
}

// cutPrefix reads an IPv6 prefix at the begin of b.
func cutPrefix(b []byte) (p netip.Prefix, rest []byte, err error) {
	if len(b) == 0 || b[0] > 128 || len(b)-1 < (int(b[0])+7)/8 {
		return p, nil, errors.New("an IPv6 prefix is cut off")
	}
	var a [16]byte
	n := copy(a[:(int(b[0])+7)/8], b[1:])
	p = netip.PrefixFrom(netip.AddrFrom16(a), int(b[0]))
	if p != p.Masked() {
		return p, nil, fmt.Errorf("%v has bits set behind its length", p)
	}
	return p, b[1+n:], nil
}

// wholePrefix reads an IPv6 prefix that is all of b.
func wholePrefix(b []byte) (netip.Prefix, error) {
	p, rest, err := cutPrefix(b)
	if err == nil && len(rest) > 0 {
		err = errors.New("something follows the IPv6 prefix")
	}
	return p, err
}
