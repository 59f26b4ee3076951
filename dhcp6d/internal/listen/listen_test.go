package listen

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

const serverPort, clientPort = 547, 546

// start opens a link and follows the interfaces until the test ends.
func start(t testing.TB, o Options) *Link {
	t.Helper()
	needNamespace(t)
	o.Port = serverPort
	l, err := Open(o, slog.New(slog.NewTextHandler(t.Output(), nil)))
	check(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		check(t, <-done)
		check(t, l.Close())
	})
	return l
}

// client opens a client's socket on a host, bound to the wildcard.
func (h *host) client() *udp.Conn {
	h.t.Helper()
	var c *udp.Conn
	var err error
	h.run(func() {
		c, err = udp.Listen(udp.Options{
			Address:    netip.AddrPortFrom(netip.IPv6Unspecified(), clientPort),
			PacketInfo: true,
		})
	})
	check(h.t, err)
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// ifindex is the index of the host's eth0 in the host.
func (h *host) ifindex() (i int) {
	h.run(func() { i = index(h.t, "eth0") })
	return i
}

// multicast sends a text to ff02::1:2.
func (h *host) multicast(c *udp.Conn, text string) {
	h.t.Helper()
	h.send(c, RelayAgentsAndServers, text)
}

func (h *host) send(c *udp.Conn, to netip.Addr, text string) {
	h.t.Helper()
	ps := []udp.Packet{{Data: []byte(text), Peer: netip.AddrPortFrom(to, serverPort), Interface: h.ifindex()}}
	if c.NewWriter(1).Write(ps) != 1 {
		h.t.Fatal(ps[0].Err)
	}
}

// read returns n packets with copies of their data.
func read(t testing.TB, r udp.Reader, n int) (got []udp.Packet) {
	t.Helper()
	for len(got) < n {
		ps, err := r.Read()
		check(t, err)
		for _, p := range ps {
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
	}
	return got
}

// eventually waits for a condition. The limit is for a test that hangs.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestD6_6_groups(t *testing.T) {
	needNamespace(t)
	for _, site := range []bool{false, true} {
		h1, h2, h3 := newHost(t), newHost(t), newHost(t)
		h1.connect("a0")
		h2.connect("a1")
		h3.connect("b0")
		t.Run(fmt.Sprintf("D6-6 ff02::1:2 per interface, ff05::1:3 %v", site), func(t *testing.T) {
			start(t, Options{Interfaces: []string{"a*"}, JoinSite: site})
			want := []string{"a0 ff02::1:2", "a1 ff02::1:2"}
			if site {
				want = append(want, "a0 ff05::1:3", "a1 ff05::1:3")
			}
			got := memberships(t)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("memberships %q, want %q", got, want)
			}
		})
		if got := memberships(t); len(got) != 0 {
			t.Errorf("memberships left after Close: %q", got)
		}
		delLink("a0")
		delLink("a1")
		delLink("b0")
	}
}

