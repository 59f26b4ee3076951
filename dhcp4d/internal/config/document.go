package config

import "github.com/dhcp4o6/dhcp4o6/shared/document"

type value = document.Value

// reader collects the mistakes while a document is read.
type reader struct {
	document.Reader
	warnedOf map[*value]bool
}

// field is a key that a mapping may have. The decoder, the documentation and the schema are made
// from the tables of fields.
type field[T any] struct {
	name    string
	kind    string // what its value looks like
	meaning string
	read    func(r *reader, v *value, into *T)
}

// mapping reads the keys of a mapping into a struct.
func mapping[T any](r *reader, v *value, what string, fields []field[T], into *T) bool {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].name
	}
	return r.Mapping(v, what, names, func(i int, v *value) { fields[i].read(r, v, into) })
}
