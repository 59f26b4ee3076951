package server

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// The subnets of the thief: by hardware address on link 8, by option 82 behind the 4o6 relay agent
// 2001:db8::5, else by identifier.
const robbed = `
flex-id: option[60].hex
classes: [{test: "option[60].hex == 'boot'", ignore-client-id: true}]
subnets:
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.250], match: [{interface: eth1}],
   reservations: [{client-id: "ff:33", address: 192.0.2.33}, {hw-addresses: ["02:00:00:00:00:34", "02:00:00:00:00:35"], address: 192.0.2.34},
     {flex-id: flexed, address: 192.0.2.36}]}
- {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.250], match: [{link-address: "2001:db8:7::/64"}],
   reservations: [{interface-id: port9, address: 198.51.100.9}, {hw-address: "02:00:00:00:00:98", address: 198.51.100.98},
     {flex-id: flexed, address: 198.51.100.7}]}
- {id: 3, subnet: 203.0.113.0/25, pools: [203.0.113.10-203.0.113.100], match: [{link-address: "2001:db8:8::/64"}], ignore-client-id: true}
- {id: 4, subnet: 203.0.113.128/25, pools: [203.0.113.130-203.0.113.250], match: [{prefix: "2001:db8::5/128", trust-inner: true}],
   reservations: [{circuit-id: c1, address: 203.0.113.201}]}
`

// A victim has a lease, and does nothing but keep it.
type victim struct {
	name    string
	where   spot
	holder  holder
	options []byte // that its messages have too
	address netip.Addr
	bound   lease.Binding
}

// A host that knows everything of its neighbours, and says whatever it likes, gets none of their
// addresses, and changes none of their leases, until they have been silent up to T2. What it cannot
// say is what its relay writes of it.
func TestAThiefGetsNothing(t *testing.T) {
	for seed := range uint64(10) {
		rob(t, rand.New(rand.NewPCG(seed, 6)), fmt.Sprintf("seed %d", seed))
	}
}

func rob(t *testing.T, random *rand.Rand, seed string) {
	b := newBench(t)
	b.reload(t, robbed)
	behind8 := func(port string) spot {
		return spot{source: "2001:db8:c::1", levels: []spotLevel{{"2001:db8:8::1", "fe80::c", port}}}
	}
	circuit := func(id string) []byte {
		return dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, append([]byte{dhcp4.SubCircuitID, byte(len(id))}, id...))
	}
	victims := []*victim{
		{name: "behind a relay", where: onPort("port7"), holder: holder{1, 1}},
		{name: "whose port is reserved", where: onPort("port9"), holder: holder{2, 2}},
		{name: "whose hardware address is reserved", where: onPort("port8"), holder: holder{3, 0x98}},
		{name: "on the link", where: on("fe80::1"), holder: holder{4, 4}},
		{name: "on the link, whose identifier is reserved", where: on("fe80::2"), holder: holder{0x33, 5}},
		{name: "on the link, with one of several addresses", where: on("fe80::3"), holder: holder{6, 0x34}},
		{name: "known by its hardware address", where: behind8("port7"), holder: holder{7, 7}},
		{name: "in a class that is", where: onPort("port5"), holder: holder{8, 8}, options: dhcp4.AppendOption(nil, 60, []byte("boot"))},
		{name: "known by a flexible identifier", where: onPort("port4"), holder: holder{10, 10}, options: dhcp4.AppendOption(nil, 60, []byte("flexed"))},
		{name: "on the link, known by one", where: on("fe80::4"), holder: holder{11, 11}, options: dhcp4.AppendOption(nil, 60, []byte("flexed"))},
		{name: "behind an agent", where: on("2001:db8::5"), holder: holder{9, 9}, options: circuit("c1")},
	}
	for _, v := range victims {
		ask := func(kind dhcp4.MessageType, options ...[]byte) (dhcp4.MessageType, netip.Addr) {
			return b.tell(t, v.where, v.holder.message(kind, append(options, v.options)...))
		}
		_, v.address = ask(dhcp4.Discover)
		kind, got := ask(dhcp4.Request, addrOption(dhcp4.OptRequestedAddress, v.address.String()), b.server54(v.address))
		if kind != dhcp4.ACK || got != v.address {
			t.Fatalf("%s: the victim %s gets %v of %v", seed, v.name, kind, got)
		}
		v.bound = b.known(v.address)
	}
	const until = 3149 * time.Second // T2
	var passed time.Duration
	for range 40 {
		v := victims[random.IntN(len(victims))]
		if step := time.Duration(random.IntN(200)) * time.Second; random.IntN(3) == 0 && passed+step < until {
			passed += step
			b.clocks.Pass(step)
		}
		where, m, says := forged(b, random, victims, v)
		kind, got := b.tell(t, where, m)
		what := fmt.Sprintf("%s: against the one %s, %v after its ACK, %s", seed, v.name, passed, says)
		for _, v := range victims {
			if now := b.known(v.address); now.State != v.bound.State || now.Expires != v.bound.Expires ||
				string(now.Client) != string(v.bound.Client) || string(now.Point) != string(v.bound.Point) || string(now.HWAddr) != string(v.bound.HWAddr) {
				t.Fatalf("%s: the lease of the one %s is\n%+v and was\n%+v", what, v.name, now, v.bound)
			}
			if got == v.address && (kind == dhcp4.ACK || kind == dhcp4.Offer) {
				t.Fatalf("%s: the answer is %v of %v, which the one %s has", what, kind, got, v.name)
			}
		}
	}
	b.clocks.Pass(until - passed)
	for _, v := range victims {
		if kind, got := b.tell(t, v.where, with(v.address, v.holder.message(dhcp4.Request, v.options))); kind != dhcp4.ACK || got != v.address {
			t.Errorf("%s: the renewal of the one %s is answered by %v of %v", seed, v.name, kind, got)
		}
	}
}