func TestQ34_servedInterfaces(t *testing.T) {
	needNamespace(t)
	h1, h2 := newHost(t), newHost(t)
	h1.connect("served")
	h2.connect("other")
	l := start(t, Options{Interfaces: []string{"served"}})

	// Another process of the host has joined the group on an interface that we do not serve.
	foreign, err := udp.Listen(udp.Options{Address: netip.AddrPortFrom(netip.IPv6Unspecified(), 5000)})
	check(t, err)
	t.Cleanup(func() { _ = foreign.Close() })
	check(t, foreign.Join(RelayAgentsAndServers, index(t, "other")))

	c1, c2 := h1.client(), h2.client()
	h2.multicast(c2, "multicast on other")
	addresses := l.Interfaces().ByName([]byte("served")).Addresses
	if len(addresses) == 0 {
		t.Fatal("no addresses known")
	}
	own := addresses[0]
	var other netip.Addr
	found, err := interfaces()
	check(t, err)
	for _, s := range found {
		if s.Name == "other" {
			other = s.Addresses[0]
		}
	}
	h2.send(c2, other, "unicast on other")
	h1.multicast(c1, "multicast on served")
	h1.send(c1, own, "unicast on served")

	// The kernel checks only the group. So a datagram from an interface that is not served arrives
	// too, and the table must exclude it.
	got := read(t, l.Conn().NewReader(8), 4)
	for i, want := range []struct {
		text   string
		local  netip.Addr
		served bool
	}{
		{"multicast on other", RelayAgentsAndServers, false},
		{"unicast on other", other, false},
		{"multicast on served", RelayAgentsAndServers, true},
		{"unicast on served", own, true},
	} {
		p := got[i]
		if string(p.Data) != want.text || p.Local != want.local || p.Peer != netip.AddrPortFrom(linkLocal, clientPort) {
			t.Errorf("packet %d: %q from %v to %v, want %q to %v", i, p.Data, p.Peer, p.Local, want.text, want.local)
		}
		i := l.Interfaces().ByIndex(p.Interface)
		if served := i != nil; served != want.served || (served && i.Name != "served") {
			t.Errorf("%q: interface %d is %+v", p.Data, p.Interface, i)
		}
	}
}

func TestD6_36_sameAddressOnTwoLinks(t *testing.T) {
	needNamespace(t)
	hosts := []*host{newHost(t), newHost(t)}
	hosts[0].connect("a0")
	hosts[1].connect("a1")
	l := start(t, Options{Interfaces: []string{"a0", "a1"}})
	r, w := l.Conn().NewReader(8), l.Conn().NewWriter(8)
	clients := []*udp.Conn{hosts[0].client(), hosts[1].client()}

	for i, c := range clients {
		hosts[i].multicast(c, fmt.Sprint("query ", i))
	}
	got := read(t, r, 2)
	if got[0].Peer != got[1].Peer || got[0].Interface == got[1].Interface {
		t.Fatalf("from %v by %d and from %v by %d", got[0].Peer, got[0].Interface, got[1].Peer, got[1].Interface)
	}
	for i := range got { // Peer and Interface as they came in
		got[i].Data = append([]byte("answer to "), got[i].Data...)
		got[i].Local = netip.Addr{}
	}
	if w.Write(got) != 2 {
		t.Fatal(got[0].Err, got[1].Err)
	}
	for i, c := range clients {
		want := fmt.Sprint("answer to query ", i)
		if p := read(t, c.NewReader(8), 1)[0]; string(p.Data) != want || p.Peer.Port() != serverPort {
			t.Errorf("client %d got %q from %v", i, p.Data, p.Peer)
		}
	}
}

func TestD6_39_longReplies(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	l := start(t, Options{Interfaces: []string{"a0"}})
	c := h.client()
	r, w := c.NewReader(8), l.Conn().NewWriter(8)
	// Also several times, where coalescing is not allowed: segments cannot be fragmented.
	for _, n := range []int{1, 3, 5} {
		ps := make([]udp.Packet, n)
		for i := range ps {
			ps[i] = udp.Packet{
				Data:      bytes.Repeat([]byte{byte(i)}, 3000),
				Peer:      netip.AddrPortFrom(linkLocal, clientPort),
				Interface: index(t, "a0"),
			}
		}
		if sent := w.Write(ps); sent != n {
			t.Fatalf("sent %d of %d: %v", sent, n, ps[0].Err)
		}
		for i, p := range read(t, r, n) {
			if !bytes.Equal(p.Data, ps[i].Data) {
				t.Errorf("packet %d: %d octets arrived", i, len(p.Data))
			}
		}
	}
}

