// Package option turns the DHCPv4 options of the configuration into the
// octets that go on the wire.
//
// It owns the table of options (name, code, type; RFC 2132 and later ones),
// the encoders with their checks, and [Set], the compiled form that the packet
// path looks codes up in. Everything is checked and encoded when the
// configuration is read; nothing here runs per packet but Lookup.
package option
