package udp_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// socket is what the contract is about: *udp.Conn and its twin.
type socket interface {
	LocalAddr() netip.AddrPort
	NewReader(batch int) udp.Reader
	NewWriter(batch int) udp.Writer
	Wake()
	Close() error
}

// kinds are the sockets that must behave alike. Each makes two that reach each
// other.
var kinds = []struct {
	name string
	make func(t testing.TB) (a, b socket)
}{
	{"twin", func(testing.TB) (a, b socket) { return twins() }},
	{"IPv6", func(t testing.TB) (a, b socket) {
		return open(t, udp.Options{Address: v6}), open(t, udp.Options{Address: v6})
	}},
	{"IPv6 coalescing", func(t testing.TB) (a, b socket) {
		o := udp.Options{Address: v6, Coalesce: true, PacketInfo: true, Timestamps: true}
		return open(t, o), open(t, o)
	}},
	{"IPv6 coalescing on one side", func(t testing.TB) (a, b socket) {
		return open(t, udp.Options{Address: v6, Coalesce: true}), open(t, udp.Options{Address: v6})
	}},
	{"IPv4", func(t testing.TB) (a, b socket) {
		return open(t, udp.Options{Address: v4}), open(t, udp.Options{Address: v4})
	}},
	{"IPv4 coalescing", func(t testing.TB) (a, b socket) {
		o := udp.Options{Address: v4, Coalesce: true, PacketInfo: true, Timestamps: true}
		return open(t, o), open(t, o)
	}},
}

var (
	v6 = netip.MustParseAddrPort("[::1]:0")
	v4 = netip.MustParseAddrPort("127.0.0.1:0")
)

func twins() (a, b socket) {
	x, y := udptest.Pair()
	return x, y
}

func open(t testing.TB, o udp.Options) *udp.Conn {
	t.Helper()
	o.ReceiveBuffer = 4 << 20
	c, err := udp.Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// collect reads n packets and copies them.
func collect(t testing.TB, r udp.Reader, n, batch int) []udp.Packet {
	t.Helper()
	var got []udp.Packet
	for len(got) < n {
		ps, err := r.Read()
		if err != nil {
			t.Fatalf("Read after %d of %d packets: %v", len(got), n, err)
		}
		if len(ps) == 0 || len(ps) > batch {
			t.Fatalf("Read returned %d packets, want 1 to %d", len(ps), batch)
		}
		for _, p := range ps {
			p.Data = bytes.Clone(p.Data)
			got = append(got, p)
		}
	}
	return got
}

func TestContract(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Run("packets arrive whole, in order, with their source", func(t *testing.T) {
				testOrder(t, k.make)
			})
			t.Run("IPC-4 a datagram of 60000 octets passes both ways", func(t *testing.T) {
				a, b := k.make(t)
				testLarge(t, a, b)
				testLarge(t, b, a)
			})
			t.Run("an empty datagram is a packet", func(t *testing.T) {
				a, b := k.make(t)
				r := b.NewReader(4)
				if sent := a.NewWriter(4).Write([]udp.Packet{{Peer: b.LocalAddr()}, {Peer: b.LocalAddr()}}); sent != 2 {
					t.Fatalf("sent %d, want 2", sent)
				}
				for _, p := range collect(t, r, 2, 4) {
					if len(p.Data) != 0 || p.Truncated {
						t.Errorf("got %d octets, truncated %v", len(p.Data), p.Truncated)
					}
				}
			})
			t.Run("nothing to write is nothing sent", func(t *testing.T) {
				a, _ := k.make(t)
				if sent := a.NewWriter(4).Write(nil); sent != 0 {
					t.Errorf("sent %d", sent)
				}
			})
			t.Run("two writers at a time lose nothing", func(t *testing.T) {
				a, b := k.make(t)
				r := b.NewReader(8)
				const each = 300
				for i := range 2 {
					w := a.NewWriter(8)
					go func() {
						for n := range each / 3 {
							ps := make([]udp.Packet, 3)
							for j := range ps {
								ps[j] = udp.Packet{Data: []byte{byte(i), byte(n)}, Peer: b.LocalAddr()}
							}
							w.Write(ps)
						}
					}()
				}
				var count [2]int
				for _, p := range collect(t, r, 2*each, 8) {
					i := p.Data[0]
					if want := byte(count[i] / 3); p.Data[1] != want {
						t.Fatalf("writer %d: %d where %d was due", i, p.Data[1], want)
					}
					count[i]++
				}
			})
			t.Run("a waiting Read ends with net.ErrClosed", func(t *testing.T) {
				_, b := k.make(t)
				r := b.NewReader(4)
				done := make(chan error)
				go func() {
					_, err := r.Read()
					done <- err
				}()
				time.Sleep(10 * time.Millisecond) // so that Read most likely waits; either order must do
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				if err := <-done; !errors.Is(err, net.ErrClosed) {
					t.Errorf("waiting Read returned %v", err)
				}
				if _, err := r.Read(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("later Read returned %v", err)
				}
				if err := b.Close(); !errors.Is(err, net.ErrClosed) {
					t.Errorf("second Close returned %v", err)
				}
			})
			t.Run("Wake ends one Read, and no packet is lost", func(t *testing.T) {
				a, b := k.make(t)
				r, w := b.NewReader(4), a.NewWriter(4)
				got := 0
				read := func() {
					t.Helper()
					ps, err := r.Read()
					if err != nil {
						t.Fatalf("Read returned %v", err)
					}
					for _, p := range ps {
						if want := byte(got); len(p.Data) != 1 || p.Data[0] != want {
							t.Fatalf("packet %d is %x", got, p.Data)
						}
						got++
					}
				}
				for i := range 20 {
					go b.Wake() // before the Read or while it waits
					read()
					if sent := w.Write([]udp.Packet{{Data: []byte{byte(i)}, Peer: b.LocalAddr()}}); sent != 1 {
						t.Fatal("not sent")
					}
					b.Wake()
					for got <= i {
						read()
					}
				}
				if err := b.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
				b.Wake()
				for {
					if _, err := r.Read(); errors.Is(err, net.ErrClosed) {
						break
					}
				}
			})
			t.Run("a closed socket sends nothing", func(t *testing.T) {
				a, b := k.make(t)
				w := a.NewWriter(2)
				_ = a.Close()
				ps := []udp.Packet{{Data: []byte("a"), Peer: b.LocalAddr()}, {Data: []byte("b"), Peer: b.LocalAddr()}, {Data: []byte("c"), Peer: b.LocalAddr()}}
				if sent := w.Write(ps); sent != 0 {
					t.Errorf("sent %d", sent)
				}
				for i, p := range ps {
					if !errors.Is(p.Err, net.ErrClosed) {
						t.Errorf("packet %d: %v", i, p.Err)
					}
				}
			})
		})
	}
}

