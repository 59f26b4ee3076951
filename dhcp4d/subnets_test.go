package main

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// aLink is a document with subnets of one link, of two addresses each. The client that unanswered
// asks for has a reservation.
func aLink(prefixes ...string) string {
	text := "subnets:\n"
	for i, p := range prefixes {
		text += fmt.Sprintf("- {id: %s, subnet: %s.0/24, network: home, pools: [%s.10-%s.11]", strings.Trim(p, ".")[:3], p, p, p)
		if i == 0 {
			text += fmt.Sprintf(", match: [{interface: eth0}], reservations: [{hw-address: \"02:00:00:00:00:f0\", address: %s.99}]", p)
		}
		text += "}\n"
	}
	return text
}

func named(a string) []byte {
	return dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, netip.MustParseAddr(a))
}

// obtain goes through an exchange of four messages of which the offer is for an address. Offer and
// ACK may be of two dhcp4d.
func obtain(t *testing.T, offering, acknowledging *site, client byte, a string) {
	t.Helper()
	offer := offering.ask(dhcp4.Discover, client, netip.Addr{})
	if offer.Type() != dhcp4.Offer || offer.YIAddr().String() != a {
		t.Fatalf("client %d gets %v of %v, want an offer of %s", client, offer.Type(), offer.YIAddr(), a)
	}
	server, _ := offer.Addr(dhcp4.OptServerIdentifier)
	if m := acknowledging.ask(dhcp4.Request, client, netip.Addr{}, named(a), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, server)); m.Type() != dhcp4.ACK || m.YIAddr().String() != a {
		t.Fatalf("client %d takes %s and gets %v of %v", client, a, m.Type(), m.YIAddr())
	}
}

// TestD4_91ReloadOfALink: a reload adds a subnet to a link, and takes one away.
func TestD4_91ReloadOfALink(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subnets.yaml")
	write := func(prefixes ...string) {
		if err := os.WriteFile(file, []byte(aLink(prefixes...)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("192.0.2")
	s := newSite(t, "DHCP4D_SUBNETS=", "DHCP4D_SUBNETS_FILE="+file)
	obtain(t, s, s, 1, "192.0.2.10")
	obtain(t, s, s, 2, "192.0.2.11")
	s.unanswered(dhcp4.Discover, 3)
	reload := func(prefixes ...string) {
		t.Helper()
		write(prefixes...)
		s.log.reset()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		s.eventually("configuration reloaded")
	}
	reload("192.0.2", "198.51.100")
	obtain(t, s, s, 3, "198.51.100.10")
	reload("198.51.100")
	if m := s.ask(dhcp4.Request, 1, netip.MustParseAddr("192.0.2.10")); m.Type() != dhcp4.NAK {
		t.Errorf("a client of the subnet that is gone renews and gets %v", m.Type())
	}
	if m := s.ask(dhcp4.Request, 3, netip.MustParseAddr("198.51.100.10")); m.Type() != dhcp4.ACK {
		t.Errorf("a client of the subnet that stays renews and gets %v", m.Type())
	}
	obtain(t, s, s, 1, "198.51.100.11")
}

// TestD4_91ALinkOfSeveralDhcp4d: two dhcp4d on one PostgreSQL database serve the subnets of a link.
func TestD4_91ALinkOfSeveralDhcp4d(t *testing.T) {
	database := postgrestest.Start(t)
	if err := run(t.Context(), []string{"store", "migrate"}, []string{"DHCP4D_STORE=" + database.URL()}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	one := newSite(t, "DHCP4D_NAME=one", "DHCP4D_STORE="+database.URL(), "DHCP4D_SUBNETS="+aLink("192.0.2", "198.51.100"))
	two := newSite(t, "DHCP4D_NAME=two", "DHCP4D_STORE="+database.URL(), "DHCP4D_SUBNETS="+aLink("192.0.2", "198.51.100"))
	got := map[string]bool{}
	for client := byte(1); client <= 4; client++ {
		from, to := one, two
		if client%2 == 0 {
			from, to = two, one
		}
		// Which of the free addresses comes first depends on the dhcp4d; a subnet goes before the
		// next.
		offer := from.ask(dhcp4.Discover, client, netip.Addr{})
		for tries := 0; got[offer.YIAddr().String()] && tries < 10_000; tries++ { // the other one has just given it away
			offer = from.ask(dhcp4.Discover, client, netip.Addr{})
		}
		a := offer.YIAddr()
		if want := map[bool]byte{true: 192, false: 198}[client <= 2]; a.As4()[0] != want {
			t.Fatalf("client %d is offered %v", client, a)
		}
		server, _ := offer.Addr(dhcp4.OptServerIdentifier)
		if m := to.ask(dhcp4.Request, client, netip.Addr{}, named(a.String()), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, server)); m.Type() != dhcp4.ACK || m.YIAddr() != a {
			t.Fatalf("client %d takes %v of the other dhcp4d and gets %v of %v", client, a, m.Type(), m.YIAddr())
		}
		got[a.String()] = true
		if m := from.ask(dhcp4.Request, client, a); m.Type() != dhcp4.ACK || m.YIAddr() != a {
			t.Errorf("client %d renews %v and gets %v of %v", client, a, m.Type(), m.YIAddr())
		}
	}
	one.unanswered(dhcp4.Discover, 5)
}

// TestExpressionsOfTheDocument: options, reservations and limits by expression, from the
// environment to the reply.
func TestExpressionsOfTheDocument(t *testing.T) {
	s := newSite(t, `DHCP4D_SUBNETS=
flex-id: option[60].hex
limit-by: option[77].hex
options: {host-name: {expr: "'h-' + hexstring(pkt4.mac, '')"}}
subnets:
- {id: 1, subnet: 192.0.2.0/24, match: [{interface: eth0}], pools: [192.0.2.10-192.0.2.20], limit: 1,
   reservations: [{flex-id: printer, address: 192.0.2.77}, {hw-address: "02:00:00:00:00:f0", address: 192.0.2.99}, {hw-address: "02:00:00:00:00:08", options: {domain-name: eight}}]}
`)
	m := s.ask(dhcp4.Discover, 1, netip.Addr{}, vendor("printer"))
	if name, _ := m.Option(dhcp4.OptHostName); m.YIAddr().String() != "192.0.2.77" || string(name) != "h-020000000001" {
		t.Errorf("offered %v, host-name %q", m.YIAddr(), name)
	}
	user := func(s string) []byte { return dhcp4.AppendOption(nil, dhcp4.OptUserClass, []byte(s)) }
	if m := s.ask(dhcp4.Discover, 2, netip.Addr{}, user("blue")); m.Type() != dhcp4.Offer {
		t.Errorf("the first of a user class gets %v", m.Type())
	}
	s.unanswered(dhcp4.Discover, 3, user("blue"))
	m = s.ask(dhcp4.Discover, 8, netip.Addr{}, user("red"))
	if name, _ := m.Option(15); string(name) != "eight" {
		t.Errorf("a reservation without an address gives %q", name)
	}
}
