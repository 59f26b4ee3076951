package server

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestContextComesBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		context ipc.Context
	}{
		{"of a direct client", ipc.Context{Interface: []byte("eth1"), Source: direct}},
		{"of a relay with a port of its own", ipc.Context{Interface: []byte("a.15-octet.name"), Source: netip.MustParseAddrPort("[2001:db8:1::7]:1067")}},
		{"with the local address", ipc.Context{Interface: []byte("eth1"), Source: netip.MustParseAddrPort("[2001:db8:1::7]:546"), Local: netip.MustParseAddr("2001:db8:1::53")}},
	} {
		for _, addrs := range [][2]string{{"0.0.0.0", "0.0.0.0"}, {"203.0.113.5", "0.0.0.0"}, {"0.0.0.0", "203.0.113.6"}, {"255.255.255.255", "127.0.0.1"}} {
			t.Run(fmt.Sprintf("D4-5 %s, giaddr %s, ciaddr %s", c.name, addrs[0], addrs[1]), func(t *testing.T) {
				b := newBench(t)
				m := with(netip.MustParseAddr(addrs[1]), message(dhcp4.Discover, 1))
				copy(m[24:28], netip.MustParseAddr(addrs[0]).AsSlice())
				var p dhcp6.Packet
				if why := p.Parse(query(m)); why != drop.None {
					t.Fatal(why)
				}
				f, why := ipc.AppendQuery(nil, &p, c.context)
				if why != drop.None {
					t.Fatal(why)
				}
				b.server.batch([]udp.Packet{{Data: f, Peer: sixd}})
				var r ipc.Response
				if why := r.Parse(b.ipc.Sent(1)[0].Data); why != drop.None {
					t.Fatal(why)
				}
				got := r.Context()
				if !bytes.Equal(got.Interface, c.context.Interface) || got.Source != c.context.Source || got.Local != c.context.Local {
					t.Errorf("the context is %+v, was %+v", got, c.context)
				}
			})
		}
	}
}

func TestOrder(t *testing.T) {
	t.Run("IPC-18 the innermost options of a response ascend, whatever the order of the query's", func(t *testing.T) {
		b := newBench(t)
		m := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
		m = dhcp6.AppendOption(m, dhcp6.OptDHCPv4Msg, message(dhcp4.Discover, 1))
		m = dhcp6.AppendOption(m, dhcp6.OptORO, []byte{0, 88})
		m = dhcp6.AppendOption(m, dhcp6.OptClientID, []byte{0, 3, 0, 1, 2, 0, 0, 0, 0, 1})
		b.server.batch([]udp.Packet{{Data: frame(t, relayed(m, 3), direct), Peer: sixd}})
		rest, code := b.ipc.Sent(1)[0].Data, 0
		for len(rest) > 0 && rest[0] == byte(dhcp6.RelayReply) {
			codes, values := split6(t, rest[34:])
			rest, code = values[slices.Index(codes, int(dhcp6.OptRelayMsg))], code+1
		}
		if codes, _ := split6(t, rest[4:]); !slices.Equal(codes, []int{int(dhcp6.OptVendorOpts), int(dhcp6.OptDHCPv4Msg)}) || code != 3 {
			t.Errorf("options of the response are %v below %d levels", codes, code)
		}
	})
}

// TestOddOptions: whatever options are there besides what a DISCOVER needs, the client gets its
// offer.
func TestOddOptions(t *testing.T) {
	b := newBench(t)
	for code := byte(1); code < dhcp4.OptEnd; code++ {
		if code == dhcp4.OptMessageType {
			continue
		}
		t.Run(fmt.Sprintf("O4-12 option %d", code), func(t *testing.T) {
			for _, length := range []int{0, 1, 3, 5} {
				odd := append([]byte{code, byte(length)}, bytes.Repeat([]byte{9}, length)...)
				reply := b.ask(t, frame(t, query(legacy(dhcp4.Discover, 1, odd)), direct))
				if reply.Type() != dhcp4.Offer {
					t.Fatalf("%d octets: %v", length, reply.Type())
				}
				if id, ok := reply.Option(dhcp4.OptClientIdentifier); code == dhcp4.OptClientIdentifier && ok != (length > 1) {
					t.Errorf("%d octets: option 61 %x comes back", length, id)
				}
			}
		})
	}
	for name, end := range map[string][]byte{"no end": nil, "a stray octet": {61}, "pads and a stray octet": {0, 0, 0, 12}, "garbage behind the end": {255, 61, 9}} {
		t.Run("D4-2 "+name, func(t *testing.T) {
			m := message(dhcp4.Discover, 2)
			m = append(m[:len(m)-1], end...)
			if reply := b.ask(t, frame(t, query(m), direct)); reply.Type() != dhcp4.Offer {
				t.Error(reply.Type())
			}
		})
	}
}

