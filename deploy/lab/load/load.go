// Package load makes 4o6 exchanges as fast as a server takes them and checks
// every answer.
//
// It owns one UDP socket and any number of made-up clients. Messages are
// templates, built once by the lab's client, in which only what differs is
// written anew; answers are read by their offsets. So one generator costs a few
// microseconds per exchange and is not what limits a server on two cores.
//
// With the same seed and order of answers it sends the same octets.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Config says what to do. Zero values of the optional fields are usable.
type Config struct {
	Interface string     // to send by
	Server    netip.Addr // or ff02::1:2
	Local     netip.Addr // our source; the interface's link-local address by default
	// Sources is the number of source addresses, one after the other from
	// Local on, that clients take in turn; 1 by default.
	Sources int

	InFlight int           // closed loop: exchanges at the same time
	Rate     float64       // open loop: exchanges started per second; 0 is closed loop
	Count    int           // exchanges in all; 0 is no limit
	Duration time.Duration // no new exchange after this; 0 is no limit
	Timeout  time.Duration // an answer later than this is lost; 1 s by default

	Clients int // different clients, taken in turn; Count (or a million) by default
	// Stride is how far apart in number clients that come one after the other
	// are; 1 by default. One that has no divisor in common with Clients
	// reaches all of them.
	Stride int
	// Renew is the share of exchanges, 0 to 1, that renew a lease that the
	// client already has, once there is one.
	Renew float64
	// Release gives each lease back after its exchange.
	Release bool

	Relays int // levels of Relay-forward around each query
	Ports  int // different Interface-Ids at the innermost level; one per client by default
	Link   netip.Addr
	Seed   uint64

	// Bare takes answers without server identifier and lease time, which a
	// program that only turns queries round does not add.
	Bare bool
}

// slots bounds exchanges at the same time: a slot's number is the low half of
// its transaction id.
const slots = 1 << 16

func (c *Config) check() error {
	if c.Timeout == 0 {
		c.Timeout = time.Second
	}
	if c.Clients == 0 {
		if c.Clients = c.Count; c.Count == 0 {
			c.Clients = 1_000_000
		}
	}
	if c.Ports == 0 {
		c.Ports = c.Clients
	}
	c.Stride = max(c.Stride, 1)
	if c.Rate > 0 && c.InFlight == 0 {
		c.InFlight = slots
	}
	if !c.Server.IsValid() {
		c.Server = client.Multicast
	}
	switch {
	case c.Count == 0 && c.Duration == 0:
		return errors.New("neither a number of exchanges nor a duration is given")
	case c.InFlight < 1 || c.InFlight > slots:
		return fmt.Errorf("%d exchanges in flight: want 1 to %d", c.InFlight, slots)
	case c.Clients < c.InFlight && c.Rate == 0:
		return fmt.Errorf("%d clients cannot have %d exchanges in flight", c.Clients, c.InFlight)
	case c.Relays < 0 || c.Relays > relay.HopCountLimit+1:
		return fmt.Errorf("%d relays: want 0 to %d", c.Relays, relay.HopCountLimit+1)
	case c.Renew < 0 || c.Renew > 1:
		return fmt.Errorf("a share of renewals of %v: want 0 to 1", c.Renew)
	}
	return nil
}

// batch is how many datagrams move per system call.
const batch = 64

