package udp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel stands in for sendmmsg: it refuses trains with an error and records
// the number of datagrams of every message it took or refused.
type kernel struct {
	trains, singles unix.Errno
	calls           []int
}

func (k *kernel) writer(t testing.TB, batch int) *writer {
	c, err := Listen(Options{Address: netip.MustParseAddrPort("[::1]:0")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	w := c.NewWriter(batch).(*writer)
	w.single = maxDatagram + 1
	w.send = func(uintptr) bool {
		w.sent, w.errno = 0, 0
		for i := w.next; i < w.end; i++ {
			segments := int(w.msgs[i].header.Iovlen)
			errno := k.singles
			if w.msgs[i].header.Controllen > 0 {
				errno = k.trains
			} else if segments != 1 {
				t.Errorf("%d vectors without a segment length", segments)
			}
			if errno != 0 {
				if w.sent == 0 {
					k.calls = append(k.calls, segments)
					w.errno = errno
				}
				return true
			}
			k.calls = append(k.calls, segments)
			w.sent++
		}
		return true
	}
	return w
}

func run(n, length int) []Packet {
	ps := make([]Packet, n)
	for i := range ps {
		ps[i] = Packet{Data: make([]byte, length), Peer: netip.MustParseAddrPort("[::1]:9")}
	}
	return ps
}

func TestCoalesce(t *testing.T) {
	other := netip.MustParseAddrPort("[::1]:10")
	edit := func(ps []Packet, f func(ps []Packet)) []Packet { f(ps); return ps }
	for _, tc := range []struct {
		name string
		ps   []Packet
		want []int
	}{
		{"one packet", run(1, 100), []int{1}},
		{"equal lengths", run(5, 100), []int{5}},
		{"a shorter one ends the train", edit(run(5, 100), func(ps []Packet) { ps[2].Data = ps[2].Data[:50] }), []int{3, 2}},
		{"a longer one begins a new train", edit(run(5, 100), func(ps []Packet) { ps[2].Data = make([]byte, 101) }), []int{2, 2, 1}},
		{"another destination", edit(run(5, 100), func(ps []Packet) { ps[4].Peer = other }), []int{4, 1}},
		{"another destination between", edit(run(5, 100), func(ps []Packet) { ps[2].Peer = other }), []int{4, 1}},
		{"two in turn", edit(run(6, 100), func(ps []Packet) { ps[1].Peer, ps[3].Peer, ps[5].Peer = other, other, other }), []int{3, 3}},
		{"in turn, one to the first shorter", edit(run(6, 100), func(ps []Packet) {
			ps[1].Peer, ps[3].Peer, ps[5].Peer = other, other, other
			ps[2].Data = ps[2].Data[:50]
		}), []int{2, 3, 1}},
		{"another source", edit(run(5, 100), func(ps []Packet) { ps[4].Local = other.Addr() }), []int{4, 1}},
		{"another interface", edit(run(5, 100), func(ps []Packet) { ps[0].Interface = 1 }), []int{1, 4}},
		{"empty ones go alone", edit(run(4, 100), func(ps []Packet) { ps[1].Data, ps[2].Data = nil, nil }), []int{1, 1, 1, 1}},
		{"64 and no more", run(130, 100), []int{64, 64, 2}},
		{"below 64 KB", run(10, 30000), []int{2, 2, 2, 2, 2}},
		{"a batch at a time", run(201, 10), []int{64, 64, 64, 8, 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var k kernel
			if sent := k.writer(t, 200).Write(tc.ps); sent != len(tc.ps) {
				t.Errorf("sent %d", sent)
			}
			if !slices.Equal(k.calls, tc.want) {
				t.Errorf("messages of %v, want %v", k.calls, tc.want)
			}
		})
	}
}

// What a batch becomes is held to what a map and a list would make of it: the
// same trains, of the packets in their order.
func TestTrainsOfManyWays(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		ps := make([]Packet, 1+rng.IntN(100))
		for i := range ps {
			p := Packet{Data: make([]byte, []int{0, 99, 100, 100, 100, 100, 101}[rng.IntN(7)]), Interface: rng.IntN(2)}
			p.Peer = netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(1 + rng.IntN(5))}), uint16(546+rng.IntN(2)))
			if rng.IntN(8) == 0 {
				p.Local = p.Peer.Addr()
			}
			if rng.IntN(50) == 0 {
				p.Local = netip.IPv4Unspecified() // of the other family
			}
			ps[i] = p
		}
		var k kernel
		w := k.writer(t, len(ps))
		// Where two ways have one slot a train may end early, which the twin
		// does not know: here they have slots of their own.
		w.ways = newWays(1 << 16)
		w.Write(ps)

		type way struct {
			peer  netip.AddrPort
			local netip.Addr
			ifc   int
		}
		latest := make(map[way]int)
		var trains [][]int // of packets
		for i, p := range ps {
			if p.Local.Is4() {
				if !errors.Is(p.Err, unix.EAFNOSUPPORT) {
					t.Fatalf("packet %d of the other family: %v", i, p.Err)
				}
				continue
			}
			on := way{p.Peer, p.Local, p.Interface}
			if n, ok := latest[on]; ok && len(p.Data) > 0 {
				first, last := ps[trains[n][0]], ps[trains[n][len(trains[n])-1]]
				if len(trains[n]) < 64 && len(last.Data) == len(first.Data) && len(p.Data) <= len(first.Data) {
					trains[n] = append(trains[n], i)
					continue
				}
			}
			latest[on] = len(trains)
			trains = append(trains, []int{i})
		}
		if len(trains) != len(w.trains) {
			t.Fatalf("%d trains, want %d", len(w.trains), len(trains))
		}
		for i, want := range trains {
			got := w.trains[i]
			if !slices.Equal(w.order[got.first:][:got.length], want) {
				t.Fatalf("train %d is %v, want %v", i, w.order[got.first:][:got.length], want)
			}
			h := w.msgs[i].header
			vectors := unsafe.Slice(h.Iov, h.Iovlen)
			for j, n := range want {
				if vectors[j].Base != unsafe.SliceData(ps[n].Data) || int(vectors[j].Len) != len(ps[n].Data) {
					t.Fatalf("train %d, packet %d: other octets", i, j)
				}
			}
			if to, _ := w.conn.family.peer((*name)(unsafe.Pointer(h.Name))); to != ps[want[0]].Peer {
				t.Fatalf("train %d goes to %v, want %v", i, to, ps[want[0]].Peer)
			}
		}
	}
}

