package hooks

import (
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/rule"
)

// subnets is a document with a class that rules put queries into, and a class with a condition.
func subnets(t testing.TB) *network.Subnets {
	t.Helper()
	classes := new(expression.Classes)
	names := classes.Scope()
	never := func(*expression.Evaluator) bool { return false }
	marked, err := names.Add("phones", nil, never)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := names.Add("own", nil, never); err != nil {
		t.Fatal(err)
	}
	pools := []network.Pool{{Name: "phones"}, {}}
	s := network.NewSubnets([]network.Subnet{{ID: 1, Pools: pools}}, classes, nil)
	s.Names, s.Marked = names, map[string]int{"phones": marked}
	return s
}

// ruled makes the hooks of rules as the daemon does.
func ruled(t testing.TB, s *network.Subnets, lines string) (*event.Hooks, error) {
	t.Helper()
	l := config.New("DHCP4D_", []string{"DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unpaid", "DHCP4D_RULES_COUNTERS=seen", "DHCP4D_RULES_LINES=" + lines})
	c := hook.Configure(l, "DHCP4D_", All())
	hook.Complete(l, "DHCP4D_", c, s)
	if err := l.Err(); err != nil {
		return nil, err
	}
	host := hook.NewHost(prometheus.NewRegistry(), drop.DHCP4D, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.DiscardHandler), All())
	set, err := host.Make(c)
	if err != nil {
		t.Fatal(err)
	}
	return event.NewHooks(set), nil
}

func TestMistakesOfRules(t *testing.T) {
	for lines, want := range map[string]string{
		"pkt4_receive: known -> drop unpaid":                               "line 1, column 15: depends on whether the client has a reservation: that is known only from lease4_select on",
		"subnet4_select: member('ALL') -> option routers 192.0.2.1":        "line 1, column 34: option has no effect at subnet4_select; use it at buffer4_receive or ",
		"buffer4_send: member('ALL') -> option 51 = 0x00000001":            "line 1, column 39: option 51 says what is stored, and cannot be set any more",
		"buffer4_send: member('ALL') -> option 52 = 0x01":                  "line 1, column 39: option 52 is part of the form of a message, and cannot be set",
		"buffer4_send: member('ALL') -> option routers 192.0.2.1":          "line 1, column 47: option routers has no = and no expression behind it; at buffer4_send write ",
		"buffer4_receive: member('ALL') -> option rooters = 'x'":           "line 1, column 42: option rooters is no code and no name that is known; did you mean routers?",
		"buffer4_send: member('ALL') -> octets 16 = 192.0.2.9":             "line 1, column 39: octet 16 says whose reply it is and which address is stored, ",
		"buffer4_send: member('ALL') -> octets x = 192.0.2.9":              `line 1, column 39: "x" is no offset; count octets from 0`,
		"buffer4_send: member('ALL') -> octets 20 192.0.2.9":               "line 1, column 42: octets has no = and no expression behind it; write octets OFFSET = EXPRESSION",
		"buffer4_receive: member('phones') -> drop unpaid":                 "line 1, column 25: there are no classes here",
		"pkt4_receive: pkt.hex == '' -> drop unpaid":                       "line 1, column 19: pkt.hex is known only at the buffer points of rules",
		"pkt4_receive: lease.event == '' -> drop unpaid":                   "line 1, column 15: lease is known only of a change of a lease, at leases4_committed",
		"leases4_committed: pkt4.mac == '' -> count seen":                  "line 1, column 20: pkt4 is not known of a change of a lease; there are lease.address, ",
		"leases4_committed: member('ALL') -> drop unpaid":                  `line 1, column 37: there is no action "drop"; at leases4_committed there are count COUNTER`,
		"pkt4_receive: member('ALL') -> class own":                         "line 1, column 38: the class own has a condition of its own in DHCP4D_SUBNETS; take another, with marked: true",
		"pkt4_receive: member('ALL') -> class fones":                       `line 1, column 38: no class "fones" is marked by rules; did you mean phones?`,
		"pkt4_send: member('ALL') -> option rooters 192.0.2.1":             "line 1, column 36: option rooters is no option known by name; did you mean routers?",
		"pkt4_send: member('ALL') -> option dhcp-lease-time 5":             "line 1, column 36: option dhcp-lease-time cannot be configured",
		"pkt4_send: member('ALL') -> option v6-only-preferred 5m":          "line 1, column 36: option v6-only-preferred decides whether a client needs an address, which has been decided; give it to a class",
		"pkt4_send: member('ALL') -> option routers":                       "line 1, column 43: option routers has no value; write option NAME VALUE, or option NAME = EXPRESSION",
		"pkt4_send: member('ALL') -> option routers =":                     "line 1, column 45: has no expression behind =; '' leaves the option out",
		"pkt4_send: member('ALL') -> option routers [192.0.2.1, 192.0.2]":  "line 1, column 56: option routers[1]: ",
		"pkt4_send: member('ALL') -> option routers [192.0.2.1":            "line 1, column 44: option routers has a value that cannot be read; write it as in the subnets document",
		"pkt4_send: member('ALL') -> option host-name = option[60].exists": "line 1, column 48: is true or false, and a value is asked for",
		"pkt4_send: member('ALL') -> bool 192.0.2.1":                       `line 1, column 29: there is no action "bool"; at pkt4_send there are drop REASON, count COUNTER, option NAME VALUE, or NAME = EXPRESSION`,
		"lease4_select: member('ALL') -> pool phones":                      "line 1, column 33: pool has no effect at lease4_select; use it at pkt4_receive or subnet4_select",
		"pkt4_receive: member('ALL') -> pool fones":                        `line 1, column 37: no pool of DHCP4D_SUBNETS has the name "fones"; did you mean phones?`,
		"pkt4_send: member('ALL') -> address 192.0.2.1":                    "line 1, column 29: address has no effect at pkt4_send; use it at pkt4_receive or subnet4_select",
		"subnet4_select: member('ALL') -> address":                         "line 1, column 41: address needs something behind it; write address EXPRESSION",
		"subnet4_select: member('ALL') -> address 192.0.2":                 "line 1, column 45: . is not understood here",
		"subnet4_select: member('ALL') -> address option[61].exists":       "line 1, column 42: is true or false, and a value is asked for",
		"lease4_release: member('ALL') -> lease-time 5m":                   "line 1, column 34: lease-time has no effect at lease4_release; use it at pkt4_receive or subnet4_select or lease4_select or lease4_renew",
		"lease4_renew: member('ALL') -> lease-time 5 minutes":              "line 1, column 43: is no lease time; give infinite, or a duration in whole seconds",
		"lease4_renew: member('ALL') -> lease-time 0":                      "line 1, column 43: is no lease time; give infinite, or a duration in whole seconds",
	} {
		_, err := ruled(t, subnets(t), lines)
		if want = "configuration: DHCP4D_RULES_LINES: " + want; err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n%v\nwant\n%s", lines, err, want)
		}
	}
}

