// Package ackcheck checks that a server keeps what it acknowledges. A crowd of clients remembers
// every lease that was acknowledged to them, and later asks the server for each.
//
// The crowd sends for all its clients from one socket, as a relay. Each client obtains, renews,
// checks and releases leases at random until the crowd is told to stop. An ACK counts from the
// moment the crowd reads it. A lease whose ACK was never read does not count as lost.
package ackcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Config describes a crowd.
type Config struct {
	Socket client.Transport // bound to the relay's address and port 547
	Server netip.Addr
	// Also are further servers that get each message, as with a multicast to a link. Any of them
	// may answer.
	Also    []netip.Addr
	Link    netip.Addr // link-address of the relay
	Clients int        // at most 65000
	Window  int        // exchanges at the same time; 64 if 0
	Seed    uint64
	// Keep makes clients keep their leases: they renew and do not release.
	Keep bool
	// Rest is how long a client sends nothing after a RELEASE. One server may write a RELEASE late,
	// when another server has already given the client its next lease. The late RELEASE would end
	// that lease, and no server can know that.
	Rest time.Duration
}

// A Crowd is used by one goroutine. Any goroutine may read its counters.
type Crowd struct {
	config  Config
	random  *rand.Rand
	members []*member
	flights map[flight]*member
	holders map[netip.Addr]*member
	faults  []string

	// Acks counts the ACKs read so far. Unanswered counts the exchanges given up.
	Acks, Unanswered atomic.Uint64
	// Faulty says that the server did something wrong: Faults has an entry.
	Faulty atomic.Bool
	last   atomic.Int64 // when the last ACK was read, in Unix nanoseconds
}

// What a member waits for.
type phase byte

const (
	idle phase = iota
	selecting
	requesting // requests a new lease
	extending  // extends the lease that it has
)

type member struct {
	n        int
	hardware net.HardwareAddr
	client   *client.Client
	phase    phase
	message  *dhcpv4.DHCPv4
	until    time.Time
	tries    int
	rests    time.Time  // begins no exchange before
	address  netip.Addr // acknowledged and not released
	server   netip.Addr
}

// patience is the longest time that an exchange of the crowd may take.
const patience = 300 * time.Millisecond

// New makes a crowd whose clients have no leases.
func New(config Config) (*Crowd, error) {
	if config.Window == 0 {
		config.Window = 64
	}
	c := &Crowd{config: config, random: rand.New(rand.NewPCG(config.Seed, 9)),
		flights: make(map[flight]*member), holders: make(map[netip.Addr]*member)}
	for n := range config.Clients {
		peer := netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(n >> 8), 15: byte(n)})
		levels := relay.Chain(1, config.Link, peer)
		levels[0].InterfaceID = fmt.Appendf(nil, "port%d", n)
		hardware := net.HardwareAddr{2, byte(config.Seed), 0, 0, byte(n >> 8), byte(n)}
		cl, err := client.New(nil, client.Options{
			HardwareAddr: hardware,
			Servers:      append([]netip.Addr{config.Server}, config.Also...), Relays: levels, Random: c.random,
		})
		if err != nil {
			return nil, fmt.Errorf("making client %d: %w", n, err)
		}
		c.members = append(c.members, &member{n: n, hardware: hardware, client: cl})
	}
	return c, nil
}

// LastACK returns when the last ACK was read.
func (c *Crowd) LastACK() time.Time { return time.Unix(0, c.last.Load()) }

// Faults returns in words what the server did wrong so far.
func (c *Crowd) Faults() []string { return c.faults }

// Holders returns, for each address that was acknowledged and not released, the hardware address of
// its client.
func (c *Crowd) Holders() map[netip.Addr]string {
	all := make(map[netip.Addr]string, len(c.holders))
	for a, m := range c.holders {
		all[a] = m.hardware.String()
	}
	return all
}

func (c *Crowd) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
	c.Faulty.Store(true)
}

// Run makes exchanges at random until ctx ends. It gives up the exchanges that are then in
// progress, and does not read their answers.
func (c *Crowd) Run(ctx context.Context) error {
	return c.drive(ctx, func() (m *member, more bool) {
		m = c.members[c.random.IntN(len(c.members))]
		if m.rests.After(time.Now()) {
			return nil, true
		}
		return m, true
	}, c.begin, func(m *member) { c.Unanswered.Add(1) })
}

// Verify asks the server for every lease that was acknowledged to the crowd (INIT-REBOOT), and
// returns those that are lost. The server must not be authoritative, so that it is silent about an
// address that it does not know.
func (c *Crowd) Verify(ctx context.Context) (checked int, lost []string, err error) {
	var waiting []*member
	for _, m := range slices.SortedFunc(maps.Values(c.holders), func(a, b *member) int { return a.n - b.n }) {
		m.tries = 0
		waiting = append(waiting, m)
	}
	checked = len(waiting)
	before := len(c.faults)
	ask := func(m *member) {
		m.tries++
		m.phase = extending
		c.send(m, m.client.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(m.address.AsSlice())))
	}
	err = c.drive(ctx, func() (*member, bool) {
		if len(waiting) == 0 {
			return nil, false
		}
		m := waiting[0]
		waiting = waiting[1:]
		return m, true
	}, ask, func(m *member) {
		if m.tries >= 20 {
			c.fault("client %d: %s was acknowledged and is not known", m.n, m.address)
			c.forget(m)
			return
		}
		waiting = append(waiting, m)
	})
	return checked, slices.Clone(c.faults[before:]), err
}

