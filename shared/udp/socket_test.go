package udp_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// What only a kernel does.

func TestPacketInfo(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, way := range []struct {
		wild, to string
		both     bool
	}{
		{"[::]:0", "::1", false},
		{"0.0.0.0:0", "127.0.0.1", false},
		{"0.0.0.0:0", "127.0.0.9", false},
		{"[::]:0", "::1", true},
		{"[::]:0", "127.0.0.1", true},
		{"[::]:0", "127.0.0.9", true},
	} {
		wild, to := way.wild, way.to
		for _, coalesce := range []bool{false, true} {
			c := open(t, udp.Options{Address: netip.MustParseAddrPort(wild), BothFamilies: way.both, PacketInfo: true, Coalesce: coalesce, Timestamps: true})
			dst := netip.AddrPortFrom(netip.MustParseAddr(to), c.LocalAddr().Port())
			r, w := c.NewReader(4), c.NewWriter(4)
			before := time.Now()
			ps := []udp.Packet{
				{Data: []byte("one"), Peer: dst, Local: dst.Addr(), Interface: lo.Index},
				{Data: []byte("two"), Peer: dst, Local: dst.Addr(), Interface: lo.Index},
				{Data: []byte("three"), Peer: dst, Local: dst.Addr()},
				{Data: []byte("four"), Peer: dst, Local: dst.Addr(), Interface: lo.Index},
			}
			if sent := w.Write(ps); sent != 4 {
				t.Fatalf("%s: sent %d: %v", wild, sent, ps)
			}
			for i, p := range collect(t, r, 4, 4) {
				if p.Local != dst.Addr() || p.Interface != lo.Index || p.Peer != dst {
					t.Errorf("%s: got local %v, interface %d, peer %v", wild, p.Local, p.Interface, p.Peer)
				}
				if !bytes.Equal(p.Data, ps[i].Data) {
					t.Errorf("%s: got %q, want %q", wild, p.Data, ps[i].Data)
				}
				if at := time.Unix(0, p.Received); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
					t.Errorf("%s: received at %v, sent at %v", wild, at, before)
				}
			}
		}
	}
}

// What is asked at one of several addresses is answered from that address, in trains too.
func TestAnswersFromTheAddressThatWasAsked(t *testing.T) {
	const n = 40
	for _, both := range []bool{false, true} {
		address := netip.MustParseAddrPort("0.0.0.0:0")
		if both {
			address = netip.MustParseAddrPort("[::]:0")
		}
		server := open(t, udp.Options{Address: address, BothFamilies: both, PacketInfo: true, Coalesce: true})
		client := open(t, udp.Options{Address: v4, Coalesce: true})
		port := server.LocalAddr().Port()
		asked := []netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr("127.0.0.7"), port), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.8"), port)}
		var queries []udp.Packet
		for i := range n {
			queries = append(queries, udp.Packet{Data: []byte{byte(i)}, Peer: asked[i%2]})
		}
		if sent := client.NewWriter(n).Write(queries); sent != n {
			t.Fatalf("sent %d of %d", sent, n)
		}
		answers := collect(t, server.NewReader(n), n, n)
		for i := range answers {
			answers[i].Interface = 0
		}
		if sent := server.NewWriter(n).Write(answers); sent != n {
			t.Fatalf("answered %d of %d: %+v", sent, n, answers[0])
		}
		for _, p := range collect(t, client.NewReader(n), n, n) {
			if want := asked[p.Data[0]%2]; p.Peer != want {
				t.Errorf("asked at %v, answered from %v", want, p.Peer)
			}
		}
	}
}

// A socket of both families names no destination with a source of the other one.
func TestFamiliesAreNotMixed(t *testing.T) {
	c := open(t, udp.Options{Address: netip.MustParseAddrPort("[::]:0"), BothFamilies: true, PacketInfo: true})
	port := c.LocalAddr().Port()
	ps := []udp.Packet{
		{Data: []byte("a"), Peer: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), Local: netip.IPv6Loopback()},
		{Data: []byte("b"), Peer: netip.AddrPortFrom(netip.IPv6Loopback(), port), Local: netip.MustParseAddr("127.0.0.1")},
		{Data: []byte("c")},
	}
	if sent := c.NewWriter(4).Write(ps); sent != 0 || ps[0].Err == nil || ps[1].Err == nil || ps[2].Err == nil {
		t.Errorf("%d sent: %+v", sent, ps)
	}
}

