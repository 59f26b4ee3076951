package attachment

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// seen is a level as the twin sees it: with its writer's address.
type seen struct {
	writer, link, peer netip.Addr
	iid, rid, sid      []byte
}

// levels lists what the path has, the outermost first.
func levels(p *dhcp6.Packet, source netip.Addr) (all []seen) {
	for i := range p.Relays() {
		r := p.Relay(i)
		all = append(all, seen{source, r.LinkAddress(), r.PeerAddress(), r.InterfaceID(), r.RemoteID(), r.SubscriberID()})
		source = r.PeerAddress()
	}
	return all
}

func usable(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLinkLocalUnicast() && !a.IsMulticast() && !a.IsLoopback()
}

// twinLevels walks inwards by recursion.
func twinLevels(t *Trust, all []seen, ifc, around string) int {
	if len(all) == 0 {
		return 0
	}
	listed := func(list []netip.Prefix, a netip.Addr) (found bool) {
		for _, p := range list {
			found = found || (usable(a) && p.Masked().Contains(a))
		}
		return found
	}
	w := all[0].writer
	var ok bool
	switch {
	case usable(w):
		ok = listed(t.Relays.outer, w)
	case w.IsLinkLocalUnicast() && around == "":
		ok = t.Interfaces(ifc)
	case w.IsLinkLocalUnicast():
		ok = listed(t.Links.outer, netip.MustParseAddr(around))
	}
	if !ok {
		return 0
	}
	return 1 + twinLevels(t, all[1:], ifc, all[0].link.String())
}

// twinPlace describes a place in words.
func twinPlace(all []seen, ifc, server string) string {
	if len(all) == 0 {
		return fmt.Sprintf("interface %q of %q", ifc, server)
	}
	l := all[len(all)-1]
	var relay string
	switch {
	case usable(l.link):
		relay = l.link.String()
	case usable(l.writer):
		relay = l.writer.String()
	case l.link.IsUnspecified() && l.writer == l.peer:
		relay = "lightweight at " + twinPlace(all[:len(all)-1], ifc, server)
	default:
		relay = l.writer.String() + " at " + twinPlace(all[:len(all)-1], ifc, server)
	}
	switch {
	case len(l.iid) > 0:
		return fmt.Sprintf("interface-id %x of relay (%s)", l.iid, relay)
	case l.rid != nil:
		return fmt.Sprintf("remote-id %x of relay (%s)", l.rid, relay)
	case l.sid != nil:
		return fmt.Sprintf("subscriber-id %x of relay (%s)", l.sid, relay)
	}
	return fmt.Sprintf("somewhere behind relay (%s)", relay)
}

