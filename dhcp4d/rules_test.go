package main

import (
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

const rulesDocument = `
classes:
- {name: phones, marked: true, options: {tftp-server-name: tftp.example}, always-send: [tftp-server-name], lease-time: 10m}
- {name: acme, test: "substring(option[60].hex, 0, 4) == 'Acme'"}
- {name: both, test: "member('phones') and option[61].exists", options: {domain-name: both.example}, always-send: [domain-name]}
subnets:
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}], options: {routers: [192.0.2.1]},
   reservations: [{hw-address: "02:00:00:00:00:77", address: 192.0.2.77}]}
`

const operatorsRules = `# what an operator may write
pkt4_receive: member('acme')
   and pkt.iface == 'eth0'
   -> class phones
pkt4_receive: option[60].hex == 'banned' -> drop banned
subnet4_select: member('phones') -> count phones
lease4_select: not known and option[60].hex == 'only-known' -> drop unknown
lease4_renew: option[60].hex == 'renews' -> count renewals
lease4_release: option[60].hex == 'stays' -> drop stays
pkt4_send: option[60].hex == 'routes' -> option routers [192.0.2.254, 192.0.2.253]
pkt4_send: option[60].hex == 'routes' -> option domain-name-servers 192.0.2.53
pkt4_send: option[60].hex == 'names' -> option host-name = 'host-' + hexstring(pkt4.mac, '')
pkt4_send: option[60].hex == 'names' -> option routers = ''
pkt4_send: option[60].hex == 'names' -> option domain-name = uint16totext(option[60].hex)
`

// rulesSite is a dhcp4d with rules in a file.
func rulesSite(t *testing.T, rules string) (s *site, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "rules")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return newSite(t, "DHCP4D_SUBNETS="+rulesDocument, "DHCP4D_HOOKS=rules", "DHCP4D_RULES_LINES_FILE="+file,
		"DHCP4D_RULES_REASONS=banned,unknown,stays", "DHCP4D_RULES_COUNTERS=phones,renewals"), file
}

// counts returns the series of metrics that begin with a prefix, without the zeros.
func counts(t *testing.T, metrics, prefix string) string {
	t.Helper()
	r, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for line := range strings.Lines(string(text)) {
		if name, is := strings.CutPrefix(strings.TrimSpace(line), prefix); is && !strings.HasSuffix(name, " 0") {
			found = append(found, strings.TrimSpace(name))
		}
	}
	return strings.Join(found, " ")
}

func vendor(class string) []byte {
	return dhcp4.AppendOption(nil, dhcp4.OptVendorClass, []byte(class))
}

func requested(codes ...byte) []byte {
	return dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, codes)
}