// Ways that fall on one slot cost trains, but nothing is lost or overtaken.
func TestWaysForget(t *testing.T) {
	ps := run(40, 100)
	for i := range ps {
		ps[i].Peer = netip.AddrPortFrom(ps[i].Peer.Addr(), uint16(1000+i%2))
	}
	var k kernel
	w := k.writer(t, len(ps))
	w.ways = make(ways, 1)
	if sent := w.Write(ps); sent != len(ps) || len(k.calls) != len(ps) {
		t.Errorf("%d sent in messages of %v", sent, k.calls)
	}
	if !slices.IsSorted(w.order) {
		t.Errorf("in the order %v", w.order)
	}
}

func TestRefusedTrain(t *testing.T) {
	for _, tc := range []struct {
		name            string
		trains, singles unix.Errno
		first, second   []int // messages tried for two writes of 3 packets of 100 octets
		short           []int // then for 3 packets of 99 octets
		sent            int
	}{
		{"no checksum offload: never again", unix.EIO, 0, []int{3, 1, 1, 1}, []int{1, 1, 1}, []int{1, 1, 1}, 3},
		{"longer than the path takes: never of this length", unix.EMSGSIZE, 0, []int{3, 1, 1, 1}, []int{1, 1, 1}, []int{3, 1, 1, 1}, 3},
		{"the same before Linux 6.14", unix.EINVAL, 0, []int{3, 1, 1, 1}, []int{1, 1, 1}, []int{3, 1, 1, 1}, 3},
		{"a destination at fault teaches nothing", unix.EINVAL, unix.EINVAL, []int{3, 1, 1, 1}, []int{3, 1, 1, 1}, []int{3, 1, 1, 1}, 0},
		{"unreachable: no second try", unix.ENETUNREACH, 0, []int{3}, []int{3}, []int{3}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := kernel{trains: tc.trains, singles: tc.singles}
			w := k.writer(t, 10)
			for i, want := range [][]int{tc.first, tc.second, tc.short} {
				k.calls = nil
				ps := run(3, 100)
				if i == 2 {
					ps = run(3, 99)
				}
				if sent := w.Write(ps); sent != tc.sent {
					t.Errorf("write %d: sent %d, want %d", i, sent, tc.sent)
				}
				if !slices.Equal(k.calls, want) {
					t.Errorf("write %d: messages of %v, want %v", i, k.calls, want)
				}
				for _, p := range ps {
					if (p.Err == nil) != (tc.sent > 0) {
						t.Errorf("write %d: %v", i, p.Err)
					}
				}
			}
		})
	}
}

// BenchmarkLayOut measures what finding the trains of a batch costs, without
// the kernel.
func BenchmarkLayOut(b *testing.B) {
	const batch = 64
	for _, ways := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("ways=%d", ways), func(b *testing.B) {
			var k kernel
			w := k.writer(b, batch)
			ps := run(batch, 350)
			for i := range ps {
				ps[i].Peer = netip.AddrPortFrom(ps[i].Peer.Addr(), uint16(1000+i%ways))
			}
			b.ReportAllocs()
			for b.Loop() {
				w.layOut(ps)
			}
			if len(w.trains) != ways {
				b.Errorf("%d trains", len(w.trains))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/datagram")
		})
	}
}
