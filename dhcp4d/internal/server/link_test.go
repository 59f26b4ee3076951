package server

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// shared are three prefixes of one link. The class wants chooses the second, and two clients have
// reservations.
const sharedLink = `
classes:
  - {name: wants, test: "option[60].hex == 'wants'"}
  - {name: small, test: "option[60].hex == 'small'", pools: [small]}
  - {name: known ones, test: known, options: {root-path: known}}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    network: home
    match: [{interface: eth1}, {prefix: "2001:db8:5::5/128", trust-inner: true}]
    pools: [192.0.2.10-192.0.2.11]
    reservations: [{hw-address: "02:00:00:00:00:28", address: 192.0.2.40}]
    options: {host-name: one}
  - id: 2
    subnet: 198.51.100.0/24
    network: home
    match: [{interface: eth1, class: wants}]
    pools: [198.51.100.10-198.51.100.11]
    reservations: [{hw-address: "02:00:00:00:00:29", address: 198.51.100.41}]
    options: {host-name: two}
  - id: 3
    subnet: 203.0.113.0/24
    network: home
    pools: [203.0.113.10-203.0.113.11, {range: 203.0.113.20-203.0.113.20, name: small}]
    options: {host-name: three}
  - {id: 4, subnet: 10.0.0.0/24, match: [{interface: eth9}], pools: [10.0.0.10-10.0.0.11]}
`

func sharedBench(t *testing.T, document string) *bench {
	b := newBench(t)
	b.reload(t, document)
	return b
}

// step is one message and what must come of it.
type step struct {
	name    string
	message []byte
	kind    dhcp4.MessageType
	address string
}

const (
	noAddress = "invalid IP"
	nakAddr   = "0.0.0.0"
)

func (b *bench) steps(t *testing.T, where spot, steps []step) {
	t.Helper()
	for _, c := range steps {
		if kind, address := b.tell(t, where, c.message); kind != c.kind || address.String() != c.address {
			t.Errorf("%s: %v of %v, want %v of %v", c.name, kind, address, c.kind, c.address)
		}
	}
}

func discovers(client byte, options ...[]byte) []byte {
	return message(dhcp4.Discover, client, options...)
}

// selects is SELECTING, with the server identifier of a subnet.
func selects(client byte, a, server string) []byte {
	return message(dhcp4.Request, client, addrOption(dhcp4.OptRequestedAddress, a), addrOption(dhcp4.OptServerIdentifier, server))
}

func reboots(client byte, a string) []byte {
	return message(dhcp4.Request, client, addrOption(dhcp4.OptRequestedAddress, a))
}

func renews(client byte, a string) []byte {
	return with(netip.MustParseAddr(a), message(dhcp4.Request, client))
}

func vendor(s string) []byte { return dhcp4.AppendOption(nil, dhcp4.OptVendorClass, []byte(s)) }

// TestD4_91OneLink: the first subnet of a link with room serves a new client, and who has an
// address in one of them keeps it.
func TestD4_91OneLink(t *testing.T) {
	b := sharedBench(t, sharedLink)
	at := on("fe80::1")
	b.steps(t, at, []step{
		{"the first subnet has room", discovers(1), dhcp4.Offer, "192.0.2.10"},
		{"and the client is bound", selects(1, "192.0.2.10", "192.0.2.1"), dhcp4.ACK, "192.0.2.10"},
		{"its last address", discovers(2), dhcp4.Offer, "192.0.2.11"},
		{"its last client", selects(2, "192.0.2.11", "192.0.2.1"), dhcp4.ACK, "192.0.2.11"},
		{"then the second", discovers(3), dhcp4.Offer, "198.51.100.10"},
		{"with the server identifier of the second", selects(3, "198.51.100.10", "198.51.100.1"), dhcp4.ACK, "198.51.100.10"},
		{"that of the first is ours, too", selects(4, "198.51.100.11", "192.0.2.1"), dhcp4.ACK, "198.51.100.11"},
		{"then the third", discovers(5), dhcp4.Offer, "203.0.113.10"},
		{"a renewal", renews(3, "198.51.100.10"), dhcp4.ACK, "198.51.100.10"},
		{"a restart with an address", reboots(3, "198.51.100.10"), dhcp4.ACK, "198.51.100.10"},
		{"a restart without", discovers(3), dhcp4.Offer, "198.51.100.10"},
		{"which wishes another one", discovers(3, addrOption(dhcp4.OptRequestedAddress, "203.0.113.11")), dhcp4.Offer, "198.51.100.10"},
		{"an address of another client on the link", reboots(5, "198.51.100.10"), dhcp4.NAK, nakAddr},
		{"a renewal of another client's", renews(6, "198.51.100.10"), dhcp4.NAK, nakAddr},
		{"a renewal of a second address", renews(3, "203.0.113.11"), dhcp4.NAK, nakAddr},
		{"an address of another link", reboots(3, "10.0.0.10"), dhcp4.NAK, nakAddr},
		{"an address that nobody knows", reboots(7, "203.0.113.11"), dhcp4.NAK, nakAddr},
		{"a new client's wish in the third", discovers(7, addrOption(dhcp4.OptRequestedAddress, "203.0.113.11")), dhcp4.Offer, "203.0.113.11"},
		{"it chooses another server", message(dhcp4.Request, 7, addrOption(dhcp4.OptServerIdentifier, "192.0.2.77"),
			addrOption(dhcp4.OptRequestedAddress, "192.0.2.200")), 0, noAddress},
		{"so its address is free", discovers(8), dhcp4.Offer, "203.0.113.11"},
		{"and the last one", discovers(9), dhcp4.Offer, "203.0.113.20"},
		{"now all are full", discovers(10), 0, noAddress},
		{"a release in the second", with(netip.MustParseAddr("198.51.100.10"), message(dhcp4.Release, 3)), 0, noAddress},
		{"gives room", discovers(10), dhcp4.Offer, "198.51.100.10"},
		{"a decline in the second", message(dhcp4.Decline, 10, addrOption(dhcp4.OptRequestedAddress, "198.51.100.10")), 0, noAddress},
		{"keeps it back", discovers(11), 0, noAddress},
	})
	for i, want := range []struct{ bound, offered, declined int }{{2, 0, 0}, {1, 0, 1}, {0, 3, 0}} {
		if u := b.counts(i); u.Bound != want.bound || u.Offered != want.offered || u.Declined != want.declined {
			t.Errorf("subnet %d counts %+v, want %+v", i+1, u, want)
		}
	}
}

