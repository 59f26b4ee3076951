package attachment

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// level is one relay level of a test, as text; the zero link and peer are ::.
type level struct{ link, peer, iid, rid, sid string }

func addr(s string) netip.Addr {
	if s == "" {
		return netip.IPv6Unspecified()
	}
	return netip.MustParseAddr(s)
}

// failer is a test, also of rapid.
type failer interface {
	Helper()
	Fatal(args ...any)
}

// chain builds a datagram of levels, the outermost first.
func chain(t failer, levels ...level) *dhcp6.Packet {
	t.Helper()
	b := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	for i, l := range slices.Backward(levels) {
		var options []byte
		for code, id := range map[dhcp6.Code]string{dhcp6.OptInterfaceID: l.iid, dhcp6.OptRemoteID: l.rid, dhcp6.OptSubscriberID: l.sid} {
			if id != "" {
				options = dhcp6.AppendOption(options, code, []byte(id))
			}
		}
		b = dhcp6.AppendRelayForward(nil, uint8(len(levels)-1-i), addr(l.link), addr(l.peer), options, b)
	}
	p := new(dhcp6.Packet)
	if why := p.Parse(b); why != drop.None {
		t.Fatal(why)
	}
	return p
}

func prefixes(list ...string) (ps []netip.Prefix) {
	for _, s := range list {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	return ps
}

// trust of the tests: relays on 2001:db8:c::/64, lightweight agents on eth1
// and on the link 2001:db8:7::/64.
var trust = Trust{Relays: NewPrefixes(prefixes("2001:db8:c::/64", "2001:db8:c2::1/128")), Links: NewPrefixes(prefixes("2001:db8:7::/64")),
	Interfaces: func(name string) bool { return name == "eth1" }}

const (
	r1, r2   = "2001:db8:c::1", "2001:db8:c::2" // relays
	link7    = "2001:db8:7::1"
	link8    = "2001:db8:8::1"
	client   = "fe80::c"
	stranger = "2001:db8:7::bad"
)

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name   string
		source string
		ifc    string
		levels []level
		want   int
	}{
		{"no relay", client, "eth1", nil, 0},
		{"RL-22 a trusted relay", r1, "eth0", []level{{link: link7, peer: client}}, 1},
		{"RL-22 no relay of ours", stranger, "eth0", []level{{link: link7, peer: client}}, 0},
		{"RL-22 a lightweight agent", client, "eth1", []level{{peer: client, iid: "p"}}, 1},
		{"RL-22 the same on another interface", client, "eth0", []level{{peer: client, iid: "p"}}, 0},
		{"RL-22 two trusted relays", r1, "eth0", []level{{link: link7, peer: r2}, {link: link8, peer: client}}, 2},
		{"RL-22 a level of the client's own, from its global address", r1, "eth0", []level{{link: link7, peer: stranger}, {link: link8, peer: client}}, 1},
		{"RL-22 a level of the client's own, from its link-local address", r1, "eth0", []level{{link: link8, peer: client}, {link: link7, peer: "fe80::1"}}, 1},
		{"RL-22 a lightweight agent behind a relay", r1, "eth0", []level{{link: link7, peer: client}, {peer: client, iid: "p"}}, 2},
		{"RL-22 a relay that sends by multicast behind a relay", r1, "eth0", []level{{link: link7, peer: "fe80::2"}, {link: link8, peer: client}}, 2},
		{"RL-22 a level of the client's own behind a lightweight agent", client, "eth1", []level{{peer: client, iid: "p"}, {link: link7, peer: "fe80::1"}}, 1},
		{"RL-22 and behind one that is behind a relay", r1, "eth0", []level{{link: link7, peer: client}, {peer: client, iid: "p"}, {link: link7, peer: "fe80::1"}}, 2},
		{"RL-22 the link of an outer level does not count further inwards", r1, "eth0", []level{{link: link7, peer: r2}, {peer: client}, {peer: client}}, 2},
		{"RL-22 what is inside a level that is not believed is not believed", r1, "eth0", []level{{link: link7, peer: stranger}, {link: link8, peer: r2}, {link: link8, peer: client}}, 1},
		{"RL-22 a peer-address that is none", r1, "eth0", []level{{link: link7}, {link: link8, peer: client}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := trust.Levels(chain(t, c.levels...), addr(c.source), c.ifc); got != c.want {
				t.Errorf("%d levels are believed, want %d", got, c.want)
			}
		})
	}
	t.Run("RL-22 nobody is trusted by default", func(t *testing.T) {
		var nobody Trust
		if n := nobody.Levels(chain(t, level{link: link7, peer: client}), addr(client), "eth1"); n != 0 {
			t.Error(n)
		}
	})
	t.Run("RL-22 groups and the like are no relays, whatever the prefixes", func(t *testing.T) {
		all := Trust{Relays: NewPrefixes(prefixes("::/0")), Links: NewPrefixes(prefixes("::/0"))}
		for _, a := range []string{"::", "::1", "ff02::1:2"} {
			if n := all.Levels(chain(t, level{link: link7, peer: a}, level{link: link8, peer: client}), addr(r1), "eth0"); n != 1 {
				t.Errorf("%s: %d levels", a, n)
			}
		}
	})
}

