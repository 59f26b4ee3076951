package server

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// TestD4_82Classes: the tests of classes see the query as it came, and what a class gives is in the
// reply.
func TestD4_82Classes(t *testing.T) {
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

// TestD4_83WhatAClassGives: lease times, boot fields and refusal are those of the last class that
// says them.
func TestD4_83WhatAClassGives(t *testing.T) {
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

// TestD4_83WhatPartsOfTheDocumentGive: what a reservation says goes before what classes say, and
// that before the pool, the subnet and the top. D4-90: an option that is taken away comes from no
// part below.
func TestD4_83WhatPartsOfTheDocumentGive(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
options: {domain-name: top, host-name: top, root-path: top}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    match: [{interface: eth1}]
    lease-time: 1h
    next-server: 192.0.2.5
    no-options: [root-path]
    classes:
      - {test: "option[60].exists", lease-time: 10m, boot-file-name: class, no-options: [domain-name]}
      - {test: "option[60].hex == 'again'", options: {domain-name: again}}
    pools:
      - {range: 192.0.2.10-192.0.2.10, lease-time: 20m, max-lease-time: 30m, next-server: 192.0.2.6, server-hostname: pool, no-options: [host-name]}
      - 192.0.2.20-192.0.2.29
    reservations:
      - {hw-address: "02:00:00:00:00:09", address: 192.0.2.9, lease-time: 5m, next-server: 192.0.2.7, boot-file-name: reservation, no-options: [15]}
      - {hw-address: "02:00:00:00:00:08", address: 192.0.2.8, refuse: nak}
      - {hw-address: "02:00:00:00:00:07", address: 192.0.2.7, refuse: silent}
`)
	ask := func(last byte, options ...[]byte) dhcp4.Message {
		return b.ask(t, frame(t, query(message(dhcp4.Discover, last, options...)), direct))
	}
	class := func(s string) []byte { return dhcp4.AppendOption(nil, 60, []byte(s)) }
	wish := dhcp4.AppendUint32(nil, dhcp4.OptLeaseTime, 10_000)
	for _, c := range []struct {
		name                string
		reply               dhcp4.Message
		address             string
		seconds             uint32
		server, sname, file string
		domain, host        string
	}{
		{"pool", ask(1, wish), "192.0.2.10", 1800, "192.0.2.6", "pool", "", "top", ""},
		{"subnet", ask(2), "192.0.2.20", 3600, "192.0.2.5", "", "", "top", "top"},
		{"class", ask(3, class("x")), "192.0.2.21", 600, "192.0.2.5", "", "class", "", "top"},
		{"class that gives again what another took away", ask(4, class("again")), "192.0.2.22", 600, "192.0.2.5", "", "class", "again", "top"},
		{"class over pool", ask(1, class("x"), wish), "192.0.2.10", 600, "192.0.2.6", "pool", "class", "", ""},
		{"reservation", ask(9), "192.0.2.9", 300, "192.0.2.7", "", "reservation", "", "top"},
		{"reservation over classes", ask(9, class("again"), wish), "192.0.2.9", 300, "192.0.2.7", "", "reservation", "", "top"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, _ := c.reply.Uint32(dhcp4.OptLeaseTime)
			text := func(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
			option := func(code byte) string { v, _ := c.reply.Option(code); return string(v) }
			got := []string{c.reply.YIAddr().String(), c.reply.SIAddr().String(), text(c.reply.SName()), text(c.reply.File()), option(15), option(12), option(17)}
			want := []string{c.address, c.server, c.sname, c.file, c.domain, c.host, ""}
			if n != c.seconds || !slices.Equal(got, want) {
				t.Errorf("%d %q, want %d %q", n, got, c.seconds, want)
			}
		})
	}
	t.Run("D4-84 a reservation that is refused", func(t *testing.T) {
		dropped := func() float64 { return b.sum(t, "dhcp4d_packets_dropped_total", "reason=class_refused") }
		before := dropped()
		wanted := addrOption(dhcp4.OptRequestedAddress, "192.0.2.8")
		if kind, _ := b.tell(t, on("fe80::1"), message(dhcp4.Discover, 8)); kind != 0 {
			t.Errorf("a DISCOVER is answered by %v", kind)
		}
		if kind, _ := b.tell(t, on("fe80::1"), message(dhcp4.Request, 8, wanted, ourID)); kind != dhcp4.NAK {
			t.Errorf("a REQUEST is answered by %v", kind)
		}
		if kind, _ := b.tell(t, on("fe80::1"), message(dhcp4.Request, 7, wanted, ourID)); kind != 0 {
			t.Errorf("a REQUEST of a client to be silent to is answered by %v", kind)
		}
		if n := dropped() - before; n != 2 {
			t.Errorf("%v queries are counted as refused", n)
		}
	})
}

// TestD4_86PoolsForClasses: clients get new addresses of pools only that are for them, and keep
// what they have.
func TestD4_86PoolsForClasses(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
classes:
  - {name: phones, test: "option[60].hex == 'phone'"}
  - {name: cameras, test: "option[60].hex == 'camera'", pools: [fixed]}
  - {name: nobody, test: "option[60].hex == 'nobody'", pools: [elsewhere]}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    match: [{interface: eth1}]
    pools:
      - {range: 192.0.2.10-192.0.2.11, only: [phones, cameras]}
      - {range: 192.0.2.20-192.0.2.21, name: fixed}
      - 192.0.2.30-192.0.2.39
    reservations: [{hw-address: "02:00:00:00:00:09", address: 192.0.2.11}]
  - {id: 2, subnet: 198.51.100.0/24, match: [], pools: [{range: 198.51.100.9-198.51.100.9, name: elsewhere}]}
`)
	class := func(s string) []byte { return dhcp4.AppendOption(nil, 60, []byte(s)) }
	const none = "invalid IP"
	wants := func(a string) []byte { return addrOption(dhcp4.OptRequestedAddress, a) }
	discover := func(last byte, options ...[]byte) []byte { return message(dhcp4.Discover, last, options...) }
	request := func(last byte, options ...[]byte) []byte { return message(dhcp4.Request, last, options...) }
	renewal := func(last byte, a string, options ...[]byte) []byte {
		return with(netip.MustParseAddr(a), request(last, options...))
	}
	for _, c := range []struct {
		name    string
		message []byte
		kind    dhcp4.MessageType
		address string
	}{
		{"a phone gets the first pool", discover(1, class("phone")), dhcp4.Offer, "192.0.2.10"},
		{"and is bound", request(1, class("phone"), wants("192.0.2.10"), ourID), dhcp4.ACK, "192.0.2.10"},
		{"the next phone any other, as the rest is reserved", discover(2, class("phone")), dhcp4.Offer, "192.0.2.20"},
		{"a client of no class gets what is open", discover(3), dhcp4.Offer, "192.0.2.21"},
		{"and the next pool", discover(4), dhcp4.Offer, "192.0.2.30"},
		{"a camera finds its pool full", discover(5, class("camera")), 0, none},
		{"a class of pools elsewhere is not bound to them", discover(6, class("nobody")), dhcp4.Offer, "192.0.2.31"},
		{"nobody else gets a phone's address by asking for it", discover(7, wants("192.0.2.10")), dhcp4.Offer, "192.0.2.32"},
		{"nor by a REQUEST", request(7, wants("192.0.2.11"), ourID), dhcp4.NAK, "0.0.0.0"},
		{"a renewal that does not tell the class keeps the address", renewal(1, "192.0.2.10"), dhcp4.ACK, "192.0.2.10"},
		{"who only says that he has such an address does not get it", renewal(8, "192.0.2.11"), dhcp4.NAK, "0.0.0.0"},
		{"a reservation goes before", discover(9), dhcp4.Offer, "192.0.2.11"},
		{"a phone that is none any more when it starts again gets another address", discover(1), dhcp4.Offer, "192.0.2.33"},
		{"and has the first one until it takes that", renewal(1, "192.0.2.10", class("phone")), dhcp4.ACK, "192.0.2.10"},
	} {
		if kind, address := b.tell(t, on("fe80::1"), c.message); kind != c.kind || address.String() != c.address {
			t.Errorf("%s: %v of %v, want %v of %v", c.name, kind, address, c.kind, c.address)
		}
	}
}

// TestD4_84PoolsThatAreRefused: nobody gets an address of such a pool, and who has one is refused
// when he renews. A reservation in it goes before.
func TestD4_84PoolsThatAreRefused(t *testing.T) {
	b := newBench(t)
	document := func(refuse string) string {
		return `
- id: 1
  subnet: 192.0.2.0/24
  match: [{interface: eth1}]
  pools: [{range: 192.0.2.10-192.0.2.19` + refuse + `}, 192.0.2.20-192.0.2.29]
  reservations: [{hw-address: "02:00:00:00:00:09", address: 192.0.2.19}]
`
	}
	b.reload(t, document(""))
	at := on("fe80::1")
	for client, a := range map[byte]string{9: "192.0.2.19", 1: "192.0.2.10"} {
		b.steps(t, at, []step{{"an offer", discovers(client), dhcp4.Offer, a}, {"a lease", selects(client, a, "192.0.2.1"), dhcp4.ACK, a}})
	}
	b.reload(t, document(", refuse: silent"))
	b.steps(t, at, []step{
		{"a new client", discovers(2, addrOption(dhcp4.OptRequestedAddress, "192.0.2.11")), dhcp4.Offer, "192.0.2.20"},
		{"a renewal is silent", renews(1, "192.0.2.10"), 0, noAddress},
		{"but that of the reservation", renews(9, "192.0.2.19"), dhcp4.ACK, "192.0.2.19"},
	})
	b.reload(t, document(", refuse: nak"))
	b.steps(t, at, []step{
		{"a renewal gets a NAK", renews(1, "192.0.2.10"), dhcp4.NAK, nakAddr},
		{"and a restart", reboots(1, "192.0.2.10"), dhcp4.NAK, nakAddr},
		{"then the client has an address of the other pool", discovers(1), dhcp4.Offer, "192.0.2.21"},
		{"a RELEASE is carried out", with(netip.MustParseAddr("192.0.2.10"), message(dhcp4.Release, 1)), 0, noAddress},
	})
	if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason=class_refused"); n != 1 {
		t.Errorf("%v are counted as class_refused", n)
	}
	if r := b.stored(t, netip.MustParseAddr("192.0.2.10")); r.State != lease.Released {
		t.Errorf("the released lease is %v", r.State)
	}
}

