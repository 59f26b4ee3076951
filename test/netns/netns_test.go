package netns_test

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

	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/tshark"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

const port = 4000

// listen opens a UDP socket on an address of a host.
func listen(t *testing.T, h *netns.Host, a netip.Addr) *net.UDPConn {
	t.Helper()
	conn, err := netns.In(h, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp6", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, port)))
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func host(t *testing.T, l *netns.Lab, name string) *netns.Host {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// receive returns what arrives, until nothing has arrived for a time.
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
	t.Parallel()
	join := map[string]func(l *netns.Lab, a, b netns.End) error{
		"veth":   (*netns.Lab).Link,
		"bridge": func(l *netns.Lab, a, b netns.End) error { return l.Segment(a, b) },
		"wire":   func(l *netns.Lab, a, b netns.End) error { _, err := l.FaultLink(a, b); return err },
	}
	for name, link := range join {
		t.Run(name+" carries a datagram and a capture of it is clean", func(t *testing.T) {
			t.Parallel()
			l := netnstest.Lab(t)
			a, b := host(t, l, "a"), host(t, l, "b")
			err := link(l, netns.End{Host: a, Name: "eth0", Addresses: []netip.Prefix{left}},
				netns.End{Host: b, Name: "eth0", Addresses: []netip.Prefix{right}})
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
				netnstest.Skip(t, err.Error())
			}
			if err != nil || packets < 3 || len(faults) > 0 { // neighbour discovery and ours
				t.Fatalf("%d packets, %v, faults:\n%s", packets, err, strings.Join(faults, "\n"))
			}
		})
	}
}

func TestOffload(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("is the kernel's own: %t", keep), func(t *testing.T) {
			l := netnstest.Lab(t)
			a, b := host(t, l, "a"), host(t, l, "b")
			if err := l.Link(netns.End{Host: a, Name: "eth0", Offload: keep}, netns.End{Host: b, Name: "eth0", Offload: keep}); err != nil {
				t.Fatal(err)
			}
			for _, h := range []*netns.Host{a, b} {
				value, err := netns.In(h, func() (uint32, error) { return netns.TransmitChecksums("eth0") })
				if err != nil || (value != 0) != keep {
					t.Errorf("transmit checksums are left to the device: %d (%v), want that %t", value, err, keep)
				}
			}
		})
	}
}

func TestWire(t *testing.T) {
	t.Parallel()
	is := func(payload string) func(faultlink.Datagram) bool {
		return func(d faultlink.Datagram) bool { return string(d.Payload) == payload }
	}
	tests := map[string]struct {
		rule   faultlink.Rule
		want   []string
		counts faultlink.Counts
	}{
		"passes in order": {nil, []string{"1", "2", "3", "4"}, faultlink.Counts{Passed: 4}},
		"drops the named datagram": {faultlink.First(1, faultlink.Drop, is("2")),
			[]string{"1", "3", "4"}, faultlink.Counts{Passed: 3, Dropped: 1}},
		"duplicates": {faultlink.First(1, faultlink.Duplicate, is("2")),
			[]string{"1", "2", "2", "3", "4"}, faultlink.Counts{Passed: 4, Duplicated: 1}},
		"lets a datagram be overtaken": {faultlink.First(1, faultlink.Hold, is("2")),
			[]string{"1", "3", "2", "4"}, faultlink.Counts{Passed: 4, Reordered: 1}},
		"forwards a held datagram when nothing follows": {faultlink.First(1, faultlink.Hold, is("4")),
			[]string{"1", "2", "3", "4"}, faultlink.Counts{Passed: 4, Delayed: 1}},
	}
	l := netnstest.Lab(t)
	a, b := host(t, l, "a"), host(t, l, "b")
	w, err := l.FaultLink(netns.End{Host: a, Name: "eth0", Addresses: []netip.Prefix{left}},
		netns.End{Host: b, Name: "eth0", Addresses: []netip.Prefix{right}})
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
			if got := receive(t, to, 2*faultlink.Patience); strings.Join(got, "") != strings.Join(tt.want, "") {
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
		l, err := netns.New()
		if err != nil {
			netnstest.Skip(t, err.Error())
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
		if n := strings.Count(p.Output(), "\n"); n != 3 { // two lines of heading, and lo
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
	t.Run("a frozen process has stopped when Freeze returns", func(t *testing.T) {
		p, err := host(t, netnstest.Lab(t), "a").Start(nil, "/bin/sh", "-c", "while :; do :; done")
		if err != nil {
			t.Fatal(err)
		}
		for range 50 {
			if err := p.Freeze(); err != nil {
				t.Fatal(err)
			}
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
			if err != nil {
				t.Fatal(err)
			}
			if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
				t.Fatalf("its state is %.1q, want T (stopped)", state)
			}
			p.Thaw()
		}
		p.Kill()
		if err := p.Freeze(); err != nil {
			t.Errorf("a process that has ended: %v", err)
		}
	})
	t.Run("a panic inside a host reaches its caller", func(t *testing.T) {
		l := netnstest.Lab(t)
		h := host(t, l, "a")
		defer func() {
			if recover() != "boom" {
				t.Error("the panic was lost")
			}
		}()
		_ = h.Do(func() error { panic("boom") })
	})
}
