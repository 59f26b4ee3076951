package server

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// TestClasses: the tests of classes see the query as it came, and what a class gives is in the
// reply.
func TestClasses(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
classes:
  - {name: phones, test: "option[60].hex == 'phone'"}
  - {name: here, test: "pkt.iface == 'eth1' and pkt6.msgtype == 20 and pkt.src == pkt6.client", options: {host-name: here}}
  - {name: reserved, test: known, options: {root-path: reserved}}
  - {name: phone here, test: "member('phones') and member('here')", options: {merit-dump: both}}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    match: [{interface: eth1}]
    pools: [192.0.2.10-192.0.2.20]
    reservations: [{hw-address: "02:00:00:00:00:09", address: 192.0.2.9}]
  - id: 2
    subnet: 198.51.100.0/24
    match: [{interface: eth1, class: phones}]
    pools: [198.51.100.10-198.51.100.20]
`)
	ask := func(last byte, options ...[]byte) dhcp4.Message {
		m := message(dhcp4.Discover, last, options...)
		return b.ask(t, frame(t, query(m), direct))
	}
	for _, c := range []struct {
		name    string
		offer   dhcp4.Message
		network byte
		has     map[byte]bool
	}{
		{"a phone, by the class of a match entry", ask(1, dhcp4.AppendOption(nil, 60, []byte("phone"))), 198, map[byte]bool{12: true, 17: false, 14: true}},
		{"another client", ask(2), 192, map[byte]bool{12: true, 17: false, 14: false}},
		{"with a reservation", ask(9), 192, map[byte]bool{12: true, 17: true, 14: false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.offer.YIAddr().As4()[0]; got != c.network {
				t.Errorf("the offer is %v", c.offer.YIAddr())
			}
			for code, want := range c.has {
				if c.offer.Has(code) != want {
					t.Errorf("option %d: %v", code, !want)
				}
			}
		})
	}
}

// TestWhatAClassGives: lease times, boot fields and refusal are those of the last class that says
// them.
func TestWhatAClassGives(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
- id: 1
  subnet: 192.0.2.0/24
  match: [{interface: eth1}]
  pools: [192.0.2.10-192.0.2.20]
  lease-time: 1h
  next-server: 192.0.2.5
  boot-file-name: subnet
  classes:
    - {test: "option[60].exists", lease-time: 10m, max-lease-time: 20m, next-server: 192.0.2.6, server-hostname: of class}
    - {test: "option[60].hex == 'boot'", boot-file-name: class, lease-time: 5m}
    - {test: "option[60].hex == 'nak'", refuse: nak}
`)
	ask := func(kind dhcp4.MessageType, last byte, options ...[]byte) dhcp4.Message {
		return b.ask(t, frame(t, query(message(kind, last, options...)), direct))
	}
	class := func(s string) []byte { return dhcp4.AppendOption(nil, 60, []byte(s)) }
	wish := dhcp4.AppendUint32(nil, dhcp4.OptLeaseTime, 10_000)
	for _, c := range []struct {
		name                string
		reply               dhcp4.Message
		seconds             uint32
		server, sname, file string
	}{
		{"no class", ask(dhcp4.Discover, 1), 3600, "192.0.2.5", "", "subnet"},
		{"one class", ask(dhcp4.Discover, 2, class("x")), 600, "192.0.2.6", "of class", "subnet"},
		{"one class, with a wish", ask(dhcp4.Discover, 3, class("x"), wish), 1200, "192.0.2.6", "of class", "subnet"},
		{"two classes", ask(dhcp4.Discover, 4, class("boot"), wish), 300, "192.0.2.6", "of class", "class"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if n, _ := c.reply.Uint32(dhcp4.OptLeaseTime); n != c.seconds {
				t.Errorf("lease time %d, want %d", n, c.seconds)
			}
			text := func(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
			if got := c.reply.SIAddr().String(); got != c.server || text(c.reply.SName()) != c.sname || text(c.reply.File()) != c.file {
				t.Errorf("%s %q %q, want %s %q %q", got, c.reply.SName(), c.reply.File(), c.server, c.sname, c.file)
			}
		})
	}
	nak := ask(dhcp4.Request, 5, class("nak"), addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))
	if nak.Type() != dhcp4.NAK {
		t.Errorf("a REQUEST of a refused client is answered by %v", nak.Type())
	}
}
