package config

import (
	"cmp"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// level holds what one level of the document configures. A level is the top, or a subnet.
type level struct {
	network.Policy
	options optionsDoc        // of this level only
	classes classList         // of this level only
	routing []routing         // of the classes that configure default routes
	scope   *expression.Scope // the names of classes of this level and those above
	marked  map[string]int    // numbers of classes that only rules put queries into; nil in a subnet

	flexAt  *value            // the flexible identifier
	flex    *expression.Value // compiled
	limitAt *value            // what the limit counts by

	// The values of keys, for checks that compare several of them.
	leaseAt, timersAt, serverAt *value
}

// levelFields returns the keys that the document's top and each subnet have in common.
func levelFields() []field[level] {
	times := timesFields(func(l *level) (*lease.Times, **value) { return &l.Lease.Times, &l.leaseAt })
	return []field[level]{
		{"server-id", "IPv4 address", "server identifier (option 54); need not be an address of this host, " +
			"but must be routed to where clients' renewals are taken up, and differ between the servers of a subnet",
			func(r *reader, v *value, l *level) {
				if r.addr4(v, &l.ServerID) {
					l.serverAt = v
				}
			}},
		{"authoritative", "true or false", "whether clients that ask for an address that this server does not know " +
			"are refused, or left to another server", func(r *reader, v *value, l *level) {
			r.Boolean(v, &l.Authoritative)
		}},
		times[0], times[1], times[2],
		{"renewal-time", "duration or factor", "when a client begins to renew (option 58), 0.5 if not given; given " +
			"here, it is sent to every client", func(r *reader, v *value, l *level) {
			r.timer(v, &l.Lease.Renewal)
			l.Lease.SendTimers, l.timersAt = true, v
		}},
		{"rebinding-time", "duration or factor", "when a client begins to rebind (option 59), 0.875 if not given; " +
			"given here, it is sent to every client", func(r *reader, v *value, l *level) {
			r.timer(v, &l.Lease.Rebinding)
			l.Lease.SendTimers, l.timersAt = true, v
		}},
		{"offer-hold", "duration", "how long an offered address is held for its client", func(r *reader, v *value, l *level) {
			r.seconds(v, &l.OfferHold)
		}},
		{"decline-time", "duration", "how long an address that a client declined is kept back",
			func(r *reader, v *value, l *level) {
				r.seconds(v, &l.DeclineTime)
			}},
		{"limit", "number", "most leases, offers and addresses in quarantine of one attachment point; 0 is no limit",
			func(r *reader, v *value, l *level) {
				r.number(v, 0, 1<<31-1, &l.Limit)
			}},
		{"limit-by", testKind, "what the limit counts by in place of the attachment point: the leases for which this " +
			"value is the same; where it is empty, the attachment point counts", func(_ *reader, v *value, l *level) {
			l.limitAt = v
		}},
		{"moves", "when-silent, follow or refuse", "what becomes of the lease of a client identifier that turns up " +
			"at another attachment point: by default it follows only when its client has not renewed it until " +
			"rebinding-time, and before that whoever sends the identifier is served as a new client; follow takes it " +
			"along at once; refuse leaves it where it is, and who sends the identifier from elsewhere gets no answer",
			func(r *reader, v *value, l *level) {
				r.moves(v, &l.Moves)
			}},
		{"v6-only-wait", "duration or 0", "marks the network as IPv6-mostly: clients that ask for option 108 do " +
			"without IPv4 for so long (RFC 8925); the same as the option v6-only-preferred",
			func(r *reader, v *value, l *level) {
				r.v6OnlyWait(v, &l.options)
			}},
		{"next-server", "IPv4 address", "address of the boot server (siaddr)", func(r *reader, v *value, l *level) {
			r.addr4(v, &l.NextServer)
		}},
		{"server-hostname", "text", "name of the boot server (sname), at most 63 octets",
			func(r *reader, v *value, l *level) {
				r.text(v, 63, &l.ServerHostname)
			}},
		{"boot-file-name", "text", "boot file (file), at most 127 octets", func(r *reader, v *value, l *level) {
			r.text(v, 127, &l.BootFileName)
		}},
		{"pad-to-300", "true or false", "fills replies with zeros up to 300 octets, " +
			"for old clients behind a 4o6 relay agent", func(r *reader, v *value, l *level) {
			r.Boolean(v, &l.PadTo300)
		}},
		{"ignore-client-id", "true or false", "the hardware address alone is the client, " +
			"whatever client identifier it sends, such as a boot loader and then the system; " +
			"a client without a hardware address keeps its identifier", func(r *reader, v *value, l *level) {
			r.Boolean(v, &l.IgnoreID)
		}},
		{"flex-id", testKind, "what tells clients apart whose reservations give flex-id; where it is empty, " +
			"a client has no such reservation", func(_ *reader, v *value, l *level) {
			l.flexAt = v
		}},
		{"exclude-first-last-24", "true or false", "no pool hands out an address that ends in .0 or .255, " +
			"which some devices take for a network's own or a broadcast address; reservations may have them",
			func(r *reader, v *value, l *level) {
				r.Boolean(v, &l.SkipEnds)
			}},
		{"options", "mapping of option name or code to value", "DHCPv4 options, sent to clients that ask for them",
			func(r *reader, v *value, l *level) {
				r.options(v, &l.options, true)
			}},
		{"always-send", "list of option names or codes", "options that are sent, where they are configured, " +
			"also to clients that do not ask for them", func(r *reader, v *value, l *level) { r.alwaysSend(v, &l.options) }},
		{"no-options", "list of option names or codes", "options that clients do not get from parts that go after " +
			"this one, such as the document's top", func(r *reader, v *value, l *level) {
			r.noOptions(v, &l.options, true)
		}},
		{"classes", "list of classes", "what clients of a kind get; the later classes win, " +
			"and those of a subnet over those at the top", func(r *reader, v *value, l *level) {
			r.classes(v, l)
		}},
	}
}

// moves reads a policy for moves.
func (r *reader) moves(v *value, into *lease.Moves) {
	const words = "when-silent, follow or refuse"
	switch s, ok := r.Scalar(v, words); {
	case !ok:
	case s == "when-silent":
		*into = lease.MoveWhenSilent
	case s == "follow":
		*into = lease.MoveAtOnce
	case s == "refuse":
		*into = lease.MoveNever
	default:
		r.Fail(v, "%q must be %s", s, words)
	}
}

// v6OnlyWait reads the value of option 108 (RFC 8925 section 3.1).
func (r *reader) v6OnlyWait(v *value, into *optionsDoc) {
	var wait uint32
	if (v.Kind != yaml.ScalarNode || v.Value != "0") && !r.seconds(v, &wait) {
		return
	}
	r.putOption(v, into, dhcp4.OptIPv6OnlyPreferred, []byte{byte(wait >> 24), byte(wait >> 16), byte(wait >> 8),
		byte(wait)})
}

// options reads a mapping of options. A pool cannot have option 108, which decides whether a client
// gets an address at all, and so is needed before there is a pool.
func (r *reader) options(v *value, into *optionsDoc, addressless bool) {
	if v.Kind != yaml.MappingNode {
		r.Fail(v, "must be a mapping of option names or codes to values")
		return
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		key, ok := r.Key(v, i, "the name or the code of an option")
		if !ok {
			continue
		}
		if expr := expressionOf(v.Within(key.Value, v.Content[i+1])); expr != nil {
			r.computes(key, expr, into)
			continue
		}
		code, wire, ok := encode.Option(v.Content[i], v.Content[i+1], func(at *yaml.Node, path, problem string) {
			r.FailAt(at, key.Path()+path, problem)
		})
		switch {
		case ok && code == dhcp4.OptIPv6OnlyPreferred && !addressless:
			r.Fail(key, "decides whether a client needs an address, and so cannot depend on it; configure it for the "+
				"subnet, a class or a reservation")
		case ok:
			r.putOption(key, into, code, wire)
		}
	}
}

// alwaysSend reads the options that are sent to clients that do not ask for them.
func (r *reader) alwaysSend(v *value, into *optionsDoc) {
	for _, item := range r.List(v, "option names or codes") {
		if item.Kind != yaml.ScalarNode || item.Value == "" {
			r.Fail(item, "must be the name or the code of an option")
			continue
		}
		code, ok := encode.Code(item.Node,
			func(at *yaml.Node, path, problem string) { r.FailAt(at, item.Path()+path, problem) })
		switch {
		case ok && code == dhcp4.OptIPv6OnlyPreferred:
			r.Fail(item, "is for clients only that list it (RFC 8925 section 3.3); leave it out")
		case ok:
			into.Always(code)
		}
	}
}

// timesFields returns the keys of lease times. Of returns the times, and where the value of a key
// is kept.
func timesFields[T any](of func(*T) (times *lease.Times, at **value)) []field[T] {
	read := func(which func(*lease.Times) *uint32) func(r *reader, v *value, into *T) {
		return func(r *reader, v *value, into *T) {
			times, at := of(into)
			r.leaseTime(v, which(times))
			*at = v
		}
	}
	return []field[T]{
		{"lease-time", "duration or infinite", "lease time of clients that do not ask for one",
			read(func(t *lease.Times) *uint32 { return &t.Default })},
		{"min-lease-time", "duration", "least lease time of clients that ask for one; lease-time if not given",
			read(func(t *lease.Times) *uint32 { return &t.Min })},
		{"max-lease-time", "duration or infinite", "greatest lease time of clients that ask for one; lease-time if not given",
			read(func(t *lease.Times) *uint32 { return &t.Max })},
	}
}

// completeTimes sets the bounds that are not given, and checks them. At is the value of a key, nil
// if none is given here.
func (r *reader) completeTimes(t *lease.Times, at *value) {
	t.Min, t.Max = cmp.Or(t.Min, t.Default), cmp.Or(t.Max, t.Default)
	if at != nil && (t.Min > t.Default || t.Default > t.Max) {
		r.Fail(at, "min-lease-time %s, lease-time %s and max-lease-time %s must not descend", showSeconds(t.Min),
			showSeconds(t.Default), showSeconds(t.Max))
	}
}

// checkTimes completes the times of a level and checks them against each other.
func (r *reader) checkTimes(l *level) {
	t := &l.Lease
	r.completeTimes(&t.Times, l.leaseAt)
	if l.timersAt == nil || t.Default == lease.Infinite {
		return
	}
	if t1, t2 := t.Renewal.Of(t.Default), t.Rebinding.Of(t.Default); t1 >= t2 || t2 >= t.Default {
		r.Fail(l.timersAt, "renewal-time %s, rebinding-time %s and lease-time %s must ascend", showSeconds(t1),
			showSeconds(t2), showSeconds(t.Default))
	}
}