func TestRules(t *testing.T) {
	s, _ := rulesSite(t, operatorsRules)
	text := func(m *dhcp4.Message, code byte) string { b, _ := m.Option(code); return string(b) }

	phone := s.ask(dhcp4.Discover, 1, netip.Addr{}, vendor("Acme-Phone"), dhcp4.AppendOption(nil, dhcp4.OptClientIdentifier, []byte("id")))
	if lasting, _ := phone.Uint32(dhcp4.OptLeaseTime); text(&phone, 66) != "tftp.example" || lasting != 600 || text(&phone, 15) != "both.example" {
		t.Errorf("a marked query gets option 66 %q, a lease of %d s, domain %q", text(&phone, 66), lasting, text(&phone, 15))
	}
	plain := s.ask(dhcp4.Discover, 2, netip.Addr{}, vendor("other"))
	if lasting, _ := plain.Uint32(dhcp4.OptLeaseTime); text(&plain, 66) != "" || lasting != 3600 {
		t.Errorf("another one gets option 66 %q, a lease of %d s", text(&plain, 66), lasting)
	}
	routes := s.ask(dhcp4.Discover, 3, netip.Addr{}, vendor("routes"), requested(dhcp4.OptSubnetMask))
	if got := text(&routes, dhcp4.OptRouter) + text(&routes, dhcp4.OptDomainNameServer); got != "\xc0\x00\x02\xfe\xc0\x00\x02\xfd\xc0\x00\x02\x35" {
		t.Errorf("routers and servers of a rule are %x", got)
	}
	names := s.ask(dhcp4.Discover, 4, netip.Addr{}, vendor("names"), requested(dhcp4.OptSubnetMask, dhcp4.OptRouter))
	if text(&names, dhcp4.OptHostName) != "host-020000000004" || names.Has(dhcp4.OptRouter) || names.Has(15) || !names.Has(dhcp4.OptSubnetMask) {
		t.Errorf("the reply has host-name %q, routers %v, domain %v", text(&names, dhcp4.OptHostName), names.Has(dhcp4.OptRouter), names.Has(15))
	}
	known := s.ask(dhcp4.Discover, 0x77, netip.Addr{}, vendor("only-known"))
	if known.YIAddr() != netip.MustParseAddr("192.0.2.77") {
		t.Errorf("a known client is offered %v", known.YIAddr())
	}

	// Those that are dropped: the answer to the next one comes first.
	s.unanswered(dhcp4.Discover, 5, vendor("banned"))
	s.unanswered(dhcp4.Discover, 6, vendor("only-known"))
	first := s.lease(7)
	s.ask(dhcp4.Release, 7, first, vendor("stays"), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1")))
	time.Sleep(1100 * time.Millisecond) // the lease is extended: times have no fractions
	if m := s.ask(dhcp4.Request, 7, first, vendor("renews")); m.Type() != dhcp4.ACK {
		t.Errorf("a lease whose release was dropped is renewed by %v", m.Type())
	}
	if got, want := counts(t, s.metrics, "dhcp4d_rules_"), `counted_total{counter="phones"} 1 counted_total{counter="renewals"} 1 dropped_total{reason="banned"} 1 dropped_total{reason="stays"} 1 dropped_total{reason="unknown"} 1`; got != want {
		t.Errorf("series are\n%s\nwant\n%s", got, want)
	}
	if got := counts(t, s.metrics, `dhcp4d_hook_results_total{hook="rules",point="pkt4_receive",result="drop"}`); got != "1" {
		t.Errorf("drops at pkt4_receive: %q", got)
	}
}

func TestARuleChoosesAPool(t *testing.T) {
	s := newSite(t, "DHCP4D_HOOKS=rules", "DHCP4D_RULES_LINES=pkt4_receive: option[60].hex == 'phone' -> class phones", `DHCP4D_SUBNETS=
classes: [{name: phones, marked: true, pools: [phones]}]
subnets:
- {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth0}], pools: [192.0.2.10-192.0.2.20, {name: phones, range: 192.0.2.100-192.0.2.110, only: [phones]}]}
`)
	phone, other := s.ask(dhcp4.Discover, 1, netip.Addr{}, vendor("phone")), s.ask(dhcp4.Discover, 2, netip.Addr{})
	if phone.YIAddr() != netip.MustParseAddr("192.0.2.100") || other.YIAddr() != netip.MustParseAddr("192.0.2.10") {
		t.Errorf("the query that a rule marks is offered %v, another one %v", phone.YIAddr(), other.YIAddr())
	}
}

const orderingDocument = `
subnets:
- {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth0}], max-lease-time: 1d, pools: [192.0.2.10-192.0.2.20, {name: guests, range: 192.0.2.100-192.0.2.110}],
   reservations: [{hw-address: "02:00:00:00:00:77", address: 192.0.2.77}]}
`

const ordering = `pkt4_receive: option[60].hex == 'guest' -> pool guests
subnet4_select: option[60].hex == 'guest' -> lease-time 2m
subnet4_select: option[60].hex == 'table' -> address option[125].option[1].hex
lease4_select: option[60].hex == 'table' -> lease-time 5m
lease4_renew: option[60].hex == 'table' -> lease-time 7m
pkt4_receive: option[60].hex == 'fixed' -> address 192.0.2.30
subnet4_select: option[60].hex == 'odd' -> address 0x010203
`

// wants is option 125 with an address of the operator's own.
func wants(a string) []byte {
	b := netip.MustParseAddr(a).AsSlice()
	return dhcp4.AppendOption(nil, 125, append([]byte{0, 0, 0, 9, 6, 1, 4}, b...))
}

func TestRulesGiveAddressesPoolsAndTimes(t *testing.T) {
	s := newSite(t, "DHCP4D_HOOKS=rules", "DHCP4D_RULES_LINES="+ordering, "DHCP4D_SUBNETS="+orderingDocument)
	serverID := dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1"))
	expect := func(what string, m dhcp4.Message, kind dhcp4.MessageType, address string, lasts uint32) {
		t.Helper()
		if got, _ := m.Uint32(dhcp4.OptLeaseTime); m.Type() != kind || m.YIAddr() != netip.MustParseAddr(address) || got != lasts {
			t.Errorf("%s: %v of %v for %d s, want %v of %s for %d s", what, m.Type(), m.YIAddr(), got, kind, address, lasts)
		}
	}
	named := func(a string) []byte { return dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, netip.MustParseAddr(a)) }

	guest := vendor("guest")
	expect("a pool", s.ask(dhcp4.Discover, 1, netip.Addr{}, guest, dhcp4.AppendUint32(nil, dhcp4.OptLeaseTime, 86400)), dhcp4.Offer, "192.0.2.100", 120)
	expect("the offer is taken", s.ask(dhcp4.Request, 1, netip.Addr{}, guest, named("192.0.2.100"), serverID), dhcp4.ACK, "192.0.2.100", 120)
	expect("no rule", s.ask(dhcp4.Discover, 2, netip.Addr{}), dhcp4.Offer, "192.0.2.10", 3600)

	table := vendor("table")
	expect("an address outside of all pools", s.ask(dhcp4.Discover, 3, netip.Addr{}, table, wants("192.0.2.200")), dhcp4.Offer, "192.0.2.200", 300)
	expect("it is acknowledged", s.ask(dhcp4.Request, 3, netip.Addr{}, table, wants("192.0.2.200"), named("192.0.2.200"), serverID), dhcp4.ACK, "192.0.2.200", 300)
	expect("it is stored, and renewed", s.ask(dhcp4.Request, 3, netip.MustParseAddr("192.0.2.200"), table, wants("192.0.2.200")), dhcp4.ACK, "192.0.2.200", 420)
	expect("no address is said", s.ask(dhcp4.Discover, 4, netip.Addr{}, table), dhcp4.Offer, "192.0.2.11", 300)

	if m := s.ask(dhcp4.Request, 3, netip.MustParseAddr("192.0.2.200"), table, wants("192.0.2.201")); m.Type() != dhcp4.NAK {
		t.Errorf("the renewal of an address that the rules no longer say is answered by %v", m.Type())
	}
	expect("an address that stands in the rule", s.ask(dhcp4.Discover, 10, netip.Addr{}, vendor("fixed")), dhcp4.Offer, "192.0.2.30", 3600)
	s.unanswered(dhcp4.Discover, 5, table, wants("192.0.2.200"))  // another client's
	s.unanswered(dhcp4.Discover, 6, table, wants("192.0.2.77"))   // reserved
	s.unanswered(dhcp4.Discover, 7, table, wants("198.51.100.1")) // of another subnet
	s.unanswered(dhcp4.Discover, 8, table, wants("192.0.2.1"))    // the server's own
	s.unanswered(dhcp4.Discover, 9, table, wants("192.0.2.255"))  // for broadcasts
	s.unanswered(dhcp4.Discover, 9, vendor("odd"))                // not of four octets
	s.ask(dhcp4.Discover, 0xf1, netip.Addr{})                     // a batch is counted when its answers have left
	if got := counts(t, s.metrics, `dhcp4d_packets_dropped_total{reason="hook",`); !strings.HasSuffix(got, " 6") {
		t.Errorf("%q are dropped for the hook, want 6", got)
	}
}

