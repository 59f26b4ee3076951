package encode

import (
	"fmt"
	"net/netip"
	"strings"

	"go.yaml.in/yaml/v3"
)

// domainSearch encodes option 119 (RFC 3397): names of RFC 1035, compressed
// over the whole option.
func (e *encoder) domainSearch(v *yaml.Node) []byte {
	var wire []byte
	seen := map[string]int{}
	for i, item := range e.items(v) {
		if s, ok := e.text(item, index(v, i), "a domain name"); ok {
			wire = e.name(wire, item, index(v, i), s, seen)
		}
	}
	return wire
}

// name appends a domain name as labels (RFC 1035 section 3.1). With seen, the
// offsets of the names written so far, a known ending becomes a pointer; the
// offsets count from the start of wire, which is the start of the option.
func (e *encoder) name(wire []byte, v *yaml.Node, path, s string, seen map[string]int) []byte {
	name := strings.TrimSuffix(s, ".")
	if problem := checkName(name); problem != "" {
		e.report(v, path, fmt.Sprintf("%q is no domain name: %s", s, problem))
		return wire
	}
	for rest := name; rest != ""; {
		ending := strings.ToLower(rest)
		if at, ok := seen[ending]; ok {
			return append(wire, 0xc0|byte(at>>8), byte(at))
		}
		if seen != nil && len(wire) < 1<<14 { // a pointer has 14 bits
			seen[ending] = len(wire)
		}
		label, more, _ := strings.Cut(rest, ".")
		wire = append(wire, byte(len(label)))
		wire = append(wire, label...)
		rest = more
	}
	return append(wire, 0)
}

func checkName(name string) string {
	if len(name)+2 > 255 {
		return "it is longer than 253 characters"
	}
	for label := range strings.SplitSeq(name, ".") {
		switch {
		case label == "":
			return "a label is empty"
		case len(label) > 63:
			return "a label is longer than 63 characters"
		case strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "":
			return "labels hold letters, digits, - and _ (write others in their xn-- form)"
		}
	}
	return ""
}

// sip encodes option 120 (RFC 3361): names after a 0, or addresses after a 1.
// The names are not compressed, as the RFC does not say what pointers count from.
func (e *encoder) sip(v *yaml.Node) []byte {
	items := e.items(v)
	var addresses, domains []byte
	for i, item := range items {
		s, ok := e.text(item, index(v, i), "a domain name or an IPv4 address")
		if !ok {
			continue
		}
		if a, err := netip.ParseAddr(s); err != nil {
			if domains == nil {
				domains = []byte{0}
			}
			domains = e.name(domains, item, index(v, i), s, nil)
		} else if !unicast(a) {
			e.report(item, index(v, i), fmt.Sprintf("%s is not the IPv4 address of a host", s))
		} else {
			addresses = append(addresses, a.AsSlice()...)
		}
	}
	switch {
	case addresses != nil && domains != nil:
		e.report(v, "", "holds names and addresses; the option takes one or the other")
		return nil
	case addresses != nil:
		return append([]byte{1}, addresses...)
	}
	return domains
}
