package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
)

// object is a part of a JSON Schema.
type object = map[string]any

// draft is the version of JSON Schema that editors know best.
const draft = "http://json-schema.org/draft-07/schema#"

// The parts of patterns. They are of the language that Go and browsers have in common.
const (
	byteRegexp   = `(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])`
	ipv4Regexp   = byteRegexp + `(\.` + byteRegexp + `){3}`
	bits4Regexp  = `/(3[0-2]|[12]?[0-9])`
	hexRegexp    = `(0x)?[0-9A-Fa-f]{2}([:.-]?[0-9A-Fa-f]{2})*`
	spanRegexp   = `\s*` + ipv4Regexp + `\s*(-\s*` + ipv4Regexp + `\s*)?`
	timeRegexp   = `([0-9]+d)?[-+]?([0-9]*\.?[0-9]*(ns|us|µs|μs|ms|s|m|h))*`
	labelRegexp  = `[A-Za-z0-9_-]{1,63}`
	numberRegexp = `[0-9]+|0x[0-9A-Fa-f]+`
)

// scalars are the types that YAML may take a text for: 0x0a0b is a number, and true a boolean.
var scalars = []string{"string", "number", "boolean"}

// written is a value that is written like a pattern. An editor takes some values for numbers, and
// does not apply the pattern to those.
func written(pattern string) object {
	return object{"type": scalars[:2], "pattern": "^(" + pattern + ")$"}
}

// maybeHex is text, or 0x and hex.
func maybeHex() object {
	return object{"type": scalars, "minLength": 1, "if": object{"pattern": "^0x"},
		"then": object{"pattern": "^" + hexRegexp + "$"}}
}

func duration(words ...string) object {
	return object{"type": scalars[:2], "minimum": 1,
		"pattern": "^(" + strings.Join(append(words, "[0-9]+", timeRegexp), "|") + ")$"}
}

func numbers(least, most int64) object {
	return object{"type": []string{"integer", "string"}, "minimum": least, "maximum": most,
		"pattern": "^[-+]?(" + numberRegexp + ")$"}
}

func oneOf(words ...string) object { return object{"enum": words} }

func listOf(item object) object { return object{"type": "array", "items": item} }

// someOf is a list, or one element without a list.
func someOf(item object) object {
	return object{"if": object{"type": "array"}, "then": object{"type": "array", "items": item, "minItems": 1},
		"else": item}
}

func definition(name string) object { return object{"$ref": "#/definitions/" + name} }

// per is a mapping from numbers, or the whole value in hex.
func per(value object) object {
	return object{
		"if":   object{"type": "object"},
		"then": object{"type": "object", "minProperties": 1, "propertyNames": object{"pattern": "^(" + numberRegexp + ")$"}, "additionalProperties": value},
		"else": written(hexRegexp),
	}
}