// server54 is option 54 of the subnet in effect of an address.
func (b *bench) server54(a netip.Addr) []byte {
	return addrOption(dhcp4.OptServerIdentifier, b.server.Settings.Load().Leases.Policies[b.position(a)].ServerID.String())
}

// position is the index of the subnet of an address in the document in effect.
func (b *bench) position(a netip.Addr) int {
	return slices.IndexFunc([]string{"192.0.2.", "198.51.100.", "203.0.113.1", "203.0.113.2"}, func(p string) bool {
		return strings.HasPrefix(a.String(), p)
	})
}

// forged is a message of the thief, who is after v, and what it says.
func forged(b *bench, random *rand.Rand, victims []*victim, v *victim) (where spot, m []byte, says string) {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	// The thief's own attachment points, one of each kind.
	where = [...]spot{
		onPort("port66"), {source: "2001:db8:c::1", levels: []spotLevel{{"2001:db8:8::1", "fe80::66", "port66"}}},
		on("fe80::66"), on("2001:db8:1::66"), on("2001:db8::5"), {source: "2001:db8:c::2", levels: []spotLevel{{"2001:db8:7::1", "fe80::66", ""}}},
	}[random.IntN(6)]
	agent := where.source == "2001:db8::5"
	where.levels = slices.Clone(where.levels)
	if len(where.levels) > 0 {
		for range random.IntN(4) { // its own Relay-forwards
			level := spotLevel{one("2001:db8:7::1", "2001:db8:8::1", "::", "fe80::1"), one("fe80::c", "fe80::66", "2001:db8:c::1"), one("", "port7", "port9", "port5")}
			if len(v.where.levels) > 0 && random.IntN(2) == 0 {
				level = v.where.levels[0]
			}
			where.levels = append(where.levels, level)
			where.unbelieved++
		}
	}
	id, hw := v.holder.id, v.holder.hw
	switch random.IntN(4) {
	case 0:
		id = 0x66
	case 1:
		hw = 0x66
	case 2:
		id = victims[random.IntN(len(victims))].holder.id
	}
	// On the link of its victim a host that forges both cannot be told from it, nor one that forges
	// what its victim is known by: see security.md.
	sameLink := len(where.levels) == 0 && slices.ContainsFunc(victims, func(w *victim) bool {
		return len(w.where.levels) == 0 && w.holder.hw == hw
	})
	if sameLink {
		hw = 0x66
	}
	addr := func() netip.Addr { return victims[random.IntN(len(victims))].address }
	if random.IntN(3) > 0 {
		addr = func() netip.Addr { return v.address }
	}
	kind := []dhcp4.MessageType{dhcp4.Discover, dhcp4.Request, dhcp4.Request, dhcp4.Request, dhcp4.Decline, dhcp4.Release, dhcp4.Inform}[random.IntN(7)]
	var options [][]byte
	maybe := func(add ...[]byte) {
		if random.IntN(2) == 0 {
			options = append(options, slices.Concat(add...))
		}
	}
	maybe(addrOption(dhcp4.OptRequestedAddress, addr().String()))
	maybe(b.server54(addr()))
	maybe(dhcp4.AppendOption(nil, 60, []byte(one("boot", "flexed"))))
	maybe(addrOption(dhcp4.OptSubnetSelection, addr().String()))
	maybe(dhcp4.AppendUint32(nil, dhcp4.OptLeaseTime, random.Uint32()))
	info := dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, slices.Concat([]byte{1, 2}, []byte("c1"), []byte{5, 4}, addr().AsSlice(), []byte{11, 4}, addr().AsSlice()))
	if agent {
		// The agent writes option 82 of its own, and takes the client's away.
		options = append(options, dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, []byte{1, 2, 'c', '2'}))
		options = slices.DeleteFunc(options, func(o []byte) bool { return o[0] == dhcp4.OptSubnetSelection })
	} else {
		maybe(info)
	}
	random.Shuffle(len(options), func(i, j int) { options[i], options[j] = options[j], options[i] })
	h := holder{id, hw}
	m = h.message(kind, options...)
	if random.IntN(8) == 0 { // by its hardware address alone
		m = slices.Replace(m, 243, 247)
	}
	if random.IntN(2) == 0 {
		m = with(addr(), m)
	}
	if random.IntN(4) == 0 && !agent {
		a := addr().As4()
		copy(m[24:], a[:]) // giaddr
	}
	return where, m, fmt.Sprintf("%v of %+v from %+v, with %x", kind, h, where, options)
}