func split6(t *testing.T, b []byte) (codes []int, values [][]byte) {
	t.Helper()
	for len(b) > 0 {
		n := int(b[2])<<8 | int(b[3])
		codes, values = append(codes, int(b[0])<<8|int(b[1])), append(values, b[4:4+n])
		b = b[4+n:]
	}
	return codes, values
}

func TestOneClientOnTwoSubnets(t *testing.T) {
	t.Run("D4-11 the same client on two subnets holds two leases", func(t *testing.T) {
		b := newBench(t)
		first := b.ask(t, frame(t, query(requested(1, netip.MustParseAddr("192.0.2.10"))), direct))
		relay := netip.MustParseAddrPort("[2001:db8:2::1]:547")
		offer := b.ask(t, frame(t, relayed(query(message(dhcp4.Discover, 1)), 1), relay))
		second := b.ask(t, frame(t, relayed(query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, offer.YIAddr().String()),
			addrOption(dhcp4.OptServerIdentifier, "198.51.100.1"))), 1), relay))
		if second.Type() != dhcp4.ACK || first.YIAddr() == second.YIAddr() {
			t.Fatalf("the second lease is %v of %v", second.Type(), second.YIAddr())
		}
		// The first is its own still.
		renewed := b.ask(t, frame(t, query(with(first.YIAddr(), message(dhcp4.Request, 1))), direct))
		if renewed.Type() != dhcp4.ACK || renewed.YIAddr() != first.YIAddr() {
			t.Errorf("the first is renewed by %v of %v", renewed.Type(), renewed.YIAddr())
		}
		if bound := b.counts(0).Bound + b.counts(1).Bound; bound != 2 {
			t.Errorf("%d leases, want 2", bound)
		}
	})
}

func TestRepeats(t *testing.T) {
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprintf("D4-27 ten equal DISCOVERs and REQUESTs make one lease and ten equal answers, in one batch: %t", together), func(t *testing.T) {
			b := newBench(t)
			ten := func(data []byte) (answers []dhcp4.Message) {
				var in []udp.Packet
				for range 10 {
					in = append(in, udp.Packet{Data: bytes.Clone(data), Peer: sixd})
				}
				if together {
					// Ten replies may wait for a sync, in groups of 8 here.
					b.server.batch(in[:5])
					b.server.batch(in[5:])
				} else {
					for _, p := range in {
						b.server.batch([]udp.Packet{p})
					}
				}
				for len(answers) < 10 {
					for _, p := range b.ipc.Sent(1) {
						answers = append(answers, answer(t, p))
					}
				}
				return answers
			}
			same := func(kind dhcp4.MessageType, answers []dhcp4.Message) netip.Addr {
				t.Helper()
				for _, a := range answers {
					// The rest of a lease may have become a second less.
					if a.Type() != kind || a.YIAddr() != answers[0].YIAddr() {
						t.Fatalf("answers are %v of %v and %v of %v", answers[0].Type(), answers[0].YIAddr(), a.Type(), a.YIAddr())
					}
				}
				return answers[0].YIAddr()
			}
			a := same(dhcp4.Offer, ten(frame(t, query(message(dhcp4.Discover, 1, wantsIPs)), direct)))
			if got := same(dhcp4.ACK, ten(frame(t, query(requested(1, a)), direct))); got != a {
				t.Errorf("offered %v, acknowledged %v", a, got)
			}
			if c := b.counts(0); c.Bound != 1 || c.Offered != 0 {
				t.Errorf("the book has %+v", c)
			}
			stored := 0
			if _, err := b.store.Load(func(*lease.Binding) error { stored++; return nil }); err != nil || stored != 1 {
				t.Errorf("%d leases are stored (error %v)", stored, err)
			}
		})
	}
}

