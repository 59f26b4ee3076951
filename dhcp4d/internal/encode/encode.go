// Package encode turns the DHCPv4 options of the subnets document into the octets that go on the
// wire.
//
// It owns the table of options (name, code, type; RFC 2132 and later ones) and the encoders with
// their checks. The options that the server writes itself (message type, times, identifiers) cannot
// be configured, and the refusal says what to use instead.
//
// To add an option: add its row in table.go. To add a type: add its encoder in kinds.go and its row
// in the table of kinds.
package encode

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// Report takes one mistake: the node it is at, its path below the option's
// value ("" or "[2]"), and what is wrong and what to do.
type Report func(at *yaml.Node, path, problem string)

// Option encodes one option of the document. The key is an option's name, or
// its code, in which case the value is given in hex. Every mistake is reported;
// ok says that there was none.
func Option(key, value *yaml.Node, report Report) (code byte, wire []byte, ok bool) {
	failed := false
	e := encoder{report: func(at *yaml.Node, path, problem string) {
		failed = true
		report(at, path, problem)
	}}
	code, def := e.find(key)
	if failed {
		return 0, nil, false
	}
	if isCode(key.Value) {
		wire = e.hex(value, "")
		if !failed && def != nil {
			e.checkLength(value, def, len(wire))
		}
	} else {
		wire = e.encode(value, def)
	}
	if !failed && len(wire) == 0 {
		// RFC 2132 section 2: no such option has length 0.
		e.report(value, "", "is empty; give a value or leave the option out")
	}
	return code, wire, !failed
}

// Unit returns the length of an option with a code, or with several of its elements; 0 is any
// length.
func Unit(code byte) (octets int, several bool) {
	def := byCode[code]
	if def == nil {
		return 0, true
	}
	k := kinds[def.kind]
	return k.unit, k.list
}

// Code reads the name or the code of an option that can be configured. Every mistake is reported;
// ok says that there was none.
func Code(key *yaml.Node, report Report) (code byte, ok bool) {
	ok = true
	e := encoder{report: func(at *yaml.Node, path, problem string) {
		ok = false
		report(at, path, problem)
	}}
	code, _ = e.find(key)
	return code, ok
}

func isCode(key string) bool { return key != "" && strings.Trim(key, "0123456789") == "" }

// find resolves an option's name or code. The definition is nil for a code
// without one.
func (e *encoder) find(key *yaml.Node) (byte, *Definition) {
	if !isCode(key.Value) {
		def, ok := byName[key.Value]
		if !ok {
			e.report(key, "", unknownName(key.Value))
			return 0, nil
		}
		if why := refused[def.Code]; why != "" {
			e.report(key, "", "cannot be configured: "+why)
		}
		return def.Code, def
	}
	n, err := strconv.ParseUint(key.Value, 10, 64)
	if err != nil || n < 1 || n > 254 {
		e.report(key, "", "is no option code; codes are 1 to 254")
		return 0, nil
	}
	code := byte(n)
	if why := refused[code]; why != "" {
		e.report(key, "", "cannot be configured: "+why)
	}
	return code, byCode[code]
}

func unknownName(name string) string {
	if near := nearest(name); near != "" {
		return fmt.Sprintf("is no option known by name; did you mean %s? Options without a name are given by code, "+
			"with the value in hex", near)
	}
	return "is no option known by name; give it by code, with the value in hex"
}

// nearest returns the known name that a misspelt one most likely means.
func nearest(name string) string {
	plain := strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(name))
	var known []string
	for i := range table {
		known = append(known, table[i].names()...)
	}
	return spelling.Nearest(plain, known, 2)
}
