package config

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
)

// mapDocument is MAP-E or MAP-T as it is read.
type mapDocument struct {
	rules        []softwire.Rule
	first        map[netip.Prefix]int // which of the rules has an IPv6 prefix
	claims       []claim
	borderRelays []netip.Addr
	dmr          netip.Prefix
}

var (
	rulesKey = key[mapDocument]{"rules", "list of rules", "the mapping rules (option 89)",
		func(r *reader, v *value, m *mapDocument) {
			for _, item := range r.List(v, "rules") {
				m.rule(r, item)
			}
		}}
	mapEKeys = []key[mapDocument]{rulesKey,
		{"border-relays", "list of IPv6 addresses", "where what leaves the domain is sent to (option 90)",
			func(r *reader, v *value, m *mapDocument) { m.borderRelays = r.relays(v) }}}
	mapTKeys = []key[mapDocument]{rulesKey,
		{"default-prefix", "an IPv6 prefix", "the prefix that IPv4 addresses outside of the domain are mapped " +
			"to (option 91)", func(r *reader, v *value, m *mapDocument) {
			if r.prefix(v, 6, &m.dmr); m.dmr.Bits() > 96 {
				r.Fail(v, "%v has no room for an IPv4 address behind it; give a prefix of at most 96 bits, such as /64",
					m.dmr)
			}
		}}}
)

func (l *linkDocument) mapE(r *reader, v *value) {
	var m mapDocument
	if !mapping(r, v, "MAP-E", mapEKeys, &m) {
		return
	}
	r.needs(v, "MAP-E", "rules", "border-relays")
	l.claims = append(l.claims, m.claims...)
	l.MAPE = append(l.MAPE, softwire.MAPE{Rules: m.rules, BorderRelays: m.borderRelays})
}

func (l *linkDocument) mapT(r *reader, v *value) {
	var m mapDocument
	if !mapping(r, v, "MAP-T", mapTKeys, &m) {
		return
	}
	r.needs(v, "MAP-T", "rules", "default-prefix")
	l.claims = append(l.claims, m.claims...)
	l.MAPT = &softwire.MAPT{Rules: m.rules, Default: m.dmr}
}

var ruleKeys = portKeys(func(r *softwire.Rule) *softwire.Ports { return &r.Ports },
	key[softwire.Rule]{"ipv6-prefix", "an IPv6 prefix", "the prefix that the end-user prefixes of the CEs begin with",
		func(r *reader, v *value, rule *softwire.Rule) { r.prefix(v, 6, &rule.IPv6) }},
	key[softwire.Rule]{"ipv4-prefix", "an IPv4 prefix", "the IPv4 addresses of the CEs",
		func(r *reader, v *value, rule *softwire.Rule) { r.prefix(v, 4, &rule.IPv4) }},
	key[softwire.Rule]{"ea-bits", "0 to 48", "bits behind ipv6-prefix that tell the rest of a CE's IPv4 address, " +
		"and its PSID", func(r *reader, v *value, rule *softwire.Rule) {
		if n, ok := r.number(v, 255); ok {
			rule.EABits = uint8(n)
		}
	}},
	key[softwire.Rule]{"forwarding", "true or false", "CEs also send to each other by this rule, not by a border relay",
		func(r *reader, v *value, rule *softwire.Rule) { r.Boolean(v, &rule.Forwarding) }},
)

// rule reads a rule, and checks its arithmetic.
func (m *mapDocument) rule(r *reader, item *value) {
	var rule softwire.Rule
	before := len(r.Mistakes)
	if !mapping(r, item, "a rule", ruleKeys, &rule) {
		return
	}
	r.needs(item, "a rule", "ipv6-prefix", "ipv4-prefix", "ea-bits")
	if len(r.Mistakes) > before {
		return
	}
	if rule.Ports.Given && item.Get("psid-offset") == nil {
		rule.Ports.Offset = softwire.DefaultOffset
	}
	if rule.EABits == 0 && item.Get("psid-length") != nil && item.Get("psid") == nil && rule.Ports.Length > 0 {
		r.Fail(item, "has psid-length and no EA bits, so it is for one CE; give its psid")
		return
	}
	for _, wrong := range rule.Check() {
		r.at(item, wrong)
	}
	if len(r.Mistakes) > before {
		return
	}
	if i, twice := m.first[rule.IPv6]; twice {
		r.Fail(item.Get("ipv6-prefix"), "%v is in the rule in line %d already, and a CE takes one rule for its "+
			"prefix; merge them, or give another prefix", rule.IPv6, m.claims[i].at.Line)
		return
	}
	if rule.WellKnown() {
		r.Warn(item.Get("psid-offset"), "with a PSID offset above %d CEs have ports below 1024, "+
			"which services expect to be their own", softwire.DefaultOffset)
	}
	if m.first == nil {
		m.first = map[netip.Prefix]int{}
	}
	m.first[rule.IPv6] = len(m.rules)
	m.rules = append(m.rules, rule)
	m.claims = append(m.claims, claim{rule.Claim(), item})
}
