package config

import (
	"net/netip"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
)

// Infinite is the lease time that never ends (RFC 2131 section 3.3).
const Infinite = 0xffffffff

// Policy is what may be said for all subnets at the top of the document, and
// for each again. Times are seconds.
type Policy struct {
	ServerID      netip.Addr // option 54, in no pool
	Authoritative bool       // answers where another server might know better
	PadTo300      bool       // replies are filled up to 300 octets
	RefuseMoves   bool       // a client that turns up at another attachment point gets no answer

	Limit       uint32 // leases, offers and quarantine per attachment point, 0 = no limit
	OfferHold   uint32 // how long an OFFER holds its address
	DeclineTime uint32 // how long a declined address is kept back
	Lease       LeaseTimes

	NextServer     netip.Addr // siaddr, 0.0.0.0 if not set
	ServerHostname string     // sname, at most 63 octets
	BootFileName   string     // file, at most 127 octets
}

// LeaseTimes are the times of a lease.
type LeaseTimes struct {
	Default    uint32 // for clients that do not ask for a time
	Min, Max   uint32 // bounds for those that do
	SendTimers bool   // options 58 and 59 also to clients that did not ask for them
	Renewal    Timer
	Rebinding  Timer
}

// Timer is T1 or T2: a fixed time, or a part of the lease time.
type Timer struct {
	Seconds uint32 // 0: by Part
	Part    uint32 // thousandths of the lease time
}

// The parts of RFC 2131 section 4.4.5.
var (
	defaultRenewal   = Timer{Part: 500}
	defaultRebinding = Timer{Part: 875}
)

func (t Timer) of(lease uint32) uint32 {
	if t.Seconds != 0 {
		return t.Seconds
	}
	return uint32(uint64(lease) * uint64(t.Part) / 1000)
}

// Timers returns T1 and T2 (options 58, 59) for a lease of the given seconds:
// 0 < T1 < T2 < lease. Fixed times that do not fit a short lease give way to
// the defaults. It is not ok when the lease has no end or is too short.
func (t *LeaseTimes) Timers(lease uint32) (t1, t2 uint32, ok bool) {
	if lease == Infinite {
		return 0, 0, false
	}
	t1, t2 = t.Renewal.of(lease), t.Rebinding.of(lease)
	if !(0 < t1 && t1 < t2 && t2 < lease) {
		t1, t2 = defaultRenewal.of(lease), defaultRebinding.of(lease)
	}
	return t1, t2, 0 < t1 && t1 < t2 && t2 < lease
}

// level is what one level of the document says: its top, or a subnet.
type level struct {
	Policy
	options option.Builder // of this level only
	classes []Class        // of this level and those above

	// Where the last word on these was said, for checks that need several.
	leaseAt, timersAt, serverAt *value
}