// TestD4_83ReservationsWithoutAnAddress: their clients get addresses of the pools, of those that
// the reservation names, and the rest of what it says.
func TestD4_83ReservationsWithoutAnAddress(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
- id: 1
  subnet: 192.0.2.0/24
  match: [{interface: eth1}]
  pools: [192.0.2.10-192.0.2.19, {range: 192.0.2.20-192.0.2.20, name: vip}, {range: 192.0.2.30-192.0.2.39, name: guests}]
  classes: [{test: known, options: {root-path: known}, pools: [guests]}]
  reservations:
    - {hw-address: "02:00:00:00:00:01", options: {host-name: one}}
    - {hw-address: "02:00:00:00:00:02", pools: [vip], lease-time: 5m}
    - {hw-address: "02:00:00:00:00:03", pools: [vip]}
    - {hw-address: "02:00:00:00:00:04", refuse: silent}
    - {hw-address: "02:00:00:00:00:05", address: 192.0.2.99}
`)
	at := on("fe80::1")
	b.steps(t, at, []step{
		{"pools of its class", discovers(1), dhcp4.Offer, "192.0.2.30"},
		{"pools of its own", discovers(2), dhcp4.Offer, "192.0.2.20"},
		{"which are full", discovers(3), 0, noAddress},
		{"refused", discovers(4), 0, noAddress},
		{"one with an address", discovers(5), dhcp4.Offer, "192.0.2.99"},
		{"somebody else", discovers(6), dhcp4.Offer, "192.0.2.10"},
		{"is bound", selects(2, "192.0.2.20", "192.0.2.1"), dhcp4.ACK, "192.0.2.20"},
	})
	m := b.ask(t, frame(t, query(discovers(1)), direct))
	if name, _ := m.Option(12); string(name) != "one" || !m.Has(17) {
		t.Errorf("the options are those of %q, known: %v", name, m.Has(17))
	}
	m = b.ask(t, frame(t, query(discovers(2)), direct))
	if n, _ := m.Uint32(dhcp4.OptLeaseTime); n != 300 {
		t.Errorf("lease time %d", n)
	}
}

// TestD4_87IgnoreClientID: where client identifiers are ignored, who has a hardware address is the
// client. Leases from before stay with their clients.
func TestD4_87IgnoreClientID(t *testing.T) {
	const pools = "subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.20]"
	id := func(s string) []byte { return dhcp4.AppendOption(nil, dhcp4.OptClientIdentifier, []byte("id "+s)) }
	boot := dhcp4.AppendOption(nil, 60, []byte("boot"))
	// says is a message of hardware address 02:00:00:00:00:hw without an identifier of its own.
	says := func(kind dhcp4.MessageType, hw byte, options ...[]byte) []byte {
		m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, hw}})
		m = dhcp4.AppendType(m, kind)
		for _, o := range options {
			m = append(m, o...)
		}
		return dhcp4.AppendEnd(m)
	}
	wants := func(a string) []byte { return addrOption(dhcp4.OptRequestedAddress, a) }
	type step struct {
		name    string
		message []byte
		kind    dhcp4.MessageType
		address string
	}
	run := func(t *testing.T, b *bench, steps []step) {
		t.Helper()
		for _, s := range steps {
			if kind, address := b.tell(t, on("fe80::1"), s.message); kind != s.kind || address.String() != s.address {
				t.Errorf("%s: %v of %v, want %v of %v", s.name, kind, address, s.kind, s.address)
			}
		}
	}
	t.Run("subnet", func(t *testing.T) {
		b := newBench(t)
		b.reload(t, "[{id: 1, ignore-client-id: true, "+pools+", reservations: [{hw-address: '02:00:00:00:00:09', address: 192.0.2.9}]}]")
		run(t, b, []step{
			{"a boot loader", says(dhcp4.Request, 1, id("loader"), wants("192.0.2.10"), ourID), dhcp4.ACK, "192.0.2.10"},
			{"the system has its address", says(dhcp4.Discover, 1, id("system")), dhcp4.Offer, "192.0.2.10"},
			{"without an identifier too", says(dhcp4.Request, 1, wants("192.0.2.10")), dhcp4.ACK, "192.0.2.10"},
			{"another host with the same identifier has another", says(dhcp4.Discover, 2, id("system")), dhcp4.Offer, "192.0.2.11"},
			{"who cannot take it", says(dhcp4.Request, 2, id("loader"), wants("192.0.2.10"), ourID), dhcp4.NAK, "0.0.0.0"},
			{"a reservation", says(dhcp4.Discover, 9, id("system")), dhcp4.Offer, "192.0.2.9"},
		})
		if answer := b.ask(t, frame(t, query(says(dhcp4.Discover, 1, id("system"))), direct)); !answer.Has(dhcp4.OptClientIdentifier) {
			t.Error("D4-10 the identifier does not come back")
		}
	})
	t.Run("class", func(t *testing.T) {
		b := newBench(t)
		b.reload(t, "{classes: [{test: \"option[60].hex == 'boot'\", ignore-client-id: true}], subnets: [{id: 1, "+pools+"}]}")
		run(t, b, []step{
			{"in the class", says(dhcp4.Request, 1, id("a"), boot, wants("192.0.2.10"), ourID), dhcp4.ACK, "192.0.2.10"},
			{"in the class, with another identifier", says(dhcp4.Discover, 1, id("b"), boot), dhcp4.Offer, "192.0.2.10"},
			{"not in the class", says(dhcp4.Discover, 1, id("b")), dhcp4.Offer, "192.0.2.11"},
		})
	})
	t.Run("leases from before", func(t *testing.T) {
		b := newBench(t)
		b.reload(t, "[{id: 1, "+pools+"}]")
		run(t, b, []step{
			{"bound by its identifier", says(dhcp4.Request, 1, id("a"), wants("192.0.2.10"), ourID), dhcp4.ACK, "192.0.2.10"},
			{"another", says(dhcp4.Request, 2, id("b"), wants("192.0.2.11"), ourID), dhcp4.ACK, "192.0.2.11"},
			{"a third", says(dhcp4.Request, 3, id("c"), wants("192.0.2.12"), ourID), dhcp4.ACK, "192.0.2.12"},
		})
		b.reload(t, "[{id: 1, ignore-client-id: true, "+pools+"}]")
		run(t, b, []step{
			{"a renewal goes on", with(netip.MustParseAddr("192.0.2.10"), says(dhcp4.Request, 1, id("a"))), dhcp4.ACK, "192.0.2.10"},
			{"a new start too", says(dhcp4.Discover, 2, id("b")), dhcp4.Offer, "192.0.2.11"},
			{"the identifier from another hardware address does not", says(dhcp4.Discover, 4, id("c")), dhcp4.Offer, "192.0.2.13"},
			{"its client goes on", with(netip.MustParseAddr("192.0.2.12"), says(dhcp4.Request, 3, id("c"))), dhcp4.ACK, "192.0.2.12"},
		})
		b.tell(t, on("fe80::1"), with(netip.MustParseAddr("192.0.2.12"), says(dhcp4.Release, 3, id("c"), ourID)))
		run(t, b, []step{
			{"when it has ended, the hardware address alone does", says(dhcp4.Request, 3, id("c"), wants("192.0.2.14"), ourID), dhcp4.ACK, "192.0.2.14"},
			{"with any identifier", says(dhcp4.Discover, 3, id("x")), dhcp4.Offer, "192.0.2.14"},
		})
	})
}

// TestD4_89ReservationsByOption82: a reservation by option 82 is for whoever is at the circuit, if
// who says so is trusted. One of several hardware addresses has the address at a time.
func TestD4_89ReservationsByOption82(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
- id: 1
  subnet: 192.0.2.0/24
  pools: [192.0.2.10-192.0.2.20]
  match: [{prefix: "2001:db8::5/128", trust-inner: true}, {prefix: "2001:db8:1::/64"}]
  reservations:
    - {circuit-id: port 7, address: 192.0.2.7}
    - {circuit-id: port 8, agent-remote-id: 0x0a0b, address: 192.0.2.8}
    - {circuit-id: port 8, address: 192.0.2.9}
    - {circuit-id: port 8, link-selection: 192.0.2.1, address: 192.0.2.6}
    - {hw-addresses: ["02:00:00:00:00:a1", "02:00:00:00:00:a2"], address: 192.0.2.5}
`)
	agent, other := on("2001:db8::5"), on("2001:db8:1::5")
	info := func(subs ...string) []byte {
		var v []byte
		for i := 0; i < len(subs); i += 2 {
			v = append(append(v, subs[i][0], byte(len(subs[i+1]))), subs[i+1]...)
		}
		return dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, v)
	}
	wants := func(a string) []byte { return addrOption(dhcp4.OptRequestedAddress, a) }
	request := func(last byte, a string, options ...[]byte) []byte {
		return message(dhcp4.Request, last, append([][]byte{wants(a), ourID}, options...)...)
	}
	for _, c := range []struct {
		name    string
		from    spot
		message []byte
		kind    dhcp4.MessageType
		address string
	}{
		{"circuit", agent, request(1, "192.0.2.7", info("\x01", "port 7")), dhcp4.ACK, "192.0.2.7"},
		{"another device there takes over", agent, message(dhcp4.Discover, 2, info("\x01", "port 7", "\x02", "x")), dhcp4.Offer, "192.0.2.7"},
		{"who is not trusted", other, message(dhcp4.Discover, 3, info("\x01", "port 7")), dhcp4.Offer, "192.0.2.10"},
		{"and not by a REQUEST", other, request(3, "192.0.2.9", info("\x01", "port 8")), dhcp4.NAK, "0.0.0.0"},
		{"circuit and remote", agent, message(dhcp4.Discover, 4, info("\x01", "port 8", "\x02", "\x0a\x0b")), dhcp4.Offer, "192.0.2.8"},
		{"circuit alone", agent, message(dhcp4.Discover, 5, info("\x01", "port 8", "\x02", "\x0a")), dhcp4.Offer, "192.0.2.9"},
		{"circuit and link", agent, message(dhcp4.Discover, 6, info("\x01", "port 8", "\x05", "\xc0\x00\x02\x01")), dhcp4.Offer, "192.0.2.6"},
		{"another circuit", agent, message(dhcp4.Discover, 7, info("\x01", "port 9")), dhcp4.Offer, "192.0.2.11"},
		{"the first of several", other, request(0xa1, "192.0.2.5"), dhcp4.ACK, "192.0.2.5"},
		{"the second meanwhile", other, request(0xa2, "192.0.2.5"), dhcp4.NAK, "0.0.0.0"},
		{"the second gets another", other, message(dhcp4.Discover, 0xa2), dhcp4.Offer, "192.0.2.12"},
		{"the first renews", other, with(netip.MustParseAddr("192.0.2.5"), message(dhcp4.Request, 0xa1)), dhcp4.ACK, "192.0.2.5"},
		{"and leaves", other, with(netip.MustParseAddr("192.0.2.5"), message(dhcp4.Release, 0xa1, ourID)), 0, "invalid IP"},
		{"then the second has it", other, message(dhcp4.Discover, 0xa2), dhcp4.Offer, "192.0.2.5"},
	} {
		if kind, address := b.tell(t, c.from, c.message); kind != c.kind || address.String() != c.address {
			t.Errorf("%s: %v of %v, want %v of %v", c.name, kind, address, c.kind, c.address)
		}
	}
}