// schemaOf is the schema of a kind of value, as the tables of keys and of options name kinds.
func schemaOf(kind string) object {
	printable := object{"type": scalars, "pattern": "^[ -~]+$"}
	addresses := written(ipv4Regexp)
	name := written(labelRegexp + `(\.` + labelRegexp + `)*\.?`)
	via := `(\s+via\s+` + ipv4Regexp + `)`
	subOptions := per(maybeHex())
	switch kind {
	case "text":
		return printable
	case "path of a file", testKind:
		return object{"type": scalars, "minLength": 1}
	case octetsKind:
		return maybeHex()
	case "text, or 0x and hex; a * at the end stands for any more":
		return object{"type": scalars, "minLength": 1}
	case "hex":
		return written(hexRegexp)
	case "hex; a * at the end stands for any more":
		return written(`(` + hexRegexp + `)?[:.-]*\*?`)
	case "list of hex":
		return listOf(written(hexRegexp))
	case "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex":
		return written(`0x[0-9A-Fa-f]{2}([:.-]?[0-9A-Fa-f]{2}){4,}|[0-9]+:[\s\S]+`)
	case "true or false":
		return object{"type": []string{"boolean", "string"}, "pattern": "^(true|false)$"}
	case "number":
		return object{"type": []string{"integer", "string"}, "minimum": 0, "maximum": 1<<32 - 1, "pattern": "^[0-9]+$"}
	case "duration":
		return duration()
	case "duration or infinite":
		return duration("infinite")
	case "duration or 0":
		s := duration()
		s["minimum"] = 0
		return s
	case "duration or factor":
		s := duration(`.*\..*`)
		delete(s, "minimum")
		s["exclusiveMinimum"] = 0
		return s
	case "when-silent, follow or refuse":
		return oneOf("when-silent", "follow", "refuse")
	case "active or drain":
		return oneOf("active", "drain")
	case "silent or nak":
		return oneOf("silent", "nak")
	case "IPv4 address", "IPv4 address, also broadcast or multicast", "subnet mask":
		return addresses
	case "list of IPv4 addresses":
		return someOf(addresses)
	case "IPv4 prefix":
		return written(ipv4Regexp + bits4Regexp)
	case "list of IPv4 prefixes":
		return someOf(written(ipv4Regexp + bits4Regexp))
	case "range or IPv4 prefix":
		return written(spanRegexp + "|" + ipv4Regexp + bits4Regexp)
	case "list of ranges":
		return listOf(schemaOf("range or IPv4 prefix"))
	case "list of ranges, IPv4 prefixes or pools":
		return listOf(object{"if": object{"type": "object"}, "then": definition("pool"),
			"else": schemaOf("range or IPv4 prefix")})
	case "IPv6 address":
		return written(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/128)?`)
	case "IPv6 prefix or address":
		return written(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?`)
	case "list of texts":
		return listOf(printable)
	case "mapping of option name or code to value":
		return object{"allOf": []object{definition("options")}}
	case "list of option names or codes":
		return listOf(definition("option"))
	case "list of subnets":
		return listOf(definition("subnet"))
	case "list of match entries":
		return listOf(definition("match"))
	case "list of reservations":
		return listOf(definition("reservation"))
	case "list of classes":
		return listOf(definition("class"))
	case "number of 8 bits":
		return numbers(0, 1<<8-1)
	case "number of 16 bits":
		return numbers(0, 1<<16-1)
	case "list of numbers of 16 bits":
		return someOf(numbers(0, 1<<16-1))
	case "number of 32 bits":
		return numbers(0, 1<<32-1)
	case "number of 32 bits with sign":
		return numbers(-1<<31, 1<<31-1)
	case "domain name":
		return name
	case "list of domain names", "list of domain names or of IPv4 addresses":
		return someOf(name)
	case "list of routes: `10.0.0.0/8 via 192.0.2.1`, `default via 192.0.2.1` or `10.0.0.0/8 on-link`":
		return someOf(written(`\s*(default|` + ipv4Regexp + bits4Regexp + `)(` + via + `|\s+on-link)\s*`))
	case "list of routes to hosts: `198.51.100.7 via 192.0.2.1`":
		return someOf(written(`\s*` + ipv4Regexp + via + `\s*`))
	case "mapping of sub-option code to text or 0x and hex; or all of it in hex":
		return subOptions
	case "mapping of enterprise number to text or 0x and hex":
		return per(maybeHex())
	case "mapping of enterprise number to a mapping of sub-option code to text or 0x and hex":
		return per(subOptions)
	}
	panic(fmt.Sprintf("config: the kind %q has no schema; give it one in schemaOf", kind))
}

// refinements are rules that a key has beyond those of its kind.
var refinements = map[string]object{
	"id":              {"minimum": 1},
	"limit":           {"maximum": 1<<31 - 1},
	"hw-type":         {"maximum": 255},
	"server-hostname": {"maxLength": 63},
	"boot-file-name":  {"maxLength": 127},
	"only":            {"minItems": 1},
}

// properties are the keys of a mapping. Any other key is a mistake.
func properties[T any](fields []field[T]) object {
	all := object{}
	for _, f := range fields {
		s := schemaOf(f.kind)
		maps.Copy(s, refinements[f.name])
		s["description"] = f.meaning
		all[f.name] = s
	}
	return object{"type": "object", "properties": all, "additionalProperties": false}
}

// with adds rules to a schema.
func (p part) with(rules object) object {
	maps.Copy(p, rules)
	return p
}

type part object

// required says that of each group at least one key must be there.
func required(groups ...[]string) []object {
	all := make([]object, 0, len(groups))
	for _, keys := range groups {
		anyOf := make([]object, 0, len(keys))
		for _, key := range keys {
			anyOf = append(anyOf, object{"required": []string{key}})
		}
		all = append(all, object{"anyOf": anyOf})
	}
	return all
}

// orComputed is the schema of an option's value, or of an expression instead.
func orComputed(s object) object {
	return object{"if": object{"type": "object", "required": []string{exprKey}}, "then": definition("computed"),
		"else": s, "description": s["description"]}
}

