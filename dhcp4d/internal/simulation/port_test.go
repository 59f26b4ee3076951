package simulation

import (
	"net"
	"sync"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// A port is the socket of a process. Its network is a world.
type port struct {
	mu      sync.Mutex
	arrived sync.Cond // queue, woken or ended changed
	queue   []udp.Packet
	woken   bool
	ended   bool // Read returns no further datagrams
	dead    bool // nothing leaves any more

	out func(data []byte)
}

func newPort(out func(data []byte)) *port {
	p := &port{out: out}
	p.arrived.L = &p.mu
	return p
}

// Read implements udp.Reader.
func (p *port) Read() ([]udp.Packet, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) == 0 && !p.ended && !p.woken {
		p.arrived.Wait()
	}
	batch := p.queue
	p.queue, p.woken = nil, false
	if len(batch) == 0 && p.ended {
		return nil, net.ErrClosed
	}
	return batch, nil
}

// deliver gives a datagram to the process, and reports false if it is lost.
func (p *port) deliver(data []byte) (taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended || p.dead || len(p.queue) > 4096 {
		return false
	}
	p.queue = append(p.queue, udp.Packet{Data: data, Peer: dhcp6d})
	p.arrived.Broadcast()
	return true
}

// wake ends the wait of Read.
func (p *port) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.woken = true
	p.arrived.Broadcast()
}

// Write implements udp.Writer.
func (p *port) Write(ps []udp.Packet) int {
	p.mu.Lock()
	dead := p.dead
	p.mu.Unlock()
	if dead {
		return 0
	}
	for _, out := range ps {
		p.out(out.Data)
	}
	return len(ps)
}

// stopReading makes Read return what is left and then end.
func (p *port) stopReading() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.arrived.Broadcast()
}

// kill loses everything from now on.
func (p *port) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.dead = nil, true
}
