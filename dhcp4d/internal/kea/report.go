package kea

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Verdict is what became of a part of Kea's configuration.
type Verdict uint8

// The verdicts.
const (
	Taken   Verdict = iota // it means the same here
	Changed                // it is written, and means something else, or in another way
	Left                   // it is not written
)

func (v Verdict) String() string { return [...]string{"taken", "changed", "left"}[v] }

// Line is the verdict on one part of Kea's configuration.
type Line struct {
	At      Position
	Path    string // in Kea's configuration
	Verdict Verdict
	Text    string // what it became, or why it was left
}

func (l Line) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", l.At.File, l.At.Line, l.At.Column)
	if l.Path != "" {
		b.WriteString(l.Path + " ")
	}
	b.WriteString(l.Verdict.String())
	if l.Text != "" {
		b.WriteString(": " + l.Text)
	}
	return b.String()
}

// report collects verdicts. Each value of the configuration gets one, or is inside of one that has.
type report struct {
	lines []Line
}

func (r *report) say(v *value, verdict Verdict, format string, args ...any) {
	v.said = true
	r.lines = append(r.lines, Line{v.at, v.path(), verdict, fmt.Sprintf(format, args...)})
}

func (r *report) taken(v *value, format string, args ...any)   { r.say(v, Taken, format, args...) }
func (r *report) changed(v *value, format string, args ...any) { r.say(v, Changed, format, args...) }
func (r *report) left(v *value, format string, args ...any)    { r.say(v, Left, format, args...) }

// rest gives a verdict to all that has none.
func (r *report) rest(v *value) {
	if v.said {
		return
	}
	switch {
	case v.kind == object && (v.entered || len(v.keys) == 0), v.kind == list:
		for i, child := range v.values {
			if child.said {
				continue
			}
			if v.kind == object && empty(child) {
				r.taken(child, "nothing is configured")
				continue
			}
			if v.kind == object && !(child.entered && child.kind == object) && !someSaid(child) {
				r.left(child, "%s", why(v.keys[i]))
				continue
			}
			r.rest(child)
		}
	default:
		r.left(v, "dhcp4d has nothing like it")
	}
}

// someSaid reports whether something in a value has a verdict.
func someSaid(v *value) bool { return v.said || slices.ContainsFunc(v.values, someSaid) }

// sorted returns the lines in the order of the files.
func (r *report) sorted() []Line {
	slices.SortStableFunc(r.lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.At.File, b.At.File), cmp.Compare(a.At.Line, b.At.Line),
			cmp.Compare(a.At.Column, b.At.Column))
	})
	return slices.Compact(r.lines)
}

// why says why a key is left.
func why(key string) string {
	for _, w := range reasons {
		if slices.ContainsFunc(w.keys, func(k string) bool {
			prefix, more := strings.CutSuffix(k, "*")
			return k == key || (more && strings.HasPrefix(key, prefix))
		}) {
			return w.reason
		}
	}
	return "dhcp4d has nothing like it"
}

// reasons says why keys are left, by key. A * stands for any more.
var reasons = []struct {
	keys   []string
	reason string
}{
	{[]string{"user-context", "comment", "_*"}, "it is for people and for hooks of Kea; write it as a comment of the document"},
	{[]string{"ddns-*", "dhcp-ddns", "hostname-char-*"}, "dhcp4d updates no DNS"},
	{[]string{"control-socket", "control-sockets"}, "dhcp4d has an API of its own (DHCP4D_API_LISTEN)"},
	{[]string{"hosts-database", "hosts-databases"}, "reservations stand in the document, or in a file that reservations-file names; export them to one"},
	{[]string{"config-control", "server-tag"}, "the configuration stands in files, which a reload reads again"},
	{[]string{"expired-leases-processing", "lease-checks", "sanity-checks"}, "dhcp4d looks after its leases itself"},
	{[]string{"multi-threading", "parked-packet-limit", "dhcp-queue-control"}, "one loop serves all clients, and overload is dropped with a reason"},
	{[]string{"store-extended-info", "stash-agent-options"}, "where a client is attached is stored with every lease"},
	{[]string{"cache-threshold", "cache-max-age"}, "every renewal is written"},
	{[]string{"statistic-*"}, "metrics have no samples"},
	{[]string{"allocator"}, "the first address that was longest free is given, and a client gets the one that it had before"},
	{[]string{"pool-id"}, "pools are counted by their number in the subnet"},
	{[]string{"offer-lifetime"}, "an offered address is held for offer-hold, and is no lease yet"},
	{[]string{"adaptive-lease-time-threshold"}, "lease times do not depend on how full a pool is"},
	{[]string{"reservations-lookup-first", "ip-reservations-unique", "early-global-reservations-lookup"},
		"reservations are in memory, and each address is reserved once"},
	{[]string{"host-reservation-identifiers"}, "a client identifier goes before a hardware address, and that before an attachment point"},
	{[]string{"echo-client-id"}, "the client identifier is always returned (RFC 6842)"},
	{[]string{"interfaces-config"}, "dhcp6d has the sockets on the link: name the interfaces in DHCP6D_INTERFACES"},
	{[]string{"relay"}, "a query of DHCPv4 over DHCPv6 comes without giaddr: name the DHCPv6 relay by link-address " +
		"in match, or let a 4o6 relay agent's giaddr count with trust-inner"},
	{[]string{"lease-database"}, "leases are in DHCP4D_STORE"},
	{[]string{"lenient-option-parsing", "ignore-dhcp-server-identifier", "ignore-rai-link-selection"},
		"options are read by the rules of the RFCs, and link selection counts with trust-inner"},
	{[]string{"Control-agent", "Dhcp6", "DhcpDdns", "Logging", "Netconf"}, "it configures another program"},
}
