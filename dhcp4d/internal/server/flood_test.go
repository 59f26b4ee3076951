package server

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// made is the frame of a client that does not exist, and where the number is
// that makes it another one.
type made struct {
	frame []byte
	at    int
}

func madeUp(t *testing.T, source netip.AddrPort, kind dhcp4.MessageType, options ...[]byte) made {
	t.Helper()
	mark := []byte("\xff12345678")
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2}})
	m = dhcp4.AppendType(m, kind)
	m = dhcp4.AppendOption(m, dhcp4.OptClientIdentifier, mark)
	for _, o := range options {
		m = append(m, o...)
	}
	f := frameOn(t, "eth9", query(dhcp4.AppendEnd(m)), source)
	return made{f, bytes.Index(f, mark) + 1}
}

// client is the frame of client number n.
func (m made) client(n uint64) udp.Packet {
	f := bytes.Clone(m.frame)
	binary.BigEndian.PutUint64(f[m.at:], n)
	return udp.Packet{Data: f, Peer: sixd}
}

// heap is what the heap holds once the rubbish is gone.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// quietBench is a bench whose answers nobody keeps.
func quietBench(t *testing.T) *bench {
	b := newBench(t)
	b.server.Replies = sink{}
	return b
}

func (b *bench) send(n int, next func(i uint64) udp.Packet) {
	batch := make([]udp.Packet, 0, 64)
	for i := range n {
		batch = append(batch, next(uint64(i)))
		if len(batch) == cap(batch) || i == n-1 {
			b.server.batch(batch)
			batch = batch[:0]
		}
	}
}

func (b *bench) counts(subnet int) leases.Usage { return b.book.Subnets()[subnet] }

const (
	most      = 65536    // offers at one time
	allowance = 48 << 20 // octets that a flood may take: the offers, and tables grown to hold them
)

func TestAFloodOfDiscovers(t *testing.T) {
	b := quietBench(t)
	bystander := madeUp(t, netip.MustParseAddrPort("[2001:db8:5:a::1]:546"), dhcp4.Discover)
	b.server.batch([]udp.Packet{bystander.client(1)})
	before := heap()
	var sources []made
	for _, s := range []string{"[2001:db8:5::1]:546", "[2001:db8:5:2::1]:546", "[2001:db8:5:3::1]:546"} {
		sources = append(sources, madeUp(t, netip.MustParseAddrPort(s), dhcp4.Discover))
	}
	b.send(flood, func(i uint64) udp.Packet { return sources[i%3].client(i * 0x9e3779b97f4a7c15) })
	grown := int64(heap()) - int64(before)
	c := b.counts(4)
	t.Logf("%d DISCOVERs of as many clients from 3 points: %d offers held, heap grew by %d KiB", flood, c.Offered, grown>>10)
	if c.Offered > most || c.Bound+c.Former+c.Declined != 0 {
		t.Errorf("the table has %+v", c)
	}
	if grown > allowance {
		t.Errorf("the heap grew by %d octets", grown)
	}
	// The points that flood lose their oldest; who asked once keeps its offer.
	b.server.Replies = b.ipc.NewWriter(64)
	offer := b.ask(t, bystander.client(1).Data)
	address := offer.YIAddr()
	request := madeUp(t, netip.MustParseAddrPort("[2001:db8:5:a::1]:546"), dhcp4.Request,
		addrOption(dhcp4.OptRequestedAddress, "11.0.0.10"), addrOption(dhcp4.OptServerIdentifier, "11.0.0.1"))
	if ack := b.ask(t, request.client(1).Data); address != netip.MustParseAddr("11.0.0.10") || ack.Type() != dhcp4.ACK || ack.YIAddr() != address {
		t.Errorf("the bystander is offered %v, then told %v of %v; want the 11.0.0.10 of before the flood", address, ack.Type(), ack.YIAddr())
	}
}

func TestAFloodOfRequests(t *testing.T) {
	// Made-up clients that go all the way, in a subnet with a limit of 16.
	b := quietBench(t)
	before := heap()
	source := netip.MustParseAddrPort("[2001:db8:6::1]:546")
	ask := madeUp(t, source, dhcp4.Discover)
	reboot := madeUp(t, source, dhcp4.Request, addrOption(dhcp4.OptRequestedAddress, "172.16.9.9"))
	b.send(flood/4, func(i uint64) udp.Packet {
		if i%2 == 0 {
			return ask.client(i)
		}
		return reboot.client(i)
	})
	c := b.counts(5)
	grown := int64(heap()) - int64(before)
	t.Logf("%d queries: %+v, heap grew by %d KiB", flood/4, c, grown>>10)
	if n := c.Offered + c.Bound + c.Declined; n > 16 {
		t.Errorf("the point holds %d addresses, its limit is 16", n)
	}
	if grown > allowance {
		t.Errorf("the heap grew by %d octets", grown)
	}
}

func TestAFloodOfDeclines(t *testing.T) {
	// Clients that obtain an address and decline it, from many points, in a
	// pool of 241 addresses.
	b := newBench(t)
	for i := range 200 {
		source := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, 1, 14: byte(i), 15: 1}), 546)
		offer := b.ask(t, madeUp(t, source, dhcp4.Discover).client(uint64(i)).Data)
		selecting := []([]byte){addrOption(dhcp4.OptRequestedAddress, offer.YIAddr().String()), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")}
		if ack := b.ask(t, madeUp(t, source, dhcp4.Request, selecting...).client(uint64(i)).Data); ack.Type() != dhcp4.ACK {
			t.Fatalf("client %d is told %v", i, ack.Type())
		}
		b.server.batch([]udp.Packet{madeUp(t, source, dhcp4.Decline, selecting...).client(uint64(i))})
		if c := b.counts(0); c.Declined > 24 {
			t.Fatalf("%d of 241 addresses are in quarantine, more than a tenth", c.Declined)
		}
	}
	t.Logf("after 200 declines: %+v", b.counts(0))
}