// path is a datagram of a test with all its levels believed.
func path(t testing.TB, source, ifc string, levels ...level) *Path {
	return &Path{Packet: chain(t, levels...), Believed: len(levels), Source: addr(source), Interface: []byte(ifc), Server: "west"}
}

func (p *Path) believe(n int) *Path      { p.Believed = n; return p }
func (p *Path) from(server string) *Path { p.Server = server; return p }
func (p *Path) point() []byte            { return p.AppendPoint(nil) }
func (p *Path) is(q *Path) bool          { return bytes.Equal(p.point(), q.point()) }
func (p *Path) subscriber() []byte       { return p.AppendSubscriber(nil) }
func (p *Path) compare(q *Path) Relation { return Compare(p.point(), q.point()) }

func TestLink(t *testing.T) {
	for _, c := range []struct {
		name string
		path *Path
		want string
	}{
		{"a direct client", path(t, client, "eth0"), ""},
		{"one relay", path(t, r1, "eth0", level{link: link7, peer: client}), link7},
		{"RL-20 a link-local link-address names no link", path(t, r1, "eth0", level{link: link7, peer: "fe80::2"}, level{link: "fe80::250:56ff:feaa:bb70", peer: client}), link7},
		{"RL-20 an unspecified link-address names no link", path(t, r1, "eth0", level{link: link7, peer: client}, level{peer: client}), link7},
		{"RL-20 several of them", path(t, r1, "eth0", level{link: link7, peer: r2}, level{}, level{link: "fe80::1"}, level{}), link7},
		{"RL-20 nor do the loopback address and groups", path(t, r1, "eth0", level{link: link7, peer: r2}, level{link: "::1"}, level{link: "ff02::1"}), link7},
		{"RL-20 none of them", path(t, r1, "eth0", level{link: "fe80::1", peer: client}), ""},
		{"RL-20 the innermost that names one", path(t, r1, "eth0", level{link: link8, peer: r2}, level{link: link7, peer: client}), link7},
		{"RL-22 a level that is not believed names none", path(t, r1, "eth0", level{link: link8, peer: client}, level{link: link7}).believe(1), link8},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := netip.Addr{}
			if c.want != "" {
				want = addr(c.want)
			}
			if got := c.path.Link(); got != want {
				t.Errorf("link %v, want %v", got, want)
			}
		})
	}
}

func TestClient(t *testing.T) {
	two := path(t, r1, "eth0", level{link: link7, peer: r2, iid: "a"}, level{link: link8, peer: client, iid: "b"})
	for believed, want := range []string{r1, r2, client} {
		t.Run(fmt.Sprintf("RL-22 with %d levels believed", believed), func(t *testing.T) {
			two.Believed = believed
			r, ok := two.Relay()
			if two.Client() != addr(want) || ok != (believed > 0) || (ok && r.InterfaceID()[0] != "ab"[believed-1]) {
				t.Errorf("client %v, relay %v", two.Client(), ok)
			}
		})
	}
}

