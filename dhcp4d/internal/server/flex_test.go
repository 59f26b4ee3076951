package server

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

const flexible = `
flex-id: "concat(relay6[-1].option[interface-id].hex, option[200].hex)"
classes:
  - {name: printer, test: "option[60].hex == 'printer'"}
  - {name: camera, test: "option[60].hex == 'camera'"}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    match: [{interface: eth1}, {link-address: "::/0"}]
    pools: [192.0.2.10-192.0.2.99]
    reservations:
      - {flex-id: port7, address: 192.0.2.200, lease-time: 5m}
      - {flex-id: 0x736e31, address: 192.0.2.201}
      - {class: printer, address: 192.0.2.202, options: {host-name: the printer}}
      - {hw-address: "02:00:00:00:00:09", address: 192.0.2.209}
  - id: 2
    subnet: 198.51.100.0/24
    flex-id: "option[201].hex"
    match: [{interface: eth2}]
    pools: [198.51.100.10-198.51.100.99]
    reservations: [{flex-id: x, address: 198.51.100.200}, {class: camera, address: 198.51.100.201}]
`

// TestD4_95FlexibleIdentifiers: who has the value of the subnet's expression has the address.
func TestD4_95FlexibleIdentifiers(t *testing.T) {
	b := newBench(t)
	b.reload(t, flexible)
	serial := func(s string) []byte { return dhcp4.AppendOption(nil, 200, []byte(s)) }
	const port = "192.0.2.200"
	b.steps(t, onPort("port7"), []step{
		{"at the port", discovers(1), dhcp4.Offer, port},
		{"it is bound", selects(1, port, "192.0.2.1"), dhcp4.ACK, port},
		{"a device that replaces it", discovers(2), dhcp4.Offer, port},
		{"has it at once", selects(2, port, "192.0.2.1"), dhcp4.ACK, port},
		{"the former one does not get it back by renewing", renews(1, port), dhcp4.NAK, nakAddr},
		{"a hardware address goes before", discovers(9), dhcp4.Offer, "192.0.2.209"},
		{"another value", discovers(3, serial("x")), dhcp4.Offer, "192.0.2.10"},
	})
	b.steps(t, onPort("port8"), []step{{"another port", discovers(4), dhcp4.Offer, "192.0.2.11"}})
	const own = "192.0.2.201"
	b.steps(t, on("fe80::1"), []step{
		{"on a link, by what the client sends", discovers(5, serial("sn1")), dhcp4.Offer, own},
		{"it is bound", message(dhcp4.Request, 5, serial("sn1"), addrOption(dhcp4.OptRequestedAddress, own), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")), dhcp4.ACK, own},
	})
	b.steps(t, on("fe80::2"), []step{{"another host there does not take it away", discovers(6, serial("sn1")), dhcp4.Offer, "192.0.2.12"}})
	if r := b.stored(t, netip.MustParseAddr(own)); r.State != lease.Bound {
		t.Errorf("the store has %v", r.State)
	}
	m := b.ask(t, frameOn(t, "eth2", query(discovers(7, dhcp4.AppendOption(nil, 201, []byte("x")))), direct))
	if m.YIAddr().String() != "198.51.100.200" {
		t.Errorf("by the expression of the subnet: %v", m.YIAddr())
	}
}

// TestD4_96ReservationsByClass: one client of the class at a time has the address, and its options.
func TestD4_96ReservationsByClass(t *testing.T) {
	b := newBench(t)
	b.reload(t, flexible)
	const reserved = "192.0.2.202"
	b.steps(t, on("fe80::1"), []step{
		{"the first", discovers(1, vendor("printer")), dhcp4.Offer, reserved},
		{"is bound", message(dhcp4.Request, 1, vendor("printer"), addrOption(dhcp4.OptRequestedAddress, reserved), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")), dhcp4.ACK, reserved},
		{"another client of the class", discovers(2, vendor("printer")), dhcp4.Offer, "192.0.2.10"},
		{"a client of no class does not get it by asking", discovers(3, addrOption(dhcp4.OptRequestedAddress, reserved)), dhcp4.Offer, "192.0.2.11"},
		{"the first renews", with(netip.MustParseAddr(reserved), message(dhcp4.Request, 1, vendor("printer"))), dhcp4.ACK, reserved},
		{"and releases", with(netip.MustParseAddr(reserved), message(dhcp4.Release, 1, vendor("printer"))), 0, noAddress},
		{"now the other one has it", discovers(2, vendor("printer")), dhcp4.Offer, reserved},
		{"a class that has none in this subnet", discovers(4, vendor("camera")), dhcp4.Offer, "192.0.2.12"},
	})
	m := b.ask(t, frame(t, query(discovers(2, vendor("printer"))), direct))
	if name, _ := m.Option(12); string(name) != "the printer" {
		t.Errorf("its options are those of %q", name)
	}
}
