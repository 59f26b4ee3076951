package config

import (
	"encoding"
	"net/netip"
	"reflect"
	"strings"
	"time"
)

// kind returns what a value of the field looks like.
func kind(field reflect.StructField) string {
	if k, ok := field.Tag.Lookup("kind"); ok {
		return k
	}
	return kindOf(field.Type)
}

func kindOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "a duration such as 90s or 1h"
	case reflect.TypeFor[netip.Addr]():
		return "an address"
	case reflect.TypeFor[netip.AddrPort]():
		return "address:port"
	case reflect.TypeFor[netip.Prefix]():
		return "a prefix"
	case reflect.TypeFor[Listen]():
		return "[address]:port"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a number"
	case reflect.Slice:
		element := strings.TrimPrefix(strings.TrimPrefix(kindOf(t.Elem()), "an "), "a ")
		return "list of " + element
	}
	return "text"
}

// isPlainSlice reports whether a type is a slice that package env splits.
func isPlainSlice(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// Elements splits a list at commas and line ends. It removes blanks around the elements, and empty
// elements.
func Elements(list string) []string {
	var elements []string
	for part := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ',' || r == '\n' }) {
		if part = strings.TrimSpace(part); part != "" {
			elements = append(elements, part)
		}
	}
	return elements
}

func joinElements(list string) string { return strings.Join(Elements(list), ",") }