// TestTheRulesOfTheDocsCompile: an operator may paste what docs/hooks.md shows.
func TestTheRulesOfTheDocsCompile(t *testing.T) {
	page, err := os.ReadFile("../../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), "    # /etc/dhcp4d/rules\n")
	block, _, closed := strings.Cut(rest, "\n\n")
	if !found || !closed {
		t.Fatal("the page shows no rules")
	}
	lines := strings.ReplaceAll("\n"+block, "\n    ", "\n")
	if _, err := ruled(t, subnets(t), strings.ReplaceAll(lines, "count phones", "count seen")); err != nil {
		t.Error(err)
	}
}

// TestTheTableOfPoints: at each point rules may do what the table in docs/hooks.md says, and
// nothing else.
func TestTheTableOfPoints(t *testing.T) {
	page, err := os.ReadFile("../../../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	actions := map[string]string{"drop": "unpaid", "count": "seen", "class": "phones", "pool": "phones", "address": "192.0.2.7",
		"lease-time": "5m", "option": "host-name = 'x'", "octets": "8 = 0x0000"}
	var points []string
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if len(cells) != 6 || strings.TrimSpace(cells[1]) != "dhcp4d" {
			continue
		}
		point, may := strings.TrimSpace(cells[0]), strings.Split(strings.TrimSpace(cells[5]), ", ")
		points = append(points, point)
		for action, argument := range actions {
			_, err := ruled(t, subnets(t), point+": member('ALL') -> "+action+" "+argument)
			if listed := slices.Contains(may, action); (err == nil) != listed {
				t.Errorf("%s at %s: in the table is %v, and compiling it says %v", action, point, listed, err)
			}
		}
	}
	want := []string{string(event.Leases4Committed)}
	for _, p := range event.Filters() {
		want = append(want, string(p))
	}
	slices.Sort(points)
	slices.Sort(want)
	if !slices.Equal(points, want) {
		t.Errorf("the table has the points %q, want %q", points, want)
	}
}

