package encode

import (
	"encoding/binary"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// encapsulated encodes sub-options (RFC 2132 section 8.4): code, length and
// value of each, in the order of the document; or takes all of it in hex.
func (e *encoder) encapsulated(v *yaml.Node, path string) []byte {
	if v.Kind != yaml.MappingNode {
		return e.hex(v, path)
	}
	var wire []byte
	used := map[uint64]bool{}
	e.pairs(v, path, func(key, value *yaml.Node, path string) {
		code, ok := e.number(key, path, 1, 254, used, "a sub-option code")
		s, given := e.text(value, path, "text, or 0x and hex")
		if !ok || !given {
			return
		}
		b := e.textOrHex(value, path, s)
		if len(b) > 255 {
			e.report(value, path, "is longer than 255 octets")
			return
		}
		wire = append(append(wire, byte(code), byte(len(b))), b...)
	})
	return wire
}

// vendorClasses encodes option 124 (RFC 3925 section 3): per vendor the
// enterprise number, a length, and a list of length and class.
func (e *encoder) vendorClasses(v *yaml.Node) []byte {
	return e.perVendor(v, func(value *yaml.Node, path string) []byte {
		s, ok := e.text(value, path, "text, or 0x and hex")
		if !ok {
			return nil
		}
		b := e.textOrHex(value, path, s)
		return append([]byte{byte(min(len(b), 255))}, b...)
	})
}

// perVendor encodes options 124 and 125: for each vendor its enterprise number,
// a length and the data.
func (e *encoder) perVendor(v *yaml.Node, data func(value *yaml.Node, path string) []byte) []byte {
	if v.Kind != yaml.MappingNode {
		return e.hex(v, "")
	}
	var wire []byte
	used := map[uint64]bool{}
	e.pairs(v, "", func(key, value *yaml.Node, path string) {
		enterprise, ok := e.number(key, path, 1, 1<<32-1, used, "an enterprise number")
		b := data(value, path)
		if len(b) > 255 {
			e.report(value, path, "is longer than 255 octets")
		}
		if !ok || len(b) > 255 {
			return
		}
		wire = binary.BigEndian.AppendUint32(wire, uint32(enterprise))
		wire = append(append(wire, byte(len(b))), b...)
	})
	return wire
}

func (e *encoder) pairs(v *yaml.Node, path string, do func(key, value *yaml.Node, path string)) {
	if len(v.Content) == 0 {
		e.report(v, path, "is empty; give a value or leave the option out")
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		do(v.Content[i], v.Content[i+1], path+"."+v.Content[i].Value)
	}
}

func (e *encoder) number(key *yaml.Node, path string, least, most uint64, used map[uint64]bool,
	what string) (uint64, bool) {
	n, err := parseNumber(key.Value)
	switch {
	case key.Kind != yaml.ScalarNode || err != nil || n < least || n > most:
		e.report(key, path, fmt.Sprintf("%q must be %s, %d to %d", key.Value, what, least, most))
		return 0, false
	case used[n]:
		e.report(key, path, "is there twice")
		return 0, false
	}
	used[n] = true
	return n, true
}