// testOrder sends runs of many lengths and checks that what arrives is what
// was sent, whatever was coalesced on the way.
func testOrder(t *testing.T, pair func(testing.TB) (a, b socket)) {
	for _, batch := range []int{1, 3, 64} {
		t.Run(fmt.Sprint("batch ", batch), func(t *testing.T) {
			a, b := pair(t)
			w, r := a.NewWriter(batch), b.NewReader(batch)
			lengths := []int{300, 300, 300, 17, 300, 301, 301, 40, 40, 1, 1, 1, 1000, 1000, 999, 2000}
			var ps []udp.Packet
			for i := range 150 {
				data := bytes.Repeat([]byte{byte(i)}, lengths[i%len(lengths)])
				ps = append(ps, udp.Packet{Data: data, Peer: b.LocalAddr(), Err: errors.New("of an earlier use")})
			}
			for range 200 { // a long run of one length: several full trains
				ps = append(ps, udp.Packet{Data: bytes.Repeat([]byte{byte(len(ps))}, 350), Peer: b.LocalAddr()})
			}
			if sent := w.Write(ps); sent != len(ps) {
				t.Errorf("sent %d, want %d", sent, len(ps))
			}
			for i, p := range ps {
				if p.Err != nil {
					t.Fatalf("packet %d: %v", i, p.Err)
				}
			}
			for i, p := range collect(t, r, len(ps), batch) {
				if !bytes.Equal(p.Data, ps[i].Data) {
					t.Fatalf("packet %d: got %d octets of %x, want %d of %x", i, len(p.Data), p.Data[:1], len(ps[i].Data), ps[i].Data[:1])
				}
				if p.Peer != a.LocalAddr() {
					t.Fatalf("packet %d: from %v, want %v", i, p.Peer, a.LocalAddr())
				}
				if p.Truncated || p.Err != nil {
					t.Fatalf("packet %d: truncated %v, error %v", i, p.Truncated, p.Err)
				}
			}
		})
	}
}

func testLarge(t *testing.T, from, to socket) {
	t.Helper()
	r := to.NewReader(2)
	data := bytes.Repeat([]byte("4o6!"), 15000)
	ps := []udp.Packet{{Data: data, Peer: to.LocalAddr()}, {Data: data[:100], Peer: to.LocalAddr()}}
	if sent := from.NewWriter(2).Write(ps); sent != 2 {
		t.Fatalf("sent %d: %v, %v", sent, ps[0].Err, ps[1].Err)
	}
	for i, p := range collect(t, r, 2, 2) {
		if !bytes.Equal(p.Data, ps[i].Data) || p.Truncated {
			t.Errorf("packet %d: %d octets arrived, truncated %v", i, len(p.Data), p.Truncated)
		}
	}
}
