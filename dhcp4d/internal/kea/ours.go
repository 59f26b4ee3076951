package kea

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// option writes the octets of an option as the subnets document has them: by name and as people
// read it where that gives the same octets, else by code and in hex. The problem says why it cannot
// be configured.
func option(code byte, wire []byte) (key string, v *yaml.Node, problem string) {
	if name, v := readable(code, wire); v != nil {
		if got, _ := encoded(name, v); bytes.Equal(got, wire) || (code == 119 && sameNames(got, wire)) {
			return name, v, ""
		}
	}
	key, v = strconv.Itoa(int(code)), str(fmt.Sprintf("0x%x", wire))
	if _, problem = encoded(key, v); problem != "" {
		return "", nil, problem
	}
	return key, v, ""
}

// encoded are the octets of an option of the document.
func encoded(key string, v *yaml.Node) (wire []byte, problem string) {
	_, wire, _ = encode.Option(&yaml.Node{Kind: yaml.ScalarNode, Value: key}, v,
		func(_ *yaml.Node, _, what string) { problem = what })
	return wire, problem
}

// readable is a value as people write it, if the kind of the option has such a form.
func readable(code byte, wire []byte) (name string, v *yaml.Node) {
	kind := ""
	for _, d := range encode.Definitions() {
		if d.Code == code && d.Refused() == "" {
			name, kind = d.Name, d.Kind()
		}
	}
	n := uint64(0)
	for _, b := range wire[:min(8, len(wire))] {
		n = n<<8 | uint64(b)
	}
	switch kind {
	case "":
		return "", nil
	case "text":
		return name, str(string(wire))
	case "text, or 0x and hex":
		return name, str(octets.Show(wire))
	case "hex":
		return name, str(fmt.Sprintf("0x%x", wire))
	case "true or false":
		return name, scalar(strconv.FormatBool(n == 1))
	case "number of 8 bits", "number of 16 bits", "number of 32 bits":
		return name, scalar(strconv.FormatUint(n, 10))
	case "number of 32 bits with sign":
		return name, scalar(strconv.Itoa(int(int32(n))))
	case "domain name", "list of domain names":
		names := labels(wire)
		if kind == "domain name" && len(names) == 1 {
			return name, str(names[0])
		}
		return name, flow(strs(names)...)
	case "mapping of sub-option code to text or 0x and hex; or all of it in hex":
		return name, subOptions(wire)
	case "mapping of enterprise number to text or 0x and hex":
		if m, rest := perVendor(wire), len(wire); m != nil && rest > 5 && int(wire[5]) == len(wire)-6 {
			m.Content[1] = str(octets.Show(wire[6:]))
			return name, m
		}
		return name, nil
	case "mapping of enterprise number to a mapping of sub-option code to text or 0x and hex":
		return name, perVendor(wire)
	}
	return name, several(kind, wire)
}

// several is a list of values of one length, or one address.
func several(kind string, wire []byte) *yaml.Node {
	var all []*yaml.Node
	each := func(size int, show func(b []byte) string) {
		for rest := wire; len(rest) >= size; rest = rest[size:] {
			all = append(all, scalar(show(rest[:size])))
		}
	}
	address := func(b []byte) string { a, _ := netip.AddrFromSlice(b[:4]); return a.String() }
	switch {
	case strings.HasPrefix(kind, "list of numbers"):
		each(2, func(b []byte) string { return strconv.Itoa(int(binary.BigEndian.Uint16(b))) })
	case kind == "list of IPv4 prefixes":
		each(8, func(b []byte) string {
			bits := 0
			for m := binary.BigEndian.Uint32(b[4:]); m&(1<<31) != 0; m <<= 1 {
				bits++
			}
			return address(b) + "/" + strconv.Itoa(bits)
		})
	case strings.HasPrefix(kind, "list of routes to hosts"):
		each(8, func(b []byte) string { return address(b) + " via " + address(b[4:]) })
	case strings.HasPrefix(kind, "list of routes"):
		for rest := wire; len(rest) > 0; {
			width := (int(rest[0]) + 7) / 8
			if rest[0] > 32 || len(rest) < 1+width+4 {
				return nil
			}
			to := address(append(bytes.Clone(rest[1:1+width]), 0, 0, 0, 0))
			route := fmt.Sprintf("%s/%d via %s", to, rest[0], address(rest[1+width:]))
			if rest[0] == 0 {
				route = "default via " + address(rest[1:])
			}
			if r := rest[1+width:]; bytes.Equal(r[:4], make([]byte, 4)) {
				route = fmt.Sprintf("%s/%d on-link", to, rest[0])
			}
			all, rest = append(all, scalar(route)), rest[1+width+4:]
		}
	case strings.Contains(kind, "IPv4 address"), kind == "subnet mask":
		each(4, address)
		if !strings.HasPrefix(kind, "list") && len(all) == 1 {
			return all[0]
		}
	}
	if all == nil {
		return nil
	}
	return flow(all...)
}

// subOptions is a list of code, length and value as a mapping, nil if it is none.
func subOptions(wire []byte) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for rest := wire; len(rest) > 0; {
		if len(rest) < 3 || rest[0] == 0 || rest[0] == 255 || len(rest) < 2+int(rest[1]) || rest[1] == 0 {
			return nil
		}
		m.Content = append(m.Content, scalar(strconv.Itoa(int(rest[0]))), str(octets.Show(rest[2:2+rest[1]])))
		rest = rest[2+rest[1]:]
	}
	return m
}

// perVendor is option 125 as a mapping, nil if it is none.
func perVendor(wire []byte) *yaml.Node {
	m := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	for rest := wire; len(rest) > 0; {
		if len(rest) < 5 || len(rest) < 5+int(rest[4]) {
			return nil
		}
		of := subOptions(rest[5 : 5+rest[4]])
		if of == nil {
			of = str(fmt.Sprintf("0x%x", rest[5:5+rest[4]]))
		}
		m.Content = append(m.Content, scalar(strconv.Itoa(int(binary.BigEndian.Uint32(rest)))), of)
		rest = rest[5+rest[4]:]
	}
	return m
}

// labels are the domain names of a list, also with pointers into it (RFC 1035 section 4.1.4). What
// is none ends the list.
func labels(wire []byte) (names []string) {
	for at := 0; at < len(wire); {
		var parts []string
		next := -1
		for i, steps := at, 0; ; steps++ {
			if i >= len(wire) || steps > 255 {
				return names
			}
			n := int(wire[i])
			if n >= 0xc0 && i+1 < len(wire) {
				if next < 0 {
					next = i + 2
				}
				i = (n&0x3f)<<8 | int(wire[i+1])
				continue
			}
			if n == 0 {
				if next < 0 {
					next = i + 1
				}
				break
			}
			if i+1+n > len(wire) {
				return names
			}
			parts = append(parts, string(wire[i+1:i+1+n]))
			i += 1 + n
		}
		names = append(names, strings.Join(parts, "."))
		at = next
	}
	return names
}

// sameNames reports whether two lists of domain names are the same, compressed or not.
func sameNames(a, b []byte) bool {
	return strings.EqualFold(strings.Join(labels(a), " "), strings.Join(labels(b), " "))
}

// The nodes of a document.