func TestTruncated(t *testing.T) {
	b := open(t, udp.Options{Address: v6, MaxDatagram: 100})
	a := open(t, udp.Options{Address: v6})
	r := b.NewReader(4)
	ps := []udp.Packet{
		{Data: make([]byte, 100), Peer: b.LocalAddr()},
		{Data: make([]byte, 101), Peer: b.LocalAddr()},
		{Data: make([]byte, 99), Peer: b.LocalAddr()},
	}
	if sent := a.NewWriter(4).Write(ps); sent != 3 {
		t.Fatalf("sent %d", sent)
	}
	got := collect(t, r, 3, 4)
	for i, want := range []bool{false, true, false} {
		if got[i].Truncated != want || len(got[i].Data) > 100 {
			t.Errorf("packet %d: %d octets, truncated %v", i, len(got[i].Data), got[i].Truncated)
		}
	}
}

// An error is the packet's (or the train's) that caused it; the others go.
func TestErrorOfOnePacket(t *testing.T) {
	b := open(t, udp.Options{Address: v6})
	good := udp.Packet{Data: []byte("good"), Peer: b.LocalAddr()}
	with := func(change func(*udp.Packet)) udp.Packet {
		p := good
		change(&p)
		return p
	}
	bad := []struct {
		name string
		p    udp.Packet
		want []error
	}{
		{"port 0", with(func(p *udp.Packet) { p.Peer = netip.AddrPortFrom(p.Peer.Addr(), 0) }), []error{unix.EINVAL}},
		{"other family", with(func(p *udp.Packet) { p.Peer = v4 }), []error{unix.EAFNOSUPPORT}},
		{"no destination", with(func(p *udp.Packet) { p.Peer = netip.AddrPort{} }), []error{unix.EAFNOSUPPORT}},
		{"source of the other family", with(func(p *udp.Packet) { p.Local = v4.Addr() }), []error{unix.EAFNOSUPPORT}},
		{"source not ours", with(func(p *udp.Packet) { p.Local = netip.MustParseAddr("2001:db8::1") }), []error{unix.EINVAL}},
		{"no such interface", with(func(p *udp.Packet) { p.Interface = 1 << 30 }), []error{unix.ENODEV, unix.ENXIO, unix.EINVAL}},
		{"too long", with(func(p *udp.Packet) { p.Data = make([]byte, 1<<16) }), []error{unix.EMSGSIZE}},
	}
	for _, coalesce := range []bool{false, true} {
		a := open(t, udp.Options{Address: v6, Coalesce: coalesce})
		w, r := a.NewWriter(64), b.NewReader(64)
		for _, tc := range bad {
			t.Run(tc.name, func(t *testing.T) {
				ps := []udp.Packet{good, good, tc.p, tc.p, tc.p, good, good, tc.p, good}
				if sent := w.Write(ps); sent != 5 {
					t.Errorf("sent %d, want 5", sent)
				}
				for i, p := range ps {
					isBad := i == 2 || i == 3 || i == 4 || i == 7
					known := false
					for _, e := range tc.want {
						known = known || errors.Is(p.Err, e)
					}
					if (isBad && !known) || (!isBad && p.Err != nil) {
						t.Errorf("packet %d: %v", i, p.Err)
					}
				}
				for _, p := range collect(t, r, 5, 64) {
					if string(p.Data) != "good" {
						t.Errorf("%d octets arrived", len(p.Data))
					}
				}
			})
		}
	}
}

func TestStats(t *testing.T) {
	b := open(t, udp.Options{Address: v6})
	before, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if before.ReceiveBuffer <= 0 || before.SendBuffer <= 0 || before.ReceiveQueue != 0 || before.Drops != 0 {
		t.Errorf("fresh socket: %+v", before)
	}
	w := open(t, udp.Options{Address: v6}).NewWriter(64)
	ps := make([]udp.Packet, 64)
	for i := range ps {
		ps[i] = udp.Packet{Data: make([]byte, 30000), Peer: b.LocalAddr()}
	}
	for range 20 { // about 38 MB, more than open asks for
		w.Write(ps)
	}
	after, err := b.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if after.ReceiveQueue == 0 || after.Drops == 0 {
		t.Errorf("after a flood: %+v", after)
	}
	_ = b.Close()
	if _, err := b.Stats(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed socket: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	taken := open(t, udp.Options{Address: v6})
	for _, tc := range []struct {
		name, address string
		says          []string
	}{
		{"port in use", taken.LocalAddr().String(), []string{taken.LocalAddr().String(), "in use", "another port"}},
		{"address of another host", "[2001:db8::1]:5000", []string{"[2001:db8::1]:5000", "no address of this host"}},
		{"link-local address without a zone", "[fe80::1]:5000", []string{"%eth0"}},
		{"zone that does not exist", "[fe80::1%nosuchif]:5000", []string{"nosuchif"}},
		{"mapped IPv4 address", "[::ffff:127.0.0.1]:5000", []string{"mapped"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := udp.Listen(udp.Options{Address: netip.MustParseAddrPort(tc.address)})
			if err == nil {
				_ = c.Close()
				t.Fatal("no error")
			}
			t.Log(err)
			for _, s := range tc.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("error does not say %q: %v", s, err)
				}
			}
		})
	}
	if _, err := udp.Listen(udp.Options{}); err == nil {
		t.Error("no address: no error")
	}
}

