package udp_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// exchange is one batch there: written, read, every packet seen.
type exchange struct {
	w  udp.Writer
	r  udp.Reader
	ps []udp.Packet
}

func newExchange(t testing.TB, batch int, o udp.Options) *exchange {
	o.Address = v6
	a, b := open(t, o), open(t, o)
	e := &exchange{w: a.NewWriter(batch), r: b.NewReader(batch), ps: make([]udp.Packet, batch)}
	for i := range e.ps {
		e.ps[i] = udp.Packet{Data: make([]byte, 350), Peer: b.LocalAddr()}
		if o.PacketInfo {
			e.ps[i].Local = netip.IPv6Loopback()
		}
	}
	return e
}

func (e *exchange) run(t testing.TB) {
	if sent := e.w.Write(e.ps); sent != len(e.ps) {
		t.Fatalf("sent %d of %d: %v", sent, len(e.ps), e.ps[0].Err)
	}
	for n := 0; n < len(e.ps); {
		ps, err := e.r.Read()
		if err != nil {
			t.Fatal(err)
		}
		n += len(ps)
	}
}

var costs = []struct {
	name    string
	options udp.Options
}{
	{"plain", udp.Options{}},
	{"coalescing", udp.Options{Coalesce: true}},
	{"everything", udp.Options{Coalesce: true, PacketInfo: true, Timestamps: true}},
}

func TestNoAllocation(t *testing.T) {
	for _, c := range costs {
		for _, batch := range []int{1, 64} {
			e := newExchange(t, batch, c.options)
			if n := testing.AllocsPerRun(200, func() { e.run(t) }); n != 0 {
				t.Errorf("%s, batch of %d: %v allocations", c.name, batch, n)
			}
		}
	}
	// Errors of packets cost none either.
	e := newExchange(t, 4, udp.Options{Coalesce: true})
	for i := range e.ps {
		e.ps[i].Peer = netip.AddrPortFrom(e.ps[i].Peer.Addr(), 0)
	}
	if n := testing.AllocsPerRun(200, func() { e.w.Write(e.ps) }); n != 0 {
		t.Errorf("refused packets: %v allocations", n)
	}
}

// BenchmarkLoopback measures one datagram from Write to Read over the
// loopback, both ends in one goroutine.
func BenchmarkLoopback(b *testing.B) {
	for _, c := range costs {
		for _, batch := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/batch=%d", c.name, batch), func(b *testing.B) {
				e := newExchange(b, batch, c.options)
				b.ReportAllocs()
				for b.Loop() {
					e.run(b)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/datagram")
			})
		}
	}
}