// legacy is a DHCPv4 message as a 4o6 relay agent passes it on: giaddr set and
// option 82 at its end.
func legacy(kind dhcp4.MessageType, client byte, options ...[]byte) []byte {
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 1, client}})
	copy(m[24:28], []byte{10, 9, 8, 7})
	m = dhcp4.AppendType(m, kind)
	for _, o := range options {
		m = append(m, o...)
	}
	m = dhcp4.AppendOption(m, dhcp4.OptRelayAgentInformation, append([]byte{1, 4}, "port"...))
	return dhcp4.AppendEnd(m)
}

func TestLegacyClients(t *testing.T) {
	t.Run("RA-6 many legacy clients behind one IPv6 source get a lease each", func(t *testing.T) {
		b := newBench(t)
		given := make(map[netip.Addr]bool)
		for client := range byte(40) {
			var id []byte
			if client%2 == 1 { // of hardware type, as RFC 2132 section 9.14 suggests
				id = dhcp4.AppendOption(nil, dhcp4.OptClientIdentifier, []byte{1, 2, 0, 0, 0, 1, client})
			}
			offer := b.ask(t, frame(t, query(legacy(dhcp4.Discover, client, id)), direct))
			ack := b.ask(t, frame(t, query(legacy(dhcp4.Request, client, id, addrOption(dhcp4.OptRequestedAddress, offer.YIAddr().String()), ourID)), direct))
			if ack.Type() != dhcp4.ACK || given[ack.YIAddr()] {
				t.Fatalf("client %d gets %v of %v", client, ack.Type(), ack.YIAddr())
			}
			given[ack.YIAddr()] = true
			if v, ok := ack.Option(dhcp4.OptRelayAgentInformation); !ok || string(v) != "\x01\x04port" {
				t.Errorf("option 82 comes back as %x", v)
			}
			if v, ok := ack.Option(dhcp4.OptClientIdentifier); ok != (id != nil) || (id != nil && !bytes.Equal(v, id[2:])) {
				t.Errorf("client %d: the identifier comes back as %x, %t", client, v, ok)
			}
			if ack.GIAddr() != netip.MustParseAddr("10.9.8.7") {
				t.Errorf("giaddr is %v", ack.GIAddr())
			}
		}
	})
	t.Run("RA-7 each subnet answers under its own server identifier", func(t *testing.T) {
		b := newBench(t)
		one := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
		two := b.ask(t, frame(t, relayed(query(message(dhcp4.Discover, 1)), 1), netip.MustParseAddrPort("[2001:db8:2::1]:547")))
		for m, want := range map[*dhcp4.Message]string{&one: "\xc0\x00\x02\x01", &two: "\xc6\x33\x64\x01"} {
			if id, _ := m.Option(dhcp4.OptServerIdentifier); string(id) != want {
				t.Errorf("server identifier %x, want %x", id, want)
			}
		}
	})
	t.Run("D6-14 an Interface-Id of the client's own selects nothing and is no attachment point", func(t *testing.T) {
		b := newBench(t)
		forged := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
		forged = dhcp6.AppendOption(forged, dhcp6.OptInterfaceID, []byte("port7"))
		forged = dhcp6.AppendOption(forged, dhcp6.OptRemoteID, []byte{0, 0, 0, 9, 7})
		forged = dhcp6.AppendOption(forged, dhcp6.OptDHCPv4Msg, message(dhcp4.Discover, 1))
		limited := netip.MustParseAddrPort("[2001:db8:4::1]:546") // a point may have one
		b.ask(t, frameOn(t, "eth9", query(message(dhcp4.Discover, 2)), limited))
		b.server.batch([]udp.Packet{{Data: frameOn(t, "eth9", forged, limited), Peer: sixd}})
		if n := b.sum(t, "dhcp4d_packets_dropped_total", "reason=point_limit"); n != 1 {
			t.Errorf("%v queries were dropped for the limit of their point, want 1", n)
		}
	})
}