func TestMembership(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, udp.Options{Address: netip.MustParseAddrPort("[::]:0"), OnlyJoined: true})
	group := netip.MustParseAddr("ff02::1:2")
	for _, err := range []error{
		c.Join(group, lo.Index), c.Join(group, lo.Index),
		c.Leave(group, lo.Index), c.Leave(group, lo.Index),
		c.Join(group, lo.Index),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if err := c.Join(group, 1<<30); !errors.Is(err, unix.ENODEV) {
		t.Errorf("join on no interface: %v", err)
	}
	_ = c.Close()
	if err := c.Join(group, lo.Index); !errors.Is(err, net.ErrClosed) {
		t.Errorf("join on a closed socket: %v", err)
	}
}

// With hundreds of interfaces a socket may meet the kernel's limit, and the
// error says which.
func TestMembershipMemory(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	c := open(t, udp.Options{Address: netip.MustParseAddrPort("[::]:0")})
	group := netip.MustParseAddr("ff12::4:6")
	for range 1 << 20 { // 128 KiB by default, and a membership takes 56 octets
		if err = c.Join(group, lo.Index); err != nil {
			break
		}
		group = group.Next()
	}
	if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "net.core.optmem_max") {
		t.Errorf("in the end: %v", err)
	}
}

// A writer that fills the send buffer waits and loses nothing.
func TestWriterWaits(t *testing.T) {
	b := open(t, udp.Options{Address: v6})
	a, err := udp.Listen(udp.Options{Address: v6, SendBuffer: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	w, r := a.NewWriter(64), b.NewReader(64)
	ps := make([]udp.Packet, 64)
	for i := range ps {
		ps[i] = udp.Packet{Data: make([]byte, 1000+i), Peer: b.LocalAddr()}
	}
	done := make(chan int)
	go func() { done <- w.Write(ps) }()
	for i, p := range collect(t, r, len(ps), 64) {
		if len(p.Data) != 1000+i {
			t.Fatalf("packet %d has %d octets", i, len(p.Data))
		}
	}
	if sent := <-done; sent != len(ps) {
		t.Errorf("sent %d", sent)
	}
}

func TestStopReading(t *testing.T) {
	for _, coalesce := range []bool{false, true} {
		c, other := open(t, udp.Options{Address: v6, Coalesce: coalesce}), open(t, udp.Options{Address: v6})
		r, w := c.NewReader(4), other.NewWriter(64)
		var ps []udp.Packet
		for i := range 50 {
			ps = append(ps, udp.Packet{Data: []byte{byte(i)}, Peer: c.LocalAddr()})
		}
		if w.Write(ps) != len(ps) {
			t.Fatal(ps[0].Err)
		}
		c.StopReading()
		c.StopReading() // once more says no more
		if got := collect(t, r, len(ps), 4); len(got) != len(ps) || got[49].Data[0] != 49 {
			t.Errorf("%d packets of what had arrived", len(got))
		}
		if _, err := r.Read(); err != net.ErrClosed { //nolint:errorlint // the contract is this very value
			t.Errorf("then %v", err)
		}
	}
	// A flood that never leaves the socket empty does not keep it open.
	c, other := open(t, udp.Options{Address: v6}), open(t, udp.Options{Address: v6})
	r, w, stop := c.NewReader(1), other.NewWriter(64), make(chan struct{})
	flooding := make(chan struct{})
	go func() {
		defer close(flooding)
		ps := make([]udp.Packet, 64)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for i := range ps {
				ps[i] = udp.Packet{Data: []byte("flood"), Peer: c.LocalAddr()}
			}
			w.Write(ps)
		}
	}()
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	c.StopReading()
	for {
		if _, err := r.Read(); err != nil {
			break
		}
		time.Sleep(time.Millisecond) // slower than the flood
	}
	close(stop)
	<-flooding
}