// optionSchemas returns the schema of the options by name and code, and that of a name or code.
func optionSchemas() (options, option object) {
	all := object{}
	var names, refused []string
	for _, d := range encode.Definitions() {
		if d.Refused() != "" {
			refused = append(refused, strconv.Itoa(int(d.Code)))
			continue
		}
		s := schemaOf(d.Kind())
		s["description"] = fmt.Sprintf("option %d: %s", d.Code, d.Kind())
		for _, name := range append([]string{d.Name}, d.Aliases...) {
			all[name] = orComputed(s)
			names = append(names, name)
		}
	}
	var codes []string
	for code := 1; code <= 254; code++ {
		if s := strconv.Itoa(code); !slices.Contains(refused, s) {
			codes = append(codes, s)
		}
	}
	code := "^0*(" + strings.Join(codes, "|") + ")$"
	options = object{
		"type": "object", "properties": all, "additionalProperties": false,
		"patternProperties": object{code: orComputed(object{"type": scalars[:2], "pattern": "^" + hexRegexp + "$",
			"description": "an option by its code, in hex"})},
	}
	option = object{"anyOf": []object{{"enum": names}, {"type": "integer", "minimum": 1, "maximum": 254},
		{"type": "string", "pattern": code}}}
	return options, option
}

// Schema returns the JSON Schema of the subnets document. The program refuses every document that
// the schema refuses, and others, such as those that contradict themselves.
func Schema() []byte {
	options, option := optionSchemas()
	subnets := listOf(definition("subnet"))
	subnets["minItems"] = 1
	subnet := properties(subnetFields(nil))
	subnet["properties"].(object)["name"].(object)["pattern"] = `^\S(.*\S)?$` // people's own letters, too
	top := part(properties(append([]field[level]{{name: "subnets", kind: "list of subnets", meaning: "the subnets"}},
		levelFields()...)))
	return show(object{
		"$schema": draft,
		"title":   "the subnets document of dhcp4d",
		"type":    []string{"array", "object"},
		"if":      object{"type": "array"},
		"then":    subnets,
		"else":    definition("document"),
		"definitions": object{
			"document": top.with(object{"required": []string{"subnets"}}),
			"subnet": part(subnet).with(object{
				"required": []string{"id", "subnet"},
				"allOf":    required([]string{"pools", "reservations", "reservations-file"}, []string{"match", "network"}),
			}),
			"pool":  part(properties(poolFields())).with(object{"required": []string{"range"}}),
			"match": part(properties(matchFields(nil))).with(object{"minProperties": 1}),
			"reservation": part(properties(reservationFields)).with(object{
				"allOf": required([]string{"address", "pools", "refuse", "options", "always-send", "no-options", "lease-time",
					"next-server", "server-hostname", "boot-file-name"}),
				"oneOf": required([]string{"client-id"}, []string{"hw-address"}, []string{"hw-addresses"},
					[]string{"interface-id", "remote-id"}, []string{"circuit-id", "agent-remote-id"},
					[]string{"flex-id"}, []string{"class"}),
			}),
			"class":   part(properties(classFields())).with(object{"allOf": required([]string{"test", "marked", "vendor-class", "user-class", "hw-address"})}),
			"options": options,
			"option":  option,
			"computed": object{"type": "object", "additionalProperties": false, "properties": object{
				exprKey: object{"type": scalars, "minLength": 1,
					"description": "an expression, which gives the value for each query"},
			}},
		},
	})
}

// ReservationsSchema returns the JSON Schema of the file of reservations, in which each line is an
// object of its columns.
func ReservationsSchema() []byte {
	columns := make([]field[reservationDoc], 0, len(fileKeys))
	for _, f := range reservationFields {
		if slices.Contains(fileKeys, f.name) {
			columns = append(columns, f)
		}
	}
	line := part(properties(columns)).with(object{
		"allOf": required([]string{"address", "lease-time", "next-server", "server-hostname", "boot-file-name"}),
		"oneOf": required([]string{"client-id"}, []string{"hw-address"}, []string{"interface-id", "remote-id"},
			[]string{"circuit-id", "agent-remote-id"}, []string{"flex-id"}, []string{"class"}),
	})
	return show(object{"$schema": draft, "title": "the reservations file of dhcp4d: a list of its lines",
		"type": "array", "items": line})
}

func show(schema object) []byte {
	b, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		panic(err) // the schema is made of text, numbers, lists and mappings
	}
	return append(b, '\n')
}