// asking returns the event of a query at a point, as the packet loop makes it.
func asked(t testing.TB, s *network.Subnets) (e *event.Query, begin func()) {
	t.Helper()
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, 1}})
	m = dhcp4.AppendOption(dhcp4.AppendType(m, dhcp4.Discover), dhcp4.OptVendorClass, []byte("Acme-Phone 1.0"))
	m = dhcp4.AppendEnd(m)
	datagram := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, m)
	p, message := new(dhcp6.Packet), new(dhcp4.Message)
	if why := p.Parse(datagram); why != drop.None {
		t.Fatal(why)
	}
	if why := message.Parse(m); why != drop.None {
		t.Fatal(why)
	}
	eval, member := new(expression.Evaluator), new(expression.Membership)
	q := expression.Query{Path: &attachment.Path{Packet: p, Source: netip.MustParseAddr("fe80::1"), Interface: []byte("eth1")}, Message: message}
	e = &event.Query{Data: m, Message: message, Evaluator: eval, Options: new(option.Overrides)}
	return e, func() {
		member.Forget()
		eval.Begin(q, s.Classes, member)
		e.Options.Reset()
	}
}

const threePoints = `pkt4_receive: substring(option[60].hex, 0, 10) == 'Acme-Phone' and pkt.iface == 'eth1' -> class phones
pkt4_receive: pkt.src == fe80::bad -> drop unpaid
subnet4_select: member('phones') -> count seen
subnet4_select: option[61].hex == 0x01020304 -> drop unpaid
pkt4_send: member('phones') -> option tftp-server-name tftp.example
pkt4_send: not member('phones') -> option host-name = 'host-' + hexstring(pkt4.mac, '')
`

// TestRulesDoNotAllocate runs the rules without the hook around them, because the histogram of the
// hook allocates a bucket for a duration that it has not seen before.
func TestRulesDoNotAllocate(t *testing.T) {
	s := subnets(t)
	v := &rulesVariables{Variables: rule.Variables{Reasons: []string{"unpaid"}, Counters: []string{"seen"}}}
	v.tally = rule.NewTally(&v.Variables)
	v.tally.Register(prometheus.NewRegistry(), drop.DHCP4D)
	program, mistakes := rule.Compile(threePoints, v.language(s))
	if mistakes != nil {
		t.Fatal(mistakes)
	}
	e, begin := asked(t, s)
	run := func() {
		begin()
		for _, p := range []hook.FilterPoint[event.Query]{event.Pkt4Receive, event.Subnet4Select, event.Pkt4Send} {
			if program.At(string(p)).Run(e, e.Evaluator) != hook.Continue {
				t.Fatal("a query is dropped")
			}
		}
		if value, _ := e.Options.Lookup(dhcp4.OptTFTPServerName); string(value) != "tftp.example" {
			t.Fatalf("option 66 is %q", value)
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheHookRunsWhereItHasRules(t *testing.T) {
	h, err := ruled(t, subnets(t), threePoints)
	if err != nil {
		t.Fatal(err)
	}
	if h.Pkt4Receive.Empty() || h.Subnet4Select.Empty() || h.Pkt4Send.Empty() {
		t.Error("it does not run where it has rules")
	}
	if !h.Buffer4Receive.Empty() || h.Deciding() || !h.Buffer4Send.Empty() || !h.Leases4Committed.Empty() {
		t.Error("it runs where it has none")
	}
}

func BenchmarkRulesAtThreePoints(b *testing.B) {
	s := subnets(b)
	h, err := ruled(b, s, threePoints)
	if err != nil {
		b.Fatal(err)
	}
	e, begin := asked(b, s)
	b.ReportAllocs()
	for b.Loop() {
		begin()
		h.Pkt4Receive.Run(e)
		h.Subnet4Select.Run(e)
		h.Pkt4Send.Run(e)
	}
}
