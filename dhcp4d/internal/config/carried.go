package config

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// carriedDoc is what a class, a pool or a reservation gives its clients, as it stands in the
// document.
type carriedDoc struct {
	network.Carried
	options optionsDoc
	timesAt *value
	late    bool // known only when there is an address, as for a pool
}

// gives reports whether clients get anything.
func (c *carriedDoc) gives() bool {
	o := &c.options
	return c.IsSet() || c.timesAt != nil || len(o.computed) > 0 || o.IsSet()
}

// carriedFields returns the keys that classes, pools and reservations have in common.
func carriedFields[T any](of func(*T) *carriedDoc) []field[T] {
	times := timesFields(func(c *carriedDoc) (*lease.Times, **value) { return &c.Times, &c.timesAt })
	fields := []field[carriedDoc]{
		{"options", "mapping of option name or code to value", "options of these clients",
			func(r *reader, v *value, c *carriedDoc) {
				r.options(v, &c.options, !c.late)
			}},
		{"always-send", "list of option names or codes", "options that are sent to these clients, " +
			"where they are configured, also if they do not ask for them",
			func(r *reader, v *value, c *carriedDoc) { r.alwaysSend(v, &c.options) }},
		{"no-options", "list of option names or codes", "options that these clients do not get from parts that go " +
			"after this one", func(r *reader, v *value, c *carriedDoc) { r.noOptions(v, &c.options, !c.late) }},
		times[0], times[1], times[2],
		{"next-server", "IPv4 address", "address of their boot server (siaddr)",
			func(r *reader, v *value, c *carriedDoc) { r.addr4(v, &c.NextServer) }},
		{"server-hostname", "text", "name of their boot server (sname), at most 63 octets",
			func(r *reader, v *value, c *carriedDoc) { r.octets(v, 63, &c.ServerHostname) }},
		{"boot-file-name", "text", "their boot file (file), at most 127 octets",
			func(r *reader, v *value, c *carriedDoc) { r.octets(v, 127, &c.BootFileName) }},
	}
	all := make([]field[T], 0, len(fields))
	for _, f := range fields {
		all = append(all, field[T]{f.name, f.kind, f.meaning,
			func(r *reader, v *value, into *T) { f.read(r, v, of(into)) }})
	}
	return all
}

// refusal reads how clients are refused.
func (r *reader) refusal(v *value, into *network.Refusal) {
	var nak bool
	r.either(v, "nak", "silent", &nak)
	if *into = network.RefusedSilent; nak {
		*into = network.RefusedNak
	}
}

const refusalMeaning = "these clients are not served: no message gets an answer, " +
	"or with nak each REQUEST gets a NAK; " +
	"counted as class_refused"

// noOptions reads the options that clients do not get.
func (r *reader) noOptions(v *value, into *optionsDoc, addressless bool) {
	for _, item := range r.List(v, "option names or codes") {
		if item.Kind != yaml.ScalarNode || item.Value == "" {
			r.Fail(item, "must be the name or the code of an option")
			continue
		}
		code, ok := encode.Code(item.Node,
			func(at *yaml.Node, path, problem string) { r.FailAt(at, item.Path()+path, problem) })
		switch {
		case ok && code == dhcp4.OptIPv6OnlyPreferred && !addressless:
			r.Fail(item, "decides whether a client needs an address, and so cannot depend on it; take it away for "+
				"the subnet, a class or a reservation")
		case ok:
			into.remove(code, item)
		}
	}
}

// complete completes what was read, and reports mistakes.
func (r *reader) complete(c *carriedDoc) {
	r.checkRemoved(&c.options)
	t := &c.Times
	if c.timesAt == nil {
		return
	}
	if t.Default == 0 {
		r.Fail(c.timesAt,
			"needs lease-time beside it: what is said here of lease times replaces all that the subnet says")
		*t = lease.Times{}
		return
	}
	r.completeTimes(t, c.timesAt)
}

// checkRemoved reports options that one part of the document both configures and takes away.
func (r *reader) checkRemoved(o *optionsDoc) {
	for code, at := range o.removed {
		if o.Has(code) || slices.ContainsFunc(o.computed, func(c computedDoc) bool { return c.code == code }) {
			r.Fail(at, "option %s is configured here, too; leave one out", encode.Name(code))
		}
	}
}
