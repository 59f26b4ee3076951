package udp_test

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestRefusals(t *testing.T) {
	for _, way := range []struct{ host, from string }{{"[::1]:0", "[::1]:0"}, {"127.0.0.1:0", "127.0.0.1:0"}, {"127.0.0.1:0", "[::]:0"}, {"[::1]:0", "[::]:0"}} {
		host := way.host
		t.Run(host+" from "+way.from, func(t *testing.T) {
			closed, err := udp.Listen(udp.Options{Address: netip.MustParseAddrPort(host)})
			if err != nil {
				t.Fatal(err)
			}
			nobody := closed.LocalAddr()
			_ = closed.Close()
			there, err := udp.Listen(udp.Options{Address: netip.MustParseAddrPort(host)})
			if err != nil {
				t.Fatal(err)
			}
			defer there.Close()
			var refused atomic.Int64
			c, err := udp.Listen(udp.Options{Address: netip.MustParseAddrPort(way.from), BothFamilies: true, Coalesce: true, Refused: func(a netip.AddrPort) {
				if a != nobody {
					t.Errorf("%v has refused, not %v", a, nobody)
				}
				refused.Add(1)
			}})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := c.NewReader(8).Read()
				done <- err
			}()
			w, r := c.NewWriter(8), there.NewReader(64)
			for range 20 {
				ps := []udp.Packet{{Data: []byte("a"), Peer: nobody}, {Data: []byte("b"), Peer: there.LocalAddr()}, {Data: []byte("c"), Peer: nobody}, {Data: []byte("d"), Peer: there.LocalAddr()}}
				if n := w.Write(ps); n != 4 {
					t.Errorf("%d of 4 sent: %+v", n, ps)
				}
			}
			for n := 0; n < 40; {
				ps, err := r.Read()
				if err != nil {
					t.Fatal(err)
				}
				n += len(ps)
			}
			for deadline := time.Now().Add(time.Minute); refused.Load() == 0 && time.Now().Before(deadline); {
				time.Sleep(time.Millisecond)
			}
			if refused.Load() == 0 {
				t.Error("no refusal was told")
			}
			c.StopReading()
			if err := <-done; err != net.ErrClosed { //nolint:errorlint // the contract is this very value
				t.Errorf("Read returned %v", err)
			}
			if n := w.Write([]udp.Packet{{Data: []byte("e"), Peer: there.LocalAddr()}}); n != 1 {
				t.Error("a socket that reads no more must still send")
			}
			_ = c.Close()
		})
	}
}