// TestD4_92TheSubnetOfALinkThatIsChosen: by a class, a reservation, option 118 and link selection;
// what the chosen one has no room for, the others serve.
func TestD4_92TheSubnetOfALinkThatIsChosen(t *testing.T) {
	b := sharedBench(t, sharedLink)
	at := on("fe80::1")
	b.steps(t, at, []step{
		{"by class", discovers(1, vendor("wants")), dhcp4.Offer, "198.51.100.10"},
		{"by class, the last one", discovers(2, vendor("wants")), dhcp4.Offer, "198.51.100.11"},
		{"by class, another one serves", discovers(3, vendor("wants")), dhcp4.Offer, "192.0.2.10"},
		{"a class has pools in the third only", discovers(4, vendor("small")), dhcp4.Offer, "203.0.113.20"},
		{"and there is no room", discovers(5, vendor("small")), 0, noAddress},
		{"a reservation in the first", discovers(40), dhcp4.Offer, "192.0.2.40"},
		{"a reservation in the second", discovers(41), dhcp4.Offer, "198.51.100.41"},
		{"which is bound", selects(41, "198.51.100.41", "198.51.100.1"), dhcp4.ACK, "198.51.100.41"},
		{"and not moved away from", renews(41, "192.0.2.11"), dhcp4.NAK, nakAddr},
		{"a reservation is for nobody else", reboots(6, "198.51.100.41"), dhcp4.NAK, nakAddr},
	})
	agent := netip.MustParseAddrPort("[2001:db8:5::5]:547")
	ask := func(client byte, options ...[]byte) dhcp4.Message {
		return b.ask(t, frame(t, query(discovers(client, options...)), agent))
	}
	selection := dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, []byte{5, 4, 203, 0, 113, 1})
	if m := ask(50, addrOption(dhcp4.OptSubnetSelection, "203.0.113.0")); m.YIAddr().String() != "203.0.113.10" || !m.Has(dhcp4.OptSubnetSelection) {
		t.Errorf("option 118: %v", m.YIAddr())
	}
	if m := ask(51, selection); m.YIAddr().String() != "203.0.113.11" {
		t.Errorf("link selection: %v", m.YIAddr())
	}
	if m := ask(52, selection); m.YIAddr().String() != "192.0.2.11" {
		t.Errorf("link selection without room: %v", m.YIAddr())
	}
	for client, want := range map[byte]string{40: "one", 41: "two", 50: "three"} {
		m := b.ask(t, frame(t, query(discovers(client)), direct))
		if name, _ := m.Option(12); string(name) != want {
			t.Errorf("client %d of %v has the options of %q", client, m.YIAddr(), name)
		}
		if m.Has(17) != (want != "three") {
			t.Errorf("client %d: known is %v", client, m.Has(17))
		}
	}
	inform := b.ask(t, frame(t, query(with(netip.MustParseAddr("203.0.113.77"), message(dhcp4.Inform, 60))), direct))
	if name, _ := inform.Option(12); string(name) != "three" {
		t.Errorf("an INFORM from the third subnet has the options of %q", name)
	}
}

