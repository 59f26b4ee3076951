package relay

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

func agent(port uint16) *Agent {
	return &Agent{config: Config{LinkAddress: netip.MustParseAddr("2001:db8:1::1"), InterfaceID: []byte("p7"), Port: port,
		Trusted: []netip.Prefix{netip.MustParsePrefix("2001:db8::9/128"), netip.MustParsePrefix("fe80::9/128")}}}
}

func TestForward(t *testing.T) {
	linkLocal, global := netip.MustParseAddrPort("[fe80::9]:546"), netip.MustParseAddrPort("[2001:db8::9]:547")
	query := []byte{20, 0, 0, 0}
	inner := func(hops uint8) []byte { return Wrap([]Level{{HopCount: hops}}, query) }
	for _, test := range []struct {
		name   string
		port   uint16
		in     []byte
		from   netip.AddrPort
		hops   uint8
		link   string
		option []byte // 135
	}{
		{"RL-1, RL-2 a client's message", 547, query, linkLocal, 0, "2001:db8:1::1", nil},
		{"Q-20 a message of an unknown type", 547, []byte{99, 1, 2, 3}, linkLocal, 0, "2001:db8:1::1", nil},
		{"RL-3 a relay's message from a global address", 547, inner(0), global, 1, "::", nil},
		{"RL-3 one from a link-local address", 547, inner(6), netip.AddrPortFrom(linkLocal.Addr(), 547), 7, "2001:db8:1::1", nil},
		{"RL-14 our own port is another", 10547, query, linkLocal, 0, "2001:db8:1::1", []byte{0, 0}},
		{"RL-14 the downstream relay's is", 547, inner(0), netip.AddrPortFrom(global.Addr(), 4711), 1, "::", []byte{0x12, 0x67}},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, err := agent(test.port).forward(test.in, test.from)
			if err != nil {
				t.Fatal(err)
			}
			l, err := ParseLevel(b)
			if err != nil {
				t.Fatal(err)
			}
			if l.MessageType != dhcpv6.MessageTypeRelayForward || l.HopCount != test.hops || l.LinkAddress.String() != test.link ||
				l.PeerAddress != test.from.Addr() || !bytes.Equal(l.Message, test.in) {
				t.Errorf("%+v", l)
			}
			if port, _ := l.Option(dhcpv6.OptionRelayPort); !bytes.Equal(port, test.option) {
				t.Errorf("Relay Port %x, want %x", port, test.option)
			}
		})
	}
	for name, in := range map[string][]byte{"a Relay-reply": {13}, "nothing": {}, "a chain at the limit": inner(HopCountLimit), "half a Relay-forward": inner(0)[:20]} {
		t.Run("RL-3 discards "+name, func(t *testing.T) {
			if b, err := agent(547).forward(in, linkLocal); err == nil {
				t.Errorf("forwarded %x", b)
			}
		})
	}
}

func TestWhoseRelayForwardIsTaken(t *testing.T) {
	chain := Wrap(Chain(1, netip.MustParseAddr("2001:db8:66::1"), netip.MustParseAddr("fe80::66")), []byte{20, 0, 0, 0})
	for _, tt := range []struct {
		name    string
		trusted string
		from    string
		taken   bool
	}{
		{"of nobody by default", "", "[2001:db8::9]:547", false},
		{"of a client by default", "", "[fe80::9]:546", false},
		{"of a relay that is trusted", "2001:db8::9/128", "[2001:db8::9]:547", true},
		{"of a relay that is trusted, from another port (RFC 8357)", "2001:db8::9/128", "[2001:db8::9]:4711", true},
		{"of a client beside a trusted relay", "2001:db8::9/128", "[fe80::9]:546", false},
		{"of a client that uses the port of relays", "2001:db8::9/128", "[2001:db8::66]:547", false},
		{"of an LDRA", "fe80::/10", "[fe80::9]:547", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := agent(547)
			a.config.Trusted = nil
			if tt.trusted != "" {
				a.config.Trusted = []netip.Prefix{netip.MustParsePrefix(tt.trusted)}
			}
			from := netip.MustParseAddrPort(tt.from)
			if _, err := a.forward(chain, from); (err == nil) != tt.taken || (err != nil && !errors.Is(err, errNotTrusted)) {
				t.Errorf("taken: %t, want %t (%v)", err == nil, tt.taken, err)
			}
			if _, err := a.forward([]byte{20, 0, 0, 0}, from); err != nil {
				t.Errorf("a query of the same sender: %v", err)
			}
		})
	}
}

func TestReply(t *testing.T) {
	port := uint16(4711)
	level := Level{PeerAddress: netip.MustParseAddr("fe80::9"), InterfaceID: []byte("p7")}
	toRelay := Level{PeerAddress: netip.MustParseAddr("2001:db8::9"), InterfaceID: []byte("p7"), RelayPort: &port}
	response, reply := []byte{21, 0, 0, 0}, Level{}.wrap(dhcpv6.MessageTypeRelayReply, []byte{21, 0, 0, 0})
	for _, test := range []struct {
		name    string
		level   Level
		message []byte
		want    string
	}{
		{"D6-5 a response goes to the client's port", level, response, "[fe80::9]:546"},
		{"a Relay-reply goes to the relays' port", level, reply, "[fe80::9]:547"},
		{"RL-13 or where Relay Port says", toRelay, reply, "[2001:db8::9]:4711"},
	} {
		t.Run(test.name, func(t *testing.T) {
			message, to, err := agent(547).reply(test.level.wrap(dhcpv6.MessageTypeRelayReply, test.message))
			if err != nil || to.String() != test.want || !bytes.Equal(message, test.message) {
				t.Errorf("%x to %s, %v", message, to, err)
			}
		})
	}
	t.Run("an Interface-Id that is not ours is discarded", func(t *testing.T) {
		level.InterfaceID = []byte("p8")
		if _, to, err := agent(547).reply(level.wrap(dhcpv6.MessageTypeRelayReply, response)); err == nil {
			t.Errorf("would go to %s", to)
		}
	})
}

func TestV4Query(t *testing.T) {
	for to, u := range map[string]byte{"255.255.255.255": 0, "192.0.2.1": 0x80} {
		t.Run("RA-2 U comes from the IPv4 destination "+to, func(t *testing.T) {
			message := []byte("carried as it is")
			q := V4Query(message, netip.MustParseAddr(to))
			if payload, ok := Payload(q); !ok || !bytes.Equal(payload, message) || !bytes.Equal(q[:4], []byte{20, u, 0, 0}) {
				t.Errorf("%x", q)
			}
		})
	}
}

// FuzzParseLevel: a level that was read is written, and read again with the same result.
func FuzzParseLevel(f *testing.F) {
	f.Add(Wrap(Chain(3, netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("fe80::1")), []byte{20, 0, 0, 0}))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := ParseLevel(b)
		if err != nil {
			return
		}
		again := append(b[:levelHeader:levelHeader], l.Options.ToBytes()...)
		if !bytes.Equal(again, b) {
			t.Errorf("%x became %x", b, again)
		}
	})
}
