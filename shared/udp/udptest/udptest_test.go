package udptest_test

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// What the twin can do and a kernel cannot. The contract that both keep is
// tested in package udp.

var (
	local  = netip.MustParseAddrPort("[fe80::1]:547")
	client = netip.MustParseAddrPort("[fe80::2]:546")
	group  = netip.MustParseAddr("ff02::1:2")
)

func TestInject(t *testing.T) {
	s := udptest.New(local)
	s.MaxDatagram(4)
	data := []byte("abcd")
	s.Inject(
		udp.Packet{Data: data, Peer: client, Local: group, Interface: 7, Received: 5},
		udp.Packet{Data: []byte("abcde")},
		udp.Packet{Data: []byte("x"), Truncated: true},
	)
	data[0] = 'z'
	if s.Waiting() != 3 {
		t.Errorf("%d waiting", s.Waiting())
	}
	r := s.NewReader(2)
	ps, err := r.Read()
	if err != nil || len(ps) != 2 {
		t.Fatalf("%d packets, %v", len(ps), err)
	}
	p := ps[0]
	if string(p.Data) != "abcd" || p.Peer != client || p.Local != group || p.Interface != 7 || p.Received != 5 || p.Truncated {
		t.Errorf("got %+v", p)
	}
	if ps[1].Truncated != true || string(ps[1].Data) != "abcd" {
		t.Errorf("got %+v", ps[1])
	}
	kept := p.Data
	if ps, err = r.Read(); err != nil || len(ps) != 1 || !ps[0].Truncated {
		t.Fatalf("%+v, %v", ps, err)
	}
	if string(kept) == "abcd" {
		t.Error("data that was kept over a Read is still there")
	}
}

func TestRefuse(t *testing.T) {
	s := udptest.New(local)
	s.Refuse(func(p udp.Packet) error {
		if p.Interface == 1 {
			return unix.ENODEV
		}
		return nil
	})
	w := s.NewWriter(1)
	ps := []udp.Packet{{Data: []byte("a"), Peer: client}, {Data: []byte("b"), Interface: 1}, {Data: []byte("c"), Peer: client, Interface: 2}}
	if sent := w.Write(ps); sent != 2 || ps[0].Err != nil || !errors.Is(ps[1].Err, unix.ENODEV) || ps[2].Err != nil {
		t.Errorf("sent %d: %v %v %v", sent, ps[0].Err, ps[1].Err, ps[2].Err)
	}
	ps[0].Data[0] = 'z'
	got := s.Sent(2)
	if len(got) != 2 || string(got[0].Data) != "a" || string(got[1].Data) != "c" || got[1].Interface != 2 {
		t.Errorf("recorded %+v", got)
	}
	s.Refuse(nil)
	if sent := w.Write(ps); sent != 3 {
		t.Errorf("sent %d after the refusal ended", sent)
	}
	if got := s.Sent(1); len(got) != 3 {
		t.Errorf("recorded %d", len(got))
	}
}

func TestFullQueue(t *testing.T) {
	a, b := udptest.Pair()
	w := a.NewWriter(1)
	for range 5000 {
		w.Write([]udp.Packet{{Data: []byte("x"), Peer: b.LocalAddr()}})
	}
	if b.Dropped() == 0 || b.Waiting()+b.Dropped() != 5000 {
		t.Errorf("%d waiting, %d dropped", b.Waiting(), b.Dropped())
	}
}

func TestClosed(t *testing.T) {
	s := udptest.New(local)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s.Inject(udp.Packet{Data: []byte("x")})
	if s.Waiting() != 0 || s.Dropped() != 1 {
		t.Errorf("%d waiting, %d dropped", s.Waiting(), s.Dropped())
	}
	if got := s.Sent(1); len(got) != 0 {
		t.Errorf("sent %v", got)
	}
}