// unanswered sends a message that is dropped: the answer to another one, sent after it, comes
// first.
func (s *site) unanswered(kind dhcp4.MessageType, client byte, options ...[]byte) {
	s.t.Helper()
	s.send(kind, client, netip.Addr{}, options...)
	if next := s.ask(dhcp4.Discover, 0xf0, netip.Addr{}); next.CHAddr()[5] != 0xf0 {
		s.t.Errorf("client %d is answered by %v", client, next.Type())
	}
}

func TestABadReloadLeavesTheRules(t *testing.T) {
	s, file := rulesSite(t, operatorsRules)
	reload := func(rules, outcome string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		s.log.reset()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.eventually(outcome)
	}
	banned := func(n string) {
		t.Helper()
		s.unanswered(dhcp4.Discover, 5, vendor("banned"))
		if got := counts(t, s.metrics, `dhcp4d_rules_dropped_total{reason="banned"}`); got != n {
			t.Errorf("%s are dropped as banned, want %s", got, n)
		}
	}
	banned("1")
	reload("pkt4_receive: member('ALL') -> count phones\npkt4_receive: option[60].hex = 'x' -> drop banned\n", "configuration not reloaded")
	if !s.logged("line 2, column 30: ") {
		t.Errorf("the log does not say where the mistake is:\n%s", s.log.String())
	}
	banned("2")
	reload("", "configuration not reloaded")
	banned("3")
	reload("pkt4_receive: option[60].hex == 'other' -> drop banned\n", "configuration reloaded")
	if m := s.ask(dhcp4.Discover, 5, netip.Addr{}, vendor("banned")); m.Type() != dhcp4.Offer {
		t.Errorf("after the reload it is answered by %v", m.Type())
	}
	s.unanswered(dhcp4.Discover, 6, vendor("other"))
}

func TestCheckTellsAllMistakesOfRules(t *testing.T) {
	environ := []string{
		"DHCP4D_SUBNETS=" + rulesDocument, "DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=unpaid",
		"DHCP4D_RULES_LINES=pkt4_receives: member('ALL') -> drop unpaid\npkt4_receive: member('phoness') -> drop unpayd\nlease4_select: member('ALL') -> class phones\n",
	}
	err := run(t.Context(), []string{"-check"}, environ, io.Discard, io.Discard)
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{
		`DHCP4D_RULES_LINES: line 1, column 1: there is no point "pkt4_receives"; did you mean pkt4_receive?`,
		`DHCP4D_RULES_LINES: line 2, column 22: no class phoness is defined before this one; did you mean phones?`,
		`DHCP4D_RULES_LINES: line 3, column 33: class has no effect at lease4_select; use it at pkt4_receive or subnet4_select`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("-check lacks %q:\n%v", want, err)
		}
	}
}