// levelFields are the keys of the document's top and of each subnet.
func levelFields() []field[level] {
	return []field[level]{
		{"server-id", "IPv4 address", "server identifier (option 54); need not be an address of this host, but must be routed to where clients' renewals are taken up, and differ between the servers of a subnet", func(r *reader, v *value, l *level) {
			if r.addr4(v, &l.ServerID) {
				l.serverAt = v
			}
		}},
		{"authoritative", "true or false", "whether clients that ask for an address that this server does not know are refused, or left to another server", func(r *reader, v *value, l *level) {
			r.boolean(v, &l.Authoritative)
		}},
		{"lease-time", "duration or infinite", "lease time of clients that do not ask for one", func(r *reader, v *value, l *level) {
			r.leaseTime(v, &l.Lease.Default)
			l.leaseAt = v
		}},
		{"min-lease-time", "duration", "least lease time of clients that ask for one; lease-time if not given", func(r *reader, v *value, l *level) {
			r.leaseTime(v, &l.Lease.Min)
			l.leaseAt = v
		}},
		{"max-lease-time", "duration or infinite", "greatest lease time of clients that ask for one; lease-time if not given", func(r *reader, v *value, l *level) {
			r.leaseTime(v, &l.Lease.Max)
			l.leaseAt = v
		}},
		{"renewal-time", "duration or factor", "when a client begins to renew (option 58), 0.5 if not given; given here, it is sent to every client", func(r *reader, v *value, l *level) {
			r.timer(v, &l.Lease.Renewal)
			l.Lease.SendTimers, l.timersAt = true, v
		}},
		{"rebinding-time", "duration or factor", "when a client begins to rebind (option 59), 0.875 if not given; given here, it is sent to every client", func(r *reader, v *value, l *level) {
			r.timer(v, &l.Lease.Rebinding)
			l.Lease.SendTimers, l.timersAt = true, v
		}},
		{"offer-hold", "duration", "how long an offered address is held for its client", func(r *reader, v *value, l *level) {
			r.seconds(v, &l.OfferHold)
		}},
		{"decline-time", "duration", "how long an address that a client declined is kept back", func(r *reader, v *value, l *level) {
			r.seconds(v, &l.DeclineTime)
		}},
		{"limit", "number", "most leases, offers and addresses in quarantine of one attachment point; 0 is no limit", func(r *reader, v *value, l *level) {
			r.number(v, 0, 1<<31-1, &l.Limit)
		}},
		{"moves", "follow or refuse", "what becomes of the lease of a client that turns up at another attachment point: it follows the client, which is the default, or stays where it is and the client gets no answer", func(r *reader, v *value, l *level) {
			r.either(v, "refuse", "follow", &l.RefuseMoves)
		}},
		{"v6-only-wait", "duration or 0", "marks the network as IPv6-mostly: clients that ask for option 108 do without IPv4 for so long (RFC 8925); the same as the option v6-only-preferred", func(r *reader, v *value, l *level) {
			r.v6OnlyWait(v, &l.options)
		}},
		{"next-server", "IPv4 address", "address of the boot server (siaddr)", func(r *reader, v *value, l *level) {
			r.addr4(v, &l.NextServer)
		}},
		{"server-hostname", "text", "name of the boot server (sname), at most 63 octets", func(r *reader, v *value, l *level) {
			r.text(v, 63, &l.ServerHostname)
		}},
		{"boot-file-name", "text", "boot file (file), at most 127 octets", func(r *reader, v *value, l *level) {
			r.text(v, 127, &l.BootFileName)
		}},
		{"pad-to-300", "true or false", "fills replies with zeros up to 300 octets, for old clients behind a 4o6 relay agent", func(r *reader, v *value, l *level) {
			r.boolean(v, &l.PadTo300)
		}},
		{"options", "mapping of option name or code to value", "DHCPv4 options, sent to clients that ask for them", func(r *reader, v *value, l *level) {
			r.options(v, &l.options, true)
		}},
		{"classes", "list of classes", "options for clients of a kind; the later classes win, and those of a subnet over those at the top", func(r *reader, v *value, l *level) {
			r.classes(v, l)
		}},
	}
}

// v6OnlyWait reads the value of option 108 (RFC 8925 section 3.1).
func (r *reader) v6OnlyWait(v *value, into *option.Builder) {
	var wait uint32
	if (v.Kind != yaml.ScalarNode || v.Value != "0") && !r.seconds(v, &wait) {
		return
	}
	r.putOption(v, into, option.CodeV6OnlyPreferred, []byte{byte(wait >> 24), byte(wait >> 16), byte(wait >> 8), byte(wait)})
}

// options reads a mapping of options. Option 108 decides whether there is a
// lease at all, before there is an address: a pool cannot have it.
func (r *reader) options(v *value, into *option.Builder, addressless bool) {
	if v.Kind != yaml.MappingNode {
		r.fail(v, "must be a mapping of option names or codes to values")
		return
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		key := &value{Node: v.Content[i], up: v, key: v.Content[i].Value}
		if key.Kind != yaml.ScalarNode || key.Value == "" {
			key.key = "?"
			r.fail(key, "a key must be the name or the code of an option")
			continue
		}
		code, wire, ok := option.Compile(v.Content[i], v.Content[i+1], func(at *yaml.Node, path, problem string) {
			r.failAt(at, key.path()+path, problem)
		})
		switch {
		case ok && code == option.CodeV6OnlyPreferred && !addressless:
			r.fail(key, "decides whether a client needs an address, and so cannot depend on it; configure it for the subnet, a class or a reservation")
		case ok:
			r.putOption(key, into, code, wire)
		}
	}
}

func (r *reader) putOption(at *value, into *option.Builder, code byte, wire []byte) {
	if into.Has(code) {
		r.fail(at, "option %s is there twice; leave one out", option.Name(code))
		return
	}
	into.Put(code, wire)
}

// checkTimes completes the times of a level and checks them against each other.
func (r *reader) checkTimes(l *level) {
	t := &l.Lease
	if t.Min == 0 {
		t.Min = t.Default
	}
	if t.Max == 0 {
		t.Max = t.Default
	}
	if l.leaseAt != nil && (t.Min > t.Default || t.Default > t.Max) {
		r.fail(l.leaseAt, "min-lease-time %s, lease-time %s and max-lease-time %s must not descend", showSeconds(t.Min), showSeconds(t.Default), showSeconds(t.Max))
	}
	if l.timersAt == nil || t.Default == Infinite {
		return
	}
	if t1, t2 := t.Renewal.of(t.Default), t.Rebinding.of(t.Default); t1 >= t2 || t2 >= t.Default {
		r.fail(l.timersAt, "renewal-time %s, rebinding-time %s and lease-time %s must ascend", showSeconds(t1), showSeconds(t2), showSeconds(t.Default))
	}
}
