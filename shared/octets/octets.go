// Package octets reads and writes identifiers as people write them: text, or octets in hexadecimal.
package octets

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Max bounds identifiers of the configuration. Longer ones of a packet match nothing.
const Max = 255

// Parse reads an identifier as people write it: text, or hex after 0x.
func Parse(s string) ([]byte, error) {
	if digits, found := strings.CutPrefix(s, "0x"); found {
		return parseHex(s, digits)
	}
	if s == "" {
		return nil, errors.New("is empty; give text, or 0x and hex")
	}
	return bounded([]byte(s))
}

// ParseHex reads an identifier that is never text: ff:00:01, ff-00-01, ff00.01, ff0001 or 0xff0001.
func ParseHex(s string) ([]byte, error) { return parseHex(s, strings.TrimPrefix(s, "0x")) }

// Decode reads hexadecimal digits, two per octet, with colons, dashes, dots or nothing between.
func Decode(digits string) ([]byte, error) {
	b := []byte{} // not nil, also without digits
	isSeparator := func(r rune) bool { return r == ':' || r == '-' || r == '.' }
	for rest := digits; ; {
		group := rest
		at := strings.IndexFunc(rest, isSeparator)
		if at >= 0 {
			group, rest = rest[:at], rest[at+1:]
		}
		octets, err := hex.DecodeString(group)
		if err != nil {
			return nil, err
		}
		if len(octets) == 0 && digits != "" {
			return nil, errors.New("a separator without digits beside it")
		}
		b = append(b, octets...)
		if at < 0 {
			return b, nil
		}
	}
}

// ParseHWAddress reads a hardware address as any device writes it: 02:00:5e:10:00:01,
// 2-0-5E-10-0-1, 0200.5e10.0001, 02005e-100001, 02 00 5e 10 00 01 or 0x02005e100001.
func ParseHWAddress(s string) ([]byte, error) {
	digits := strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "0x")
	groups := strings.FieldsFunc(digits, func(r rune) bool { return r == ':' || r == '-' || r == ' ' })
	if len(groups) > 1 {
		for i, g := range groups {
			if len(g) == 1 { // an octet without its leading zero
				groups[i] = "0" + g
			}
		}
		if n := strings.Count(digits, ":") + strings.Count(digits, "-") +
			strings.Count(digits, " "); n == len(groups)-1 {
			digits = strings.Join(groups, ":")
		}
	}
	return parseHex(s, digits)
}

// parseHex reads the digits of s.
func parseHex(s, digits string) ([]byte, error) {
	b, err := Decode(digits)
	if err != nil || len(b) == 0 {
		return nil, fmt.Errorf("%q must be hex with two digits per octet", s)
	}
	return bounded(b)
}

// RemoteIDKind is what ParseRemoteID takes.
const RemoteIDKind = "the enterprise number and the identifier, such as 3561:line-7 or 3561:0x0a0b, or 0x and the " +
	"whole option in hex"

// ParseRemoteID reads enterprise:value, or the whole option 37 as hex after 0x (RFC 4649 section 3:
// four octets of enterprise number, then the identifier). It also reads the option as relays and
// captures show it, 00:00:0d:e9:01: nobody begins an enterprise number with 00.
func ParseRemoteID(s string) ([]byte, error) {
	if strings.HasPrefix(s, "00") {
		if b, err := Decode(s); err == nil && len(b) >= 5 {
			return bounded(b)
		}
	}
	if digits, found := strings.CutPrefix(s, "0x"); found {
		b, err := parseHex(s, digits)
		if err == nil && len(b) < 5 {
			return nil, fmt.Errorf("%q is too short; must be %s", s, RemoteIDKind)
		}
		return b, err
	}
	number, id, found := strings.Cut(s, ":")
	n, err := strconv.ParseUint(number, 10, 32)
	if !found || err != nil || id == "" {
		return nil, fmt.Errorf("%q must be %s", s, RemoteIDKind)
	}
	octets := []byte(id)
	if digits, isHex := strings.CutPrefix(id, "0x"); isHex {
		if octets, err = parseHex(s, digits); err != nil {
			return nil, err
		}
	}
	return bounded(append([]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, octets...))
}

// ShowRemoteID gives an option 37 as ParseRemoteID takes it: the enterprise number, a colon and the
// identifier. One that is too short for that is 0x and hex.
func ShowRemoteID(b []byte) string {
	if len(b) < 5 {
		return "0x" + hex.EncodeToString(b)
	}
	return strconv.FormatUint(uint64(binary.BigEndian.Uint32(b)), 10) + ":" + Show(b[4:])
}

func bounded(b []byte) ([]byte, error) {
	if len(b) > Max {
		return nil, fmt.Errorf("has %d octets; at most %d are possible", len(b), Max)
	}
	return b, nil
}

// Show gives an identifier as text where it is printable, else as 0x
// and hex. Text may have blanks, but not at its ends, where nobody sees them.
func Show(b []byte) string {
	text := len(b) < 2 || b[0] != '0' || b[1] != 'x' // else it would be read as hex
	for i, c := range b {
		blank := c == ' ' && i > 0 && i < len(b)-1
		text = text && (blank || (c > 0x20 && c < 0x7f))
	}
	if !text {
		return "0x" + hex.EncodeToString(b)
	}
	return string(b)
}

// AppendHex appends v in hexadecimal, the octets separated by colons.
func AppendHex(dst, v []byte) []byte {
	for i := range v {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, v[i:i+1])
	}
	return dst
}