// TestD4_93OneLeaseOnALink: who gets an address in another subnet of the link loses the one that it
// had, and is no second client at its attachment point.
func TestD4_93OneLeaseOnALink(t *testing.T) {
	b := sharedBench(t, `
limit: 1
subnets:
  - {id: 1, subnet: 192.0.2.0/24, network: home, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.99]}
  - {id: 2, subnet: 198.51.100.0/24, network: home, pools: [198.51.100.10-198.51.100.99]}
`)
	at := onPort("7")
	b.steps(t, at, []step{
		{"a new client", discovers(1), dhcp4.Offer, "192.0.2.10"},
		{"is bound", selects(1, "192.0.2.10", "192.0.2.1"), dhcp4.ACK, "192.0.2.10"},
		{"a second one is one too many", discovers(2), 0, noAddress},
	})
	b.reload(t, `
limit: 1
subnets:
  - {id: 1, subnet: 192.0.2.0/24, network: home, match: [{interface: eth1}], pools: []}
  - {id: 2, subnet: 198.51.100.0/24, network: home, pools: [198.51.100.10-198.51.100.99]}
`)
	b.steps(t, at, []step{
		{"its pool is gone, and it has an address of the other subnet", discovers(1), dhcp4.Offer, "198.51.100.10"},
		{"until it takes that, it has the first one", renews(1, "192.0.2.10"), dhcp4.ACK, "192.0.2.10"},
		{"which ends", discovers(1), dhcp4.Offer, "198.51.100.10"},
		{"now", selects(1, "198.51.100.10", "198.51.100.1"), dhcp4.ACK, "198.51.100.10"},
		{"a second client is still one too many", discovers(2), 0, noAddress},
	})
	if s := b.state(netip.MustParseAddr("192.0.2.10")); s == lease.Bound {
		t.Error("the client has two leases on the link")
	}
	if r := b.stored(t, netip.MustParseAddr("192.0.2.10")); r.State != lease.Released {
		t.Errorf("the store has %v", r.State)
	}
	b.reload(t, `[{id: 1, subnet: 192.0.2.0/24, network: home, match: [{interface: eth1}], pools: [192.0.2.50-192.0.2.99]}]`)
	b.steps(t, at, []step{
		{"the prefix is taken out of the document", renews(1, "198.51.100.10"), dhcp4.NAK, nakAddr},
		{"and the client gets another one", discovers(1), dhcp4.Offer, "192.0.2.50"},
	})
}

// TestD4_93AnOperatorsLeaseOnALink: a client that has a lease in one subnet of a link gets no other
// one by order, and who gets one by order keeps it.
func TestD4_93AnOperatorsLeaseOnALink(t *testing.T) {
	b := sharedBench(t, sharedLink)
	o := b.orders()
	if _, err := o.Reserve(t.Context(), wanted("203.0.113.10", 1), "test"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Reserve(t.Context(), wanted("192.0.2.10", 1), "test"); !errors.Is(err, leases.ErrConflict) {
		t.Errorf("a second lease on the link: %v", err)
	}
	b.steps(t, on("fe80::1"), []step{{"the client begins", discovers(1), dhcp4.Offer, "203.0.113.10"}})
	b.reload(t, `[{id: 1, subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [{range: 192.0.2.10-192.0.2.11, refuse: nak}]}]`)
	if _, err := o.Reserve(t.Context(), wanted("192.0.2.10", 2), "test"); !errors.Is(err, leases.ErrConflict) {
		t.Errorf("a lease of a pool that is refused: %v", err)
	}
}

// TestALinkServesWhoeverCanBeServed: whatever clients of a link do, no address has two holders, no
// client has two addresses, who has a lease can renew it, and a new client is offered something
// exactly as long as a subnet has room.
func TestALinkServesWhoeverCanBeServed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := sharedBench(t, sharedLink)
		at := on("fe80::1")
		has, holds := map[byte]netip.Addr{}, map[byte]bool{}
		for i := range rapid.IntRange(1, 40).Draw(rt, "messages") {
			client := byte(rapid.IntRange(1, 9).Draw(rt, "client"))
			a := has[client]
			switch form := rapid.IntRange(0, 3).Draw(rt, "form"); {
			case form == 0 && a.IsValid():
				if kind, got := b.tell(t, at, renews(client, a.String())); kind != dhcp4.ACK || got != a {
					rt.Fatalf("%d: client %d renews %v: %v of %v", i, client, a, kind, got)
				}
			case form == 1 && a.IsValid():
				b.tell(t, at, with(a, message(dhcp4.Release, client)))
				delete(has, client)
			default:
				room := 0
				for s := range 3 {
					u := b.counts(s)
					room += int(u.Free)
				}
				kind, got := b.tell(t, at, discovers(client))
				if offered := kind == dhcp4.Offer; offered != (room > 0 || a.IsValid() || holds[client]) {
					rt.Fatalf("%d: %d free, client %d is answered by %v", i, room, client, kind)
				}
				if kind != dhcp4.Offer {
					continue
				}
				holds[client] = true
				if a.IsValid() && got != a {
					rt.Fatalf("%d: client %d has %v and is offered %v", i, client, a, got)
				}
				server := fmt.Sprintf("%d.%d.%d.1", got.As4()[0], got.As4()[1], got.As4()[2])
				if kind, acked := b.tell(t, at, selects(client, got.String(), server)); kind != dhcp4.ACK || acked != got {
					rt.Fatalf("%d: client %d takes %v: %v of %v", i, client, got, kind, acked)
				}
				has[client], holds[client] = got, false
			}
			bound := 0
			for s := range 3 {
				bound += b.counts(s).Bound
			}
			if bound != len(has) {
				rt.Fatalf("%d: %d leases of %d clients", i, bound, len(has))
			}
		}
	})
}