// Answers to one relay leave as one train. Nobody on the link can see that.
func TestTrainsOnTheLink(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	l := start(t, Options{Interfaces: []string{"a0"}})
	r, w := h.client().NewReader(64), l.Conn().NewWriter(64)
	ps := make([]udp.Packet, 64)
	for i := range ps {
		ps[i] = udp.Packet{
			Data:      bytes.Repeat([]byte{byte(i)}, 1400),
			Peer:      netip.AddrPortFrom(linkLocal, clientPort),
			Interface: index(t, "a0"),
		}
	}
	ps[63].Data = ps[63].Data[:9]
	if sent := w.Write(ps); sent != len(ps) {
		t.Fatalf("sent %d: %v", sent, ps[0].Err)
	}
	for i, p := range read(t, r, len(ps)) {
		if !bytes.Equal(p.Data, ps[i].Data) {
			t.Fatalf("packet %d: %d octets of %x arrived", i, len(p.Data), p.Data[:1])
		}
	}
}

// A hundred deletions and creations leave nothing behind.
func TestComeAndGo(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("keep")
	l := start(t, Options{Interfaces: []string{"keep", "gone*"}, JoinSite: true})
	r := l.Conn().NewReader(8)
	account := func() string {
		fds, err := os.ReadDir("/proc/self/fd")
		check(t, err)
		s, err := l.Conn().Stats()
		check(t, err)
		return fmt.Sprint(len(fds), " descriptors, ", s.Options, " octets of memberships, ", memberships(t))
	}
	served := func(name string, want bool) func() bool {
		return func() bool {
			i := l.Interfaces().ByName([]byte(name))
			return want == (i != nil && i.Joined)
		}
	}
	visitor := newHost(t)
	cycle := func(n int) {
		attrs := netlink.LinkAttrs{Name: "gone0"}
		if n%2 == 1 {
			attrs.Index = 1000 // the same index again
		}
		addVeth(t, attrs, visitor)
		if n%3 == 0 { // gone and back before dhcp6d may have looked
			delLink("gone0")
			addVeth(t, attrs, visitor)
		}
		want := index(t, "gone0")
		eventually(t, "joined", func() bool {
			i := l.Interfaces().ByIndex(want)
			return i != nil && i.Joined && slices.Contains(memberships(t), "gone0 ff02::1:2")
		})
		delLink("gone0")
		eventually(t, "left", served("gone0", false))
	}
	cycle(0)
	before := account()
	for n := range 100 {
		cycle(n)
	}
	if after := account(); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
	// And it works.
	visitor.connect("gone1")
	eventually(t, "joined", served("gone1", true))
	c := visitor.client()
	visitor.multicast(c, "here again")
	if p := read(t, r, 1)[0]; string(p.Data) != "here again" || p.Interface != index(t, "gone1") {
		t.Errorf("got %q by %d", p.Data, p.Interface)
	}
}

func TestChanges(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	l := start(t, Options{Interfaces: []string{"a*", "!a9"}})
	link, err := netlink.LinkByName("a0")
	check(t, err)
	get := func(name string) Interface {
		if i := l.Interfaces().ByName([]byte(name)); i != nil {
			return *i
		}
		return Interface{}
	}
	eventually(t, "up", func() bool { return get("a0").Up })

	added := netip.MustParseAddr("2001:db8::5")
	check(t, netlink.AddrAdd(link, &netlink.Addr{IPNet: netlink.NewIPNet(added.AsSlice())}))
	eventually(t, "address known", func() bool { return slices.Contains(get("a0").Addresses, added) })
	check(t, netlink.AddrDel(link, &netlink.Addr{IPNet: netlink.NewIPNet(added.AsSlice())}))
	eventually(t, "address forgotten", func() bool { return !slices.Contains(get("a0").Addresses, added) })

	check(t, netlink.LinkSetDown(link))
	eventually(t, "down", func() bool { return !get("a0").Up && get("a0").Joined })

	check(t, netlink.LinkSetName(link, "a9"))
	t.Cleanup(func() { delLink("a9"); delLink("a1"); delLink("b0") })
	eventually(t, "renamed to an exception", func() bool { return l.Interfaces().Len() == 0 && len(memberships(t)) == 0 })
	check(t, netlink.LinkSetName(link, "a1"))
	eventually(t, "renamed to a served name", func() bool {
		return get("a1").Joined && slices.Equal(memberships(t), []string{"a1 ff02::1:2"})
	})

	check(t, netlink.LinkSetMTU(link, 1000))
	eventually(t, "without IPv6", func() bool { return !get("a1").Joined && get("a1").Index != 0 && len(memberships(t)) == 0 })
	check(t, netlink.LinkSetMTU(link, 1500))
	eventually(t, "with IPv6 again", func() bool { return get("a1").Joined && len(memberships(t)) == 1 })

	for _, site := range []bool{true, true, false} {
		check(t, l.Serve([]string{"a*"}, site))
		want := []string{"a1 ff02::1:2"}
		if site {
			want = append(want, "a1 ff05::1:3")
		}
		got := memberships(t)
		slices.Sort(got)
		if !slices.Equal(got, want) || !get("a1").Joined {
			t.Errorf("D6-6 memberships %q, want %q", got, want)
		}
	}
	check(t, l.Serve([]string{"b*"}, false))
	if l.Interfaces().Len() != 0 || len(memberships(t)) != 0 {
		t.Errorf("still served: %+v, %q", l.Interfaces().All(), memberships(t))
	}
	if err := l.Serve([]string{"["}, false); err == nil {
		t.Error("bad pattern accepted")
	}
}