func twinHost(a netip.Addr) string {
	if a.IsLinkLocalUnicast() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// twinPoint is the point, place and subscriber in words.
func twinPoint(p *Path) (point, place, subscriber string) {
	all := levels(p.Packet, p.Source)[:p.Believed]
	client := p.Source
	if len(all) > 0 {
		client = all[len(all)-1].peer
	}
	place = twinPlace(all, string(p.Interface), p.Server)
	subscriber = twinHost(client) + " at " + place
	point = place
	if len(all) == 0 || (len(all[len(all)-1].iid) == 0 && all[len(all)-1].rid == nil && all[len(all)-1].sid == nil) {
		point = subscriber
	}
	return point, place, subscriber
}

// Values are drawn from few, so that paths meet.
var (
	someLinks   = rapid.SampledFrom([]string{"", "", "fe80::1", "fe80::c", link7, link7, "2001:db8:7::2", link8, "::1", "ff02::1"})
	somePeers   = rapid.SampledFrom([]string{"fe80::c", "fe80::c", "fe80::d", r1, r2, "2001:db8:c2::1", "2001:db8:7::c", "2001:db8:7::d", "", "::1", "ff02::1:2"})
	someSources = rapid.SampledFrom([]string{"fe80::c", "fe80::d", r1, r2, "2001:db8:7::c", "2001:db8:7::d", stranger})
	someIDs     = rapid.SampledFrom([]string{"", "", "port1", "port2", string(bytes.Repeat([]byte("long1"), 30)), string(bytes.Repeat([]byte("long1"), 29)) + "long2"})
)

// draw is any path, its levels believed as far as the trust of the tests goes, or all of them.
func draw(t *rapid.T) *Path {
	var all []level
	for range rapid.IntRange(0, 4).Draw(t, "levels") {
		all = append(all, level{someLinks.Draw(t, "link"), somePeers.Draw(t, "peer"), someIDs.Draw(t, "iid"), someIDs.Draw(t, "rid"), someIDs.Draw(t, "sid")})
	}
	p := &Path{Packet: chain(t, all...), Source: addr(someSources.Draw(t, "source")),
		Interface: []byte(rapid.SampledFrom([]string{"eth0", "eth1"}).Draw(t, "interface")),
		Server:    rapid.SampledFrom([]string{"", "west", "east"}).Draw(t, "server")}
	p.Believed = trust.Levels(p.Packet, p.Source, string(p.Interface))
	if rapid.Bool().Draw(t, "all believed") {
		p.Believed = len(all)
	}
	return p
}

func TestPathsAgreeWithTheTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t), draw(t)
		all := levels(a.Packet, a.Source)
		if got, want := trust.Levels(a.Packet, a.Source, string(a.Interface)), twinLevels(&trust, all, string(a.Interface), ""); got != want {
			t.Fatalf("%d levels are believed, the twin says %d: %+v", got, want, all)
		}
		link := netip.Addr{}
		for _, l := range all[:a.Believed] {
			if usable(l.link) {
				link = l.link
			}
		}
		if a.Link() != link {
			t.Fatalf("link %v, the twin says %v", a.Link(), link)
		}
		pointA, placeA, subscriberA := twinPoint(a)
		pointB, placeB, subscriberB := twinPoint(b)
		if a.is(b) != (pointA == pointB) {
			t.Fatalf("%x and %x are\n%s\n%s", a.point(), b.point(), pointA, pointB)
		}
		if bytes.Equal(a.subscriber(), b.subscriber()) != (subscriberA == subscriberB) {
			t.Fatalf("%x and %x are\n%s\n%s", a.subscriber(), b.subscriber(), subscriberA, subscriberB)
		}
		rel := a.compare(b)
		if rel != b.compare(a) {
			t.Fatalf("%x and %x: %d and %d", a.point(), b.point(), rel, b.compare(a))
		}
		if a.Server == b.Server && (rel == SamePort || rel == SameLink) != (placeA == placeB) {
			t.Fatalf("relation %d of\n%s\n%s", rel, placeA, placeB)
		}
		if rel == SeenTwice && a.Server == b.Server {
			t.Fatalf("seen twice by one dhcp6d:\n%s\n%s", placeA, placeB)
		}
		name, other := rapid.SliceOfN(rapid.Byte(), 1, 100).Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "another name")
		counted, otherwise := AppendCount(nil, a.point(), name), AppendCount(nil, b.point(), other)
		if Compare(counted, otherwise) != rel || Compare(a.point(), otherwise) != rel {
			t.Fatalf("what points are counted by changes that %x and %x are %d", a.point(), b.point(), rel)
		}
		if bytes.Equal(CountOf(counted), CountOf(otherwise)) != bytes.Equal(name, other) {
			t.Fatalf("%x and %x are counted by %x and %x", name, other, CountOf(counted), CountOf(otherwise))
		}
		if got := CountOf(b.point()); !bytes.Equal(got, b.point()) {
			t.Fatalf("%x is counted by %x", b.point(), got)
		}
		if parts, ok := Split(counted); !ok || !bytes.Equal(parts.Append(nil), counted) {
			t.Fatalf("%x is not put together again", counted)
		}
		if len(counted) > MaxPoint {
			t.Fatalf("%d octets", len(counted))
		}
	})
}

// FuzzSplit: whatever is stored can be read, and what is a point can be put together again.
func FuzzSplit(f *testing.F) {
	f.Add([]byte{1}, []byte{4})
	f.Add(append([]byte{0x44}, make([]byte, 24)...), append([]byte{0x41}, make([]byte, 40)...))
	f.Add(AppendCount(nil, append([]byte{1}, make([]byte, 24)...), []byte("name")), []byte{0x21, 22: 0, 23: 0, 24: 1})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if Compare(a, b) != Compare(b, a) {
			t.Fatal("not symmetric")
		}
		if Compare(a, a) == Apart {
			t.Fatal("not the same as itself")
		}
		if parts, ok := Split(a); ok {
			if again := parts.Append(nil); !bytes.Equal(again, a) {
				t.Fatalf("%x became %x", a, again)
			}
		}
		once := Stored(bytes.Clone(a))
		if twice := Stored(bytes.Clone(once)); !bytes.Equal(once, twice) {
			t.Fatalf("%x, then %x", once, twice)
		}
	})
}

// FuzzPath: any datagram has a point of bounded length.
func FuzzPath(f *testing.F) {
	f.Add(chain(f, level{link: link7, peer: client, iid: "p"}, level{peer: client, rid: "9999r"}).Bytes(), []byte("eth0"))
	f.Fuzz(func(t *testing.T, b, ifc []byte) {
		var p dhcp6.Packet
		if p.Parse(b) != drop.None {
			return
		}
		w := Path{Packet: &p, Source: netip.MustParseAddr(r1), Interface: ifc[:min(len(ifc), 255)], Server: "west"}
		for w.Believed = range p.Relays() + 1 {
			point := w.point()
			parts, ok := Split(point)
			if !ok || len(point) > MaxPoint || !bytes.Equal(parts.Append(nil), point) {
				t.Fatalf("%x", point)
			}
		}
	})
}