func TestPoints(t *testing.T) {
	port := func(source, link, iid string) *Path {
		return path(t, source, "eth0", level{link: link, peer: client, iid: iid})
	}
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		a, b *Path
		same bool
		rel  Relation
	}{
		{"Q-37 the addresses of one /64 are one host", path(t, "2001:db8:a::100", "eth0"), path(t, "2001:db8:a::300", "eth0"), true, SameLink},
		{"Q-37 two /64 are two, on one link", path(t, "2001:db8:a::100", "eth0"), path(t, "2001:db8:b::100", "eth0"), false, SameLink},
		{"Q-37 two link-local addresses are two, on one link", path(t, "fe80::1", "eth0"), path(t, "fe80::2", "eth0"), false, SameLink},
		{"Q-37 link-local today and global tomorrow is one link", path(t, "fe80::1", "eth0"), path(t, "2001:db8:a::100", "eth0"), false, SameLink},
		{"Q-37 two interfaces of a dhcp6d are two links", path(t, "fe80::1", "eth0"), path(t, "fe80::1", "eth1"), false, Apart},
		{"Q-37 interfaces of two dhcp6d may be one link", path(t, "fe80::1", "eth0"), path(t, "fe80::1", "eth0").from("east"), false, SeenTwice},
		{"Q-37 whatever they are called", path(t, "fe80::1", "eth0"), path(t, "fe80::1", "eth7").from("east"), false, SeenTwice},
		{"Q-37 and where the dhcp6d is not known, by the interface", path(t, "fe80::1", "eth0"), path(t, "fe80::2", "eth0").from(""), false, SameLink},

		{"RL-21 a port is one, whatever the client's address", port(r1, link7, "p"), path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::1:2", iid: "p"}), true, SamePort},
		{"RL-21 two ports of a relay", port(r1, link7, "p"), port(r1, link7, "q"), false, Apart},
		{"RL-21 equal ports of relays on two links", port(r1, link7, "p"), port(r1, link8, "p"), false, Apart},
		{"RL-21 one relay by two ways", port(r1, link7, "p"), port(r2, link7, "p"), true, SamePort},
		{"RL-21 equal ports of relays with equal link-local link-addresses", port(r1, "fe80::1", "p"), port(r2, "fe80::1", "p"), false, Apart},
		{"RL-21 equal ports of relays with none", port(r1, "", "p"), port(r2, "", "p"), false, Apart},
		{"RL-21 of one relay with none", port(r1, "", "p"), port(r1, "", "p"), true, SamePort},
		{"RL-21 known by the peer-address of the next level", path(t, r1, "eth0", level{link: link7, peer: "2001:db8:c::7"}, level{peer: client, iid: "p"}),
			path(t, r1, "eth0", level{link: link7, peer: "2001:db8:c::8"}, level{peer: client, iid: "p"}), false, Apart},
		{"RL-21 known by a link-local peer-address, on one link", path(t, r1, "eth0", level{link: link7, peer: "fe80::7"}, level{link: "fe80::1", peer: client, iid: "p"}),
			path(t, r1, "eth0", level{link: link7, peer: "fe80::8"}, level{link: "fe80::1", peer: client, iid: "p"}), false, Apart},
		{"RL-21 known by a link-local peer-address, on two links", path(t, r1, "eth0", level{link: link7, peer: "fe80::7"}, level{link: "fe80::1", peer: client, iid: "p"}),
			path(t, r1, "eth0", level{link: link8, peer: "fe80::7"}, level{link: "fe80::1", peer: client, iid: "p"}), false, Apart},
		{"RL-21 clients of one port of a lightweight agent", path(t, "fe80::c", "eth1", level{peer: "fe80::c", iid: "p"}), path(t, "fe80::d", "eth1", level{peer: "fe80::d", iid: "p"}), true, SamePort},
		{"RL-21 lightweight agents on two interfaces", path(t, client, "eth1", level{peer: client, iid: "p"}), path(t, client, "eth2", level{peer: client, iid: "p"}), false, Apart},
		{"RL-21 one seen by two dhcp6d", path(t, client, "eth1", level{peer: client, iid: "p"}), path(t, client, "eth1", level{peer: client, iid: "p"}).from("east"), false, SeenTwice},
		{"RL-21 lightweight agents behind two ports of a relay", path(t, r1, "eth0", level{link: link7, peer: client, iid: "1"}, level{peer: client, iid: "p"}),
			path(t, r1, "eth0", level{link: link7, peer: client, iid: "2"}, level{peer: client, iid: "p"}), false, Apart},
		{"RL-21 clients of one port of one behind a relay", path(t, r1, "eth0", level{link: link7, peer: "fe80::c", iid: "1"}, level{peer: "fe80::c", iid: "p"}),
			path(t, r1, "eth0", level{link: link7, peer: "fe80::d", iid: "1"}, level{peer: "fe80::d", iid: "p"}), true, SamePort},
		{"RL-21 an Interface-Id before a Remote-Id", path(t, r1, "eth0", level{link: link7, peer: client, iid: "p", rid: "9999r"}), port(r1, link7, "p"), true, SamePort},
		{"RL-21 two Remote-Ids", path(t, r1, "eth0", level{link: link7, peer: client, rid: "9999r"}), path(t, r1, "eth0", level{link: link7, peer: client, rid: "9999s"}), false, Apart},
		{"RL-21 two Subscriber-Ids", path(t, r1, "eth0", level{link: link7, peer: client, sid: "r"}), path(t, r1, "eth0", level{link: link7, peer: client, sid: "s"}), false, Apart},
		{"RL-21 equal octets of two kinds", path(t, r1, "eth0", level{link: link7, peer: client, sid: "12345"}), path(t, r1, "eth0", level{link: link7, peer: client, rid: "12345"}), false, Apart},
		{"RL-21 long identifiers that differ at their end", port(r1, link7, long+"a"), port(r1, link7, long+"b"), false, Apart},
		{"RL-21 one long identifier", port(r1, link7, long), port(r2, link7, long), true, SamePort},
		{"Q-37 clients of a relay that names no port", path(t, r1, "eth0", level{link: link7, peer: "fe80::c"}), path(t, r1, "eth0", level{link: link7, peer: "fe80::d"}), false, SameLink},
		{"Q-37 addresses of one client of it", path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::c"}), path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::d"}), true, SameLink},
		{"Q-37 clients of two such relays", path(t, r1, "eth0", level{link: link7, peer: client}), path(t, r1, "eth0", level{link: link8, peer: client}), false, Apart},
		{"Q-37 direct and relayed", path(t, client, "eth0"), path(t, client, "eth0", level{peer: client}), false, Apart},
		{"RL-22 a level that is not believed is no place", path(t, r1, "eth0", level{link: link8, peer: client, iid: "1"}, level{link: link7, peer: "fe80::1", iid: "p"}).believe(1),
			path(t, r1, "eth0", level{link: link8, peer: client, iid: "1"}), true, SamePort},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.a.is(c.b) != c.same {
				t.Errorf("%x\n%x", c.a.point(), c.b.point())
			}
			if got, back := c.a.compare(c.b), c.b.compare(c.a); got != c.rel || back != c.rel {
				t.Errorf("relation %d and %d, want %d\n%x\n%x", got, back, c.rel, c.a.point(), c.b.point())
			}
		})
	}
}

