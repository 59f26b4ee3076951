// Package udptest is the in-memory twin of package udp: sockets without a kernel, for tests of
// whoever reads and writes packets.
//
// Its readers and writers keep the contract of [udp.Reader] and [udp.Writer]; one test body holds
// both to it. It can do what no kernel does on request: deliver a packet from any source by any
// interface, and refuse to send.
package udptest

import (
	"net"
	"net/netip"
	"sync"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// queue is how many datagrams a socket holds; more are dropped, as a full
// receive buffer drops them.
const queue = 4096

// Socket is one end. Its methods may be called from any goroutine.
type Socket struct {
	local netip.AddrPort

	mu       sync.Mutex
	changed  sync.Cond
	peer     *Socket
	received []udp.Packet
	sent     []udp.Packet
	dropped  int
	refuse   func(p udp.Packet) error
	max      int
	closed   bool
	woken    bool
}

// New returns a socket that nothing is connected to: packets come by
// [Socket.Inject] and what is written is only recorded.
func New(local netip.AddrPort) *Socket {
	s := &Socket{local: local, max: 65535}
	s.changed.L = &s.mu
	return s
}

// Pair returns two sockets. What one writes the other reads, with the
// writer's address as Peer and the destination as Local, whatever address it
// was sent to.
func Pair() (a, b *Socket) {
	a = New(netip.MustParseAddrPort("[2001:db8::a]:1000"))
	b = New(netip.MustParseAddrPort("[2001:db8::b]:2000"))
	a.peer, b.peer = b, a
	return a, b
}

// LocalAddr is the address of the socket.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// NewReader is as (*udp.Conn).NewReader.
func (s *Socket) NewReader(batch int) udp.Reader {
	return &reader{socket: s, packets: make([]udp.Packet, 0, batch)}
}

// NewWriter is as (*udp.Conn).NewWriter.
func (s *Socket) NewWriter(int) udp.Writer { return writer{s} }

// Close closes the socket. A waiting Read returns net.ErrClosed.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.closed = true
	s.changed.Broadcast()
	return nil
}

// Wake is as (*udp.Conn).Wake.
func (s *Socket) Wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.woken = true
	s.changed.Broadcast()
}

// MaxDatagram is what Read does not truncate; 65535 at first.
func (s *Socket) MaxDatagram(octets int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = octets
}

// Inject delivers copies of the packets as if they had just been received.
func (s *Socket) Inject(ps ...udp.Packet) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range ps {
		if len(s.received) == queue || s.closed {
			s.dropped++
			continue
		}
		p.Truncated = p.Truncated || len(p.Data) > s.max
		p.Data = append([]byte(nil), p.Data[:min(len(p.Data), s.max)]...)
		p.Err = nil
		s.received = append(s.received, p)
	}
	s.changed.Broadcast()
}

// Refuse has Write ask f about every packet from now on and refuse those for
// which it returns an error; nil ends that.
func (s *Socket) Refuse(f func(p udp.Packet) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Sent waits until at least n packets were written and not yet returned by
// Sent, and returns copies of all of them; fewer when the socket is closed.
func (s *Socket) Sent(n int) []udp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.sent) < n && !s.closed {
		s.changed.Wait()
	}
	ps := s.sent
	s.sent = nil
	return ps
}

// Waiting is how many packets were delivered and not yet read.
func (s *Socket) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.received)
}

// Dropped is how many packets found the queue full or the socket closed.
func (s *Socket) Dropped() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

type reader struct {
	socket  *Socket
	packets []udp.Packet
}

// Read implements udp.Reader. What the last Read returned is overwritten, so
// that a test notices who keeps it.
func (r *reader) Read() ([]udp.Packet, error) {
	for _, p := range r.packets {
		for i := range p.Data {
			p.Data[i] = 0xdb
		}
	}
	s := r.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.received) == 0 && !s.closed && !s.woken {
		s.changed.Wait()
	}
	if s.closed {
		return nil, net.ErrClosed
	}
	s.woken = false
	n := min(len(s.received), cap(r.packets))
	r.packets = append(r.packets[:0], s.received[:n]...)
	s.received = s.received[:copy(s.received, s.received[n:])]
	return r.packets, nil
}

type writer struct{ socket *Socket }

// Write implements udp.Writer.
func (w writer) Write(ps []udp.Packet) (sent int) {
	for i := range ps {
		ps[i].Err = w.socket.write(ps[i])
		if ps[i].Err == nil {
			sent++
		}
	}
	return sent
}

// write sends one packet.
func (s *Socket) write(p udp.Packet) error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return net.ErrClosed
	}
	if s.refuse != nil {
		if err := s.refuse(p); err != nil {
			s.mu.Unlock()
			return err
		}
	}
	p.Data = append([]byte(nil), p.Data...)
	p.Err = nil
	s.sent = append(s.sent, p)
	s.changed.Broadcast()
	s.mu.Unlock()

	if s.peer != nil {
		local := s.local
		if p.Local.IsValid() {
			local = netip.AddrPortFrom(p.Local, local.Port())
		}
		s.peer.Inject(udp.Packet{Data: p.Data, Peer: local, Local: p.Peer.Addr(), Interface: p.Interface})
	}
	return nil
}