// Run makes the exchanges and reports. The error is about set-up; faults of
// the server are in the report. Progress, if not nil, is called every second.
func Run(ctx context.Context, c Config, progress func(Report)) (Report, error) {
	if err := c.check(); err != nil {
		return Report{}, err
	}
	link, err := net.InterfaceByName(c.Interface)
	if err != nil {
		return Report{}, fmt.Errorf("finding interface %q: %w", c.Interface, err)
	}
	if !c.Local.IsValid() {
		if c.Local, err = linkLocal(link); err != nil {
			return Report{}, err
		}
	}
	port := uint16(relay.ClientPort)
	if c.Relays > 0 {
		port = relay.ServerPort
	}
	local := c.Local
	switch {
	case c.Sources > 1:
		local = netip.IPv6Unspecified()
	case local.IsLinkLocalUnicast():
		local = local.WithZone(c.Interface)
	}
	conn, err := listen(ctx, udp.Options{Address: netip.AddrPortFrom(local, port), MaxDatagram: 4096, ReceiveBuffer: 8 << 20, SendBuffer: 8 << 20})
	if err != nil {
		return Report{}, fmt.Errorf("opening the clients' socket: %w", err)
	}
	e, err := newEngine(c)
	if err != nil {
		conn.Close()
		return Report{}, err
	}
	r := &runner{engine: e, conn: conn, writer: conn.NewWriter(batch), index: link.Index}
	for a := c.Local; len(r.sources) < c.Sources; a = a.Next() {
		r.sources = append(r.sources, a)
	}
	return r.run(ctx, progress), nil
}

// listen waits for an address that is still tentative, as it is for a second or
// two after an interface has come up (RFC 4862 §5.4).
func listen(ctx context.Context, o udp.Options) (*udp.Conn, error) {
	for patience := time.Now().Add(5 * time.Second); ; {
		conn, err := udp.Listen(o)
		if !errors.Is(err, unix.EADDRNOTAVAIL) || time.Now().After(patience) || ctx.Err() != nil {
			return conn, err
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func linkLocal(link *net.Interface) (netip.Addr, error) {
	addrs, err := link.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("reading the addresses of %s: %w", link.Name, err)
	}
	for _, a := range addrs {
		if p, ok := a.(*net.IPNet); ok && p.IP.To4() == nil && p.IP.IsLinkLocalUnicast() {
			ip, _ := netip.AddrFromSlice(p.IP)
			return ip, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no link-local address", link.Name)
}

// A runner moves datagrams between an engine and a socket.
type runner struct {
	conn    *udp.Conn
	index   int
	sources []netip.Addr // empty where there is one, which the socket has

	mu     sync.Mutex // guards what follows
	engine *engine
	writer udp.Writer
	out    []udp.Packet
}

func (r *runner) run(ctx context.Context, progress func(Report)) Report {
	start := time.Now()
	r.engine.begin(start)
	r.step(start)
	var reading sync.WaitGroup
	reading.Go(r.read)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	second := start
	for done := false; !done; {
		select {
		case <-ctx.Done():
			done = true
		case now := <-tick.C:
			r.step(now)
			r.mu.Lock()
			done = r.engine.done()
			report := r.engine.report(now)
			r.mu.Unlock()
			if progress != nil && now.Sub(second) >= time.Second {
				second = now
				progress(report)
			}
		}
	}
	r.conn.Close()
	reading.Wait()
	return r.engine.report(time.Now())
}

// step starts what is due and gives up what is late.
func (r *runner) step(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.engine.tick(now, r.send)
	r.flush()
}

func (r *runner) read() {
	reader := r.conn.NewReader(batch)
	for {
		packets, err := reader.Read()
		if err != nil {
			return // closed
		}
		now := time.Now()
		r.mu.Lock()
		for i := range packets {
			r.engine.receive(packets[i].Data, now, r.send)
		}
		r.flush()
		r.mu.Unlock()
	}
}

// send queues a datagram for the server. The engine does not touch it until
// the next flush.
func (r *runner) send(client uint32, b []byte) {
	p := udp.Packet{Data: b, Peer: netip.AddrPortFrom(r.engine.config.Server, relay.ServerPort), Interface: r.index}
	if n := uint32(len(r.sources)); n > 1 {
		p.Local = r.sources[client%n]
	}
	r.out = append(r.out, p)
	if len(r.out) == batch {
		r.flush()
	}
}

func (r *runner) flush() {
	if len(r.out) > 0 {
		r.engine.unsent += uint64(len(r.out) - r.writer.Write(r.out))
		r.out = r.out[:0]
	}
}
