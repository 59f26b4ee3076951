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
		"if": object{"type": "object"},
		"then": object{
			"type": "object", "minProperties": 1,
			"propertyNames":        object{"pattern": "^(" + numberRegexp + ")$"},
			"additionalProperties": value,
		},
		"else": written(hexRegexp),
	}
}

// Schemas that several kinds of value share.
var (
	printable     = object{"type": scalars, "pattern": "^[ -~]+$"}
	anyText       = object{"type": scalars, "minLength": 1}
	address       = written(ipv4Regexp)
	ipv4Prefix    = written(ipv4Regexp + bits4Regexp)
	rangeOrPrefix = written(spanRegexp + "|" + ipv4Regexp + bits4Regexp)
	domainName    = written(labelRegexp + `(\.` + labelRegexp + `)*\.?`)
	subOptions    = per(maybeHex())
)

// viaRegexp is the rest of a route by a router.
const viaRegexp = `(\s+via\s+` + ipv4Regexp + `)`

// kindSchemas are the schemas of the kinds of value, as the tables of keys and of options name
// kinds.
var kindSchemas = map[string]object{
	"text":                 printable,
	"list of texts":        listOf(printable),
	"path of a file":       anyText,
	testKind:               anyText,
	"hex":                  written(hexRegexp),
	"list of hex":          listOf(written(hexRegexp)),
	octetsKind:             maybeHex(),
	"domain name":          domainName,
	"list of domain names": someOf(domainName),
	"list of domain names or of IPv4 addresses": someOf(domainName),

	// Patterns of match entries and classes, and names of clients.
	"text, or 0x and hex; a * at the end stands for any more": anyText,
	"hex; a * at the end stands for any more":                 written(`(` + hexRegexp + `)?[:.-]*\*?`),
	"enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex": written(
		`0x[0-9A-Fa-f]{2}([:.-]?[0-9A-Fa-f]{2}){4,}|[0-9]+:[\s\S]+`),

	"true or false":                 {"type": []string{"boolean", "string"}, "pattern": "^(true|false)$"},
	"when-silent, follow or refuse": oneOf("when-silent", "follow", "refuse"),
	"active or drain":               oneOf("active", "drain"),
	"silent or nak":                 oneOf("silent", "nak"),

	"number": {
		"type": []string{"integer", "string"}, "minimum": 0, "maximum": 1<<32 - 1, "pattern": "^[0-9]+$",
	},
	"number of 8 bits":            numbers(0, 1<<8-1),
	"number of 16 bits":           numbers(0, 1<<16-1),
	"list of numbers of 16 bits":  someOf(numbers(0, 1<<16-1)),
	"number of 32 bits":           numbers(0, 1<<32-1),
	"number of 32 bits with sign": numbers(-1<<31, 1<<31-1),

	"duration":             duration(),
	"duration or infinite": duration("infinite"),
	"duration or 0":        durationOrZero(),
	"duration or factor":   durationOrFactor(),

	"IPv4 address": address,
	"IPv4 address, also broadcast or multicast": address,
	"subnet mask":            address,
	"list of IPv4 addresses": someOf(address),
	"IPv4 prefix":            ipv4Prefix,
	"list of IPv4 prefixes":  someOf(ipv4Prefix),
	"range or IPv4 prefix":   rangeOrPrefix,
	"list of ranges":         listOf(rangeOrPrefix),
	"list of ranges, IPv4 prefixes or pools": listOf(
		object{"if": object{"type": "object"}, "then": definition("pool"), "else": rangeOrPrefix}),
	"IPv6 address":           written(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/128)?`),
	"IPv6 prefix or address": written(`[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?`),

	"list of subnets":       listOf(definition("subnet")),
	"list of match entries": listOf(definition("match")),
	"list of reservations":  listOf(definition("reservation")),
	"list of classes":       listOf(definition("class")),

	"mapping of option name or code to value": {"allOf": []object{definition("options")}},
	"list of option names or codes":           listOf(definition("option")),
	"list of routes: `10.0.0.0/8 via 192.0.2.1`, `default via 192.0.2.1` or `10.0.0.0/8 on-link`": someOf(
		written(`\s*(default|` + ipv4Regexp + bits4Regexp + `)(` + viaRegexp + `|\s+on-link)\s*`)),
	"list of routes to hosts: `198.51.100.7 via 192.0.2.1`": someOf(
		written(`\s*` + ipv4Regexp + viaRegexp + `\s*`)),
	"mapping of sub-option code to text or 0x and hex; or all of it in hex":              subOptions,
	"mapping of enterprise number to text or 0x and hex":                                 per(maybeHex()),
	"mapping of enterprise number to a mapping of sub-option code to text or 0x and hex": per(subOptions),
}

func durationOrZero() object {
	s := duration()
	s["minimum"] = 0
	return s
}

func durationOrFactor() object {
	s := duration(`.*\..*`)
	delete(s, "minimum")
	s["exclusiveMinimum"] = 0
	return s
}

// schemaOf returns a copy of the schema of a kind, to which its caller may add keys.
func schemaOf(kind string) object {
	s, ok := kindSchemas[kind]
	if !ok {
		panic(fmt.Sprintf("config: the kind %q has no schema; give it one in kindSchemas", kind))
	}
	return maps.Clone(s)
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
			"class": part(properties(classFields())).with(object{
				"allOf": required([]string{"test", "marked", "vendor-class", "user-class", "hw-address"}),
			}),
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