func TestOpenErrors(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	log := slog.New(slog.DiscardHandler)
	taken, err := udp.Listen(udp.Options{Address: netip.MustParseAddrPort("[::]:6000")})
	check(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	for _, tc := range []struct {
		name    string
		options Options
		says    []string
	}{
		{"port in use", Options{Interfaces: []string{"a0"}, Port: 6000}, []string{"[::]:6000", "in use"}},
		{"bad pattern", Options{Interfaces: []string{"["}, Port: 5000}, []string{`"["`}},
		{"nothing to serve", Options{Port: 5000}, []string{"no interface to serve"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := Open(tc.options, log)
			if err == nil {
				_ = l.Close()
				t.Fatal("no error")
			}
			t.Log(err)
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error does not say %q", s)
				}
			}
		})
	}
}

// status is the state of an interface, NoTrouble+100 if it is not to be served.
func (l *Link) status(name string) Trouble {
	for _, s := range l.Interfaces().Status() {
		if s.Name == name {
			return s.Trouble
		}
	}
	return 100
}

// TestInterfaceTroubles makes everything happen that keeps clients on an interface without an
// answer, and ends it again.
func TestInterfaceTroubles(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	later := newHost(t)
	l := start(t, Options{Interfaces: []string{"a0", "late0", "no*"}})
	var ready atomic.Pointer[string]
	l.Watch(func(ok bool, why string) {
		if ok {
			why = "ready"
		}
		ready.Store(&why)
	})
	is := func(name string, want Trouble) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s %v, is %v", name, want, l.status(name)), func() bool { return l.status(name) == want })
	}
	is("a0", NoTrouble)
	is("late0", Missing)
	a0, err := netlink.LinkByName("a0")
	check(t, err)
	t.Cleanup(func() { delLink("a0"); delLink("late0"); delLink("br0") })

	check(t, netlink.LinkSetDown(a0))
	is("a0", Down)
	eventually(t, "not ready", func() bool {
		return *ready.Load() == "a0: it is down or has no carrier; late0: it does not exist"
	})
	check(t, netlink.LinkSetUp(a0))
	is("a0", NoTrouble)
	eventually(t, "ready", func() bool { return *ready.Load() == "ready" })

	addresses, err := netlink.AddrList(a0, netlink.FAMILY_V6)
	check(t, err)
	for i := range addresses {
		check(t, netlink.AddrDel(a0, &addresses[i]))
	}
	is("a0", NoLinkLocal)
	for i := range addresses {
		check(t, netlink.AddrAdd(a0, &netlink.Addr{IPNet: addresses[i].IPNet}))
	}
	is("a0", NoTrouble)

	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	check(t, netlink.LinkAdd(bridge))
	check(t, netlink.LinkSetMaster(a0, bridge))
	is("a0", Port)
	check(t, netlink.LinkSetNoMaster(a0))
	is("a0", NoTrouble)

	check(t, netlink.LinkSetMTU(a0, 1000))
	is("a0", NoIPv6)
	check(t, netlink.LinkSetMTU(a0, 1500))
	is("a0", NoTrouble)

	later.connect("late0")
	is("late0", NoTrouble)
	delLink("late0")
	is("late0", Missing)
	delLink("a0")
	is("a0", Missing)
}

