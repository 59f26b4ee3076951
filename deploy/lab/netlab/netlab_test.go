package netlab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/tshark"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/wire"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

const port = 4000

// listen opens a UDP socket on an address of a host.
func listen(t *testing.T, h *netlab.Host, a netip.Addr) *net.UDPConn {
	t.Helper()
	conn, err := netlab.In(h, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func host(t *testing.T, l *netlab.Lab, name string) *netlab.Host {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// receive returns what arrives until nothing does for the time given.
func receive(t *testing.T, c *net.UDPConn, quiet time.Duration) []string {
	t.Helper()
	var got []string
	b := make([]byte, 1500)
	for {
		if err := c.SetReadDeadline(time.Now().Add(quiet)); err != nil {
			t.Fatal(err)
		}
		n, err := c.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(b[:n]))
	}
}

var (
	left  = netip.MustParsePrefix("2001:db8::1/64")
	right = netip.MustParsePrefix("2001:db8::2/64")
)

func TestLinks(t *testing.T) {
	join := map[string]func(l *netlab.Lab, a, b netlab.End) error{
		"veth":   (*netlab.Lab).Link,
		"bridge": func(l *netlab.Lab, a, b netlab.End) error { return l.Segment(a, b) },
		"wire":   func(l *netlab.Lab, a, b netlab.End) error { _, err := l.Wire(a, b); return err },
	}
	for name, link := range join {
		t.Run(name+" carries a datagram and a capture of it is clean", func(t *testing.T) {
			l := netlab.Test(t)
			a, b := host(t, l, "a"), host(t, l, "b")
			err := link(l, netlab.End{Host: a, Name: "eth0", Addresses: []netip.Prefix{left}},
				netlab.End{Host: b, Name: "eth0", Addresses: []netip.Prefix{right}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "link.pcap")
			capture, err := b.Capture("eth0", file)
			if err != nil {
				t.Fatal(err)
			}
			from, to := listen(t, a, left.Addr()), listen(t, b, right.Addr())
			if _, err := from.WriteToUDPAddrPort([]byte("hello"), netip.AddrPortFrom(right.Addr(), port)); err != nil {
				t.Fatal(err)
			}
			if got := receive(t, to, 300*time.Millisecond); len(got) != 1 || got[0] != "hello" {
				t.Fatalf("received %q", got)
			}
			if err := capture.Close(); err != nil {
				t.Fatal(err)
			}
			faults, packets, err := tshark.Check(file)
			if errors.Is(err, tshark.ErrMissing) {
				netlab.Skip(t, err.Error())
			}
			if err != nil || packets < 3 || len(faults) > 0 { // neighbour discovery and ours
				t.Fatalf("%d packets, %v, faults:\n%s", packets, err, strings.Join(faults, "\n"))
			}
		})
	}
}

func TestOffload(t *testing.T) {
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("is the kernel's own: %t", keep), func(t *testing.T) {
			l := netlab.Test(t)
			a, b := host(t, l, "a"), host(t, l, "b")
			if err := l.Link(netlab.End{Host: a, Name: "eth0", Offload: keep}, netlab.End{Host: b, Name: "eth0", Offload: keep}); err != nil {
				t.Fatal(err)
			}
			for _, h := range []*netlab.Host{a, b} {
				value, err := netlab.In(h, func() (uint32, error) { return netlab.TransmitChecksums("eth0") })
				if err != nil || (value != 0) != keep {
					t.Errorf("transmit checksums are left to the device: %d (%v), want that %t", value, err, keep)
				}
			}
		})
	}
}

func TestWire(t *testing.T) {
	is := func(payload string) func(wire.Datagram) bool {
		return func(d wire.Datagram) bool { return string(d.Payload) == payload }
	}
	tests := map[string]struct {
		rule   wire.Rule
		want   []string
		counts wire.Counts
	}{
		"passes in order": {nil, []string{"1", "2", "3", "4"}, wire.Counts{Passed: 4}},
		"drops the named datagram": {wire.First(1, wire.Drop, is("2")),
			[]string{"1", "3", "4"}, wire.Counts{Passed: 3, Dropped: 1}},
		"duplicates": {wire.First(1, wire.Duplicate, is("2")),
			[]string{"1", "2", "2", "3", "4"}, wire.Counts{Passed: 4, Duplicated: 1}},
		"lets a datagram be overtaken": {wire.First(1, wire.Hold, is("2")),
			[]string{"1", "3", "2", "4"}, wire.Counts{Passed: 4, Reordered: 1}},
		"forwards a held datagram when nothing follows": {wire.First(1, wire.Hold, is("4")),
			[]string{"1", "2", "3", "4"}, wire.Counts{Passed: 4, Delayed: 1}},
	}
	l := netlab.Test(t)
	a, b := host(t, l, "a"), host(t, l, "b")
	w, err := l.Wire(netlab.End{Host: a, Name: "eth0", Addresses: []netip.Prefix{left}},
		netlab.End{Host: b, Name: "eth0", Addresses: []netip.Prefix{right}})
	if err != nil {
		t.Fatal(err)
	}
	from, to := listen(t, a, left.Addr()), listen(t, b, right.Addr())
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			w.SetRule(tt.rule)
			for _, s := range []string{"1", "2", "3", "4"} {
				if _, err := from.WriteToUDPAddrPort([]byte(s), netip.AddrPortFrom(right.Addr(), port)); err != nil {
					t.Fatal(err)
				}
			}
			if got := receive(t, to, 2*wire.Patience); strings.Join(got, "") != strings.Join(tt.want, "") {
				t.Errorf("received %q, want %q", got, tt.want)
			}
			if got := w.Counts(); got != tt.counts {
				t.Errorf("counts %+v, want %+v", got, tt.counts)
			}
		})
	}
}

func TestProcess(t *testing.T) {
	t.Run("runs in the namespace of its host and ends with the lab", func(t *testing.T) {
		l, err := netlab.New()
		if err != nil {
			netlab.Skip(t, err.Error())
		}
		defer l.Close()
		h := host(t, l, "a")
		p, err := h.Start(nil, "/bin/sh", "-c", "cat /proc/net/dev; exec sleep 1000")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := p.WaitFor(ctx, func() error {
			if !strings.Contains(p.Output(), "lo:") {
				return errors.New("nothing said yet")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(p.Output(), "\n"); n != 3 { // two lines of heading and lo
			t.Errorf("more than the loopback interface is seen:\n%s", p.Output())
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.Ended():
		default:
			t.Error("the process is still there")
		}
	})
	t.Run("a panic inside a host reaches its caller", func(t *testing.T) {
		l := netlab.Test(t)
		h := host(t, l, "a")
		defer func() {
			if recover() != "boom" {
				t.Error("the panic was lost")
			}
		}()
		_ = h.Do(func() error { panic("boom") })
	})
}