func TestSubscribers(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b *Path
		same bool
	}{
		{"RL-21 two hosts of one port", path(t, r1, "eth0", level{link: link7, peer: "fe80::c", iid: "p"}), path(t, r1, "eth0", level{link: link7, peer: "fe80::d", iid: "p"}), false},
		{"RL-21 two addresses of one of them", path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::c", iid: "p"}), path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::d", iid: "p"}), true},
		{"RL-21 equal hosts and ports of two relays", path(t, r1, "eth0", level{link: link7, peer: client, iid: "p"}), path(t, r2, "eth0", level{link: link8, peer: client, iid: "p"}), false},
		{"Q-37 two hosts of a link", path(t, "fe80::1", "eth0"), path(t, "fe80::2", "eth0"), false},
		{"Q-37 equal hosts of two links", path(t, "fe80::1", "eth0"), path(t, "fe80::1", "eth1"), false},
		{"Q-37 two addresses of a /64", path(t, "2001:db8:a::1", "eth0"), path(t, "2001:db8:a::2", "eth0"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if bytes.Equal(c.a.subscriber(), c.b.subscriber()) != c.same {
				t.Errorf("%x\n%x", c.a.subscriber(), c.b.subscriber())
			}
		})
	}
}

// TestStored: points of earlier versions are found again.
func TestStored(t *testing.T) {
	old := func(kind byte, a, id string) []byte {
		b := addr(a).As16()
		return append(append([]byte{kind}, b[:]...), id...)
	}
	peer := func(a string) string { b := addr(a).As16(); return string(b[:]) }
	for _, c := range []struct {
		name   string
		stored []byte
		today  *Path
		rel    Relation
	}{
		{"a port", old(1, link7, "p"), path(t, r1, "eth0", level{link: link7, peer: client, iid: "p"}), SamePort},
		{"a line", old(2, link7, "9999r"), path(t, r1, "eth0", level{link: link7, peer: client, rid: "9999r"}), SamePort},
		{"a relay's peer", old(3, link7, peer("2001:db8:7::c")), path(t, r1, "eth0", level{link: link7, peer: "2001:db8:7::d"}), SameLink},
		{"a direct client", old(4, "2001:db8:a::1", "eth0"), path(t, "2001:db8:a::2", "eth0"), SameLink},
		{"on another interface", old(4, "2001:db8:a::1", "eth1"), path(t, "2001:db8:a::2", "eth0"), SeenTwice},
	} {
		t.Run(c.name, func(t *testing.T) {
			if rel := Compare(Stored(c.stored), c.today.point()); rel != c.rel {
				t.Errorf("relation %d, want %d", rel, c.rel)
			}
		})
	}
	for name, b := range map[string][]byte{"no link": old(1, "::", "p"), "a link-local link": old(2, "fe80::1", "9999r"), "nobody": nil} {
		t.Run(name+" is not known", func(t *testing.T) {
			if got := Stored(b); got != nil {
				t.Errorf("%x", got)
			}
		})
	}
	t.Run("what is written today stays", func(t *testing.T) {
		rapid.Check(t, func(t *rapid.T) {
			p := draw(t).point()
			if got := Stored(bytes.Clone(p)); !bytes.Equal(got, p) {
				t.Errorf("%x became %x", p, got)
			}
		})
	})
}