// drive keeps a window of exchanges in progress. next returns the member that begins an exchange,
// and whether more will follow. begin sends its first message. expired is called for an exchange
// without an answer.
func (c *Crowd) drive(ctx context.Context, next func() (*member, bool), begin, expired func(*member)) error {
	defer func() {
		for _, m := range c.flights {
			m.phase = idle
		}
		clear(c.flights)
	}()
	more := true
	for ctx.Err() == nil && (more || len(c.flights) > 0) {
		for range c.config.Window - len(c.flights) {
			var m *member
			if m, more = next(); m == nil {
				break
			}
			if m.phase == idle {
				begin(m)
			}
		}
		b, from, err := c.config.Socket.Receive(time.Now().Add(5 * time.Millisecond))
		switch {
		case err == nil:
			c.receive(b, from)
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("receiving: %w", err)
		}
		now := time.Now()
		for f, m := range c.flights {
			if now.After(m.until) {
				delete(c.flights, f)
				m.phase = idle
				expired(m)
				more = true
			}
		}
	}
	return nil
}

// begin makes a member start an exchange, chosen at random.
func (c *Crowd) begin(m *member) {
	if !m.address.IsValid() {
		m.phase = selecting
		c.send(m, m.client.Message(dhcpv4.MessageTypeDiscover))
		return
	}
	switch dice := c.random.IntN(10); {
	case dice < 5 || c.config.Keep:
		r := m.client.Message(dhcpv4.MessageTypeRequest)
		r.ClientIPAddr = m.address.AsSlice()
		m.phase = extending
		c.send(m, r)
	case dice < 7:
		m.phase = extending
		c.send(m, m.client.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(m.address.AsSlice())))
	default:
		r := m.client.Message(dhcpv4.MessageTypeRelease, dhcpv4.OptServerIdentifier(m.server.AsSlice()))
		r.ClientIPAddr = m.address.AsSlice()
		c.forget(m) // from now on the server may give it to any client
		m.rests = time.Now().Add(c.config.Rest)
		c.transmit(m, r)
	}
}

// A flight is the key that finds the member of an answer. The transaction id alone is not enough:
// two clients have the same one about once in ten million messages.
type flight struct {
	xid      [4]byte
	hardware [6]byte
}

// flight returns the flight of the member's current message.
func (m *member) flight() flight {
	return flight{m.message.TransactionID, [6]byte(m.message.ClientHWAddr)}
}

func (c *Crowd) forget(m *member) {
	delete(c.holders, m.address)
	m.address = netip.Addr{}
}

func (c *Crowd) send(m *member, message *dhcpv4.DHCPv4) {
	m.message, m.until = message, time.Now().Add(patience)
	c.flights[m.flight()] = m
	c.transmit(m, message)
}

func (c *Crowd) transmit(m *member, message *dhcpv4.DHCPv4) {
	// A message that cannot be sent counts as lost on the way.
	query := m.client.Query(message.ToBytes(), false)
	_ = c.config.Socket.Send(query, c.config.Server)
	for _, a := range c.config.Also {
		_ = c.config.Socket.Send(query, a)
	}
}

// receive takes one datagram.
func (c *Crowd) receive(b []byte, from netip.AddrPort) {
	payload, ok := relay.Payload(b)
	if !ok || len(payload) < 240 {
		c.fault("a datagram of %d octets without a DHCPv4 message", len(b))
		return
	}
	m := c.flights[flight{[4]byte(payload[4:8]), [6]byte(payload[28:34])}]
	if m == nil {
		return // the exchange was given up
	}
	r, err := m.client.Parse(b, from)
	if err != nil {
		c.fault("client %d: %v", m.n, err)
		return
	}
	address, _ := netip.AddrFromSlice(r.DHCPv4.YourIPAddr.To4())
	server, _ := netip.AddrFromSlice(r.DHCPv4.ServerIdentifier().To4())
	kind := r.DHCPv4.MessageType()
	done := func() {
		delete(c.flights, m.flight())
		m.phase = idle
	}
	switch {
	case kind == dhcpv4.MessageTypeOffer && m.phase == selecting:
		done()
		m.phase = requesting
		m.address, m.server = netip.Addr{}, server
		c.send(m, m.client.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(address.AsSlice()),
			dhcpv4.OptServerIdentifier(server.AsSlice())))
	case kind == dhcpv4.MessageTypeAck && (m.phase == requesting || m.phase == extending):
		if m.phase == extending && address != m.address {
			c.fault("client %d has %s and is acknowledged %s", m.n, m.address, address)
		}
		if other := c.holders[address]; other != nil && other != m {
			c.fault("%s was promised to client %d and is given to client %d", address, other.n, m.n)
		}
		delete(c.holders, m.address)
		m.address, m.server = address, server
		c.holders[address] = m
		c.Acks.Add(1)
		c.last.Store(time.Now().UnixNano())
		done()
	case kind == dhcpv4.MessageTypeNak:
		if m.phase == extending {
			c.fault("client %d is refused %s, which it was promised", m.n, m.address)
			c.forget(m)
		}
		done()
	}
}