func TestAlternativeNames(t *testing.T) {
	needNamespace(t)
	h := newHost(t)
	h.connect("a0")
	t.Cleanup(func() { delLink("a0") })
	link, err := netlink.LinkByName("a0")
	check(t, err)
	const long = "a-name-of-an-access-port-that-is-longer-than-15"
	l := start(t, Options{Interfaces: []string{long}})
	if l.status(long) != Missing || l.Interfaces().Len() != 0 {
		t.Fatalf("served before it has the name: %+v", l.Interfaces().Status())
	}
	check(t, netlink.LinkAddAltName(link, long))
	eventually(t, "served by its alternative name", func() bool {
		i := l.Interfaces().ByName([]byte("a0"))
		return i != nil && i.Joined && slices.Contains(i.Names, long) && l.status("a0") == NoTrouble
	})
	ps, err := ParsePatterns([]string{"a-name-*"})
	check(t, err)
	if table := l.Interfaces(); !table.Matches("a0", ps) || table.Matches(long, ps) || table.Matches("b0", ps) {
		t.Error("a pattern matches by the alternative names of the interface that is asked for, and only of that")
	}
	if n := testing.AllocsPerRun(100, func() { l.Interfaces().Matches("a0", ps) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	check(t, netlink.LinkDelAltName(link, long))
	eventually(t, "no longer served", func() bool { return l.Interfaces().Len() == 0 && l.status(long) == Missing })
}

func TestTroubleIsLoggedWhenItLasts(t *testing.T) {
	var w watch
	start := time.Unix(1000, 0)
	bad, good := []Status{{"eth0", Down}}, []Status{{"eth0", NoTrouble}}
	steps := []struct {
		after        time.Duration
		now          []Status
		begun, ended int
	}{
		{0, good, 0, 0},
		{time.Second, bad, 0, 0},
		{2 * time.Second, good, 0, 0}, // it was too short
		{3 * time.Second, bad, 0, 0},
		{3*time.Second + settle, bad, 1, 0},
		{4*time.Second + settle, bad, 0, 0}, // once
		{5*time.Second + settle, []Status{{"eth0", Port}}, 0, 0},
		{5*time.Second + 2*settle, []Status{{"eth0", Port}}, 1, 0}, // another trouble
		{6*time.Second + 2*settle, good, 0, 1},
		{7*time.Second + 2*settle, nil, 0, 0},
	}
	for _, s := range steps {
		begun, ended, next := w.update(s.now, start.Add(s.after))
		if len(begun) != s.begun || len(ended) != s.ended {
			t.Errorf("after %v: begun %v, ended %v; want %d and %d", s.after, begun, ended, s.begun, s.ended)
		}
		if waits := len(w.troubled) > 0 && !w.troubled["eth0"].logged; waits != !next.IsZero() {
			t.Errorf("after %v: to be looked at again at %v", s.after, next)
		}
	}
}

func TestInterfacesNoAllocation(t *testing.T) {
	table := NewInterfaces(Interface{Index: 7, Name: "eth0"}, Interface{Index: 8, Name: "eth1"})
	name := []byte("eth1")
	if n := testing.AllocsPerRun(100, func() {
		if table.ByName(name).Index != 8 || table.ByIndex(7).Name != "eth0" || table.ByIndex(9) != nil {
			t.Fatal("wrong interface")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