func TestNoAllocation(t *testing.T) {
	p := path(t, r1, "eth0", level{link: link7, peer: client, iid: "1"}, level{peer: client, iid: strings.Repeat("x", 200)})
	q := path(t, "fe80::1", "eth0").point()
	buf := make([]byte, 0, 512)
	if n := testing.AllocsPerRun(100, func() {
		p.Believed = trust.Levels(p.Packet, p.Source, "eth0")
		buf = p.AppendPoint(buf[:0])
		Compare(buf, q)
		buf = p.AppendSubscriber(buf[:0])
		_, _, _ = p.Link(), p.Client(), Stored(buf)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPath(b *testing.B) {
	for name, p := range map[string]*Path{
		"direct":      path(b, client, "eth0"),
		"relayed":     path(b, r1, "eth0", level{link: link7, peer: client, iid: "port-7"}),
		"lightweight": path(b, client, "eth1", level{peer: client, iid: "port-7"}),
		"nested":      path(b, r1, "eth0", level{link: link7, peer: client, iid: "1"}, level{peer: client, iid: "port-7"}),
	} {
		b.Run(name, func(b *testing.B) {
			buf := make([]byte, 0, 512)
			b.ReportAllocs()
			for b.Loop() {
				p.Believed = trust.Levels(p.Packet, p.Source, "eth0")
				buf = p.AppendPoint(buf[:0])
			}
		})
	}
}
