// Package witness is a crowd of clients that remembers every lease that it was
// promised, and later finds out which of them the server still knows.
//
// It speaks for all its clients from one socket, as a relay. A client obtains,
// renews, checks and releases as it likes, until it is told to stop; an ACK is
// a promise from the moment it is read. What the crowd did not read it does
// not count: a lease that the server made and whose ACK never came is nobody's
// loss. It writes nothing and judges only what it saw.
package witness

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

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

// Config of a crowd.
type Config struct {
	Socket  client.Transport // bound to the relay's address and port 547
	Server  netip.Addr
	Link    netip.Addr // link-address of the relay
	Clients int        // at most 65000
	Window  int        // exchanges at the same time, 64 when 0
	Seed    uint64
	// Keep makes clients keep what they have: they renew and do not release.
	Keep bool
}

// A Crowd is for one goroutine, its counters aside.
type Crowd struct {
	config  Config
	random  *rand.Rand
	members []*member
	flights map[flight]*member
	holders map[netip.Addr]*member
	faults  []string

	// Acks counts the ACKs read so far, Unanswered the exchanges given up.
	Acks, Unanswered atomic.Uint64
	last             atomic.Int64 // when the last ACK was read, Unix nanoseconds
}

// What a member waits for.
type phase byte

const (
	idle phase = iota
	selecting
	requesting // a new lease
	extending  // one that it has
)

type member struct {
	n       int
	c       *client.Client
	phase   phase
	message *dhcpv4.DHCPv4
	until   time.Time
	tries   int
	address netip.Addr // promised and not given back
	server  netip.Addr
}

// patience is how long an exchange of the crowd may take.
const patience = 300 * time.Millisecond

// New makes a crowd whose clients have nothing.
func New(c Config) (*Crowd, error) {
	if c.Window == 0 {
		c.Window = 64
	}
	w := &Crowd{config: c, random: rand.New(rand.NewPCG(c.Seed, 9)),
		flights: make(map[flight]*member), holders: make(map[netip.Addr]*member)}
	for n := range c.Clients {
		peer := netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(n >> 8), 15: byte(n)})
		levels := relay.Chain(1, c.Link, peer)
		levels[0].InterfaceID = fmt.Appendf(nil, "port%d", n)
		cl, err := client.New(nil, client.Options{
			HardwareAddr: net.HardwareAddr{2, byte(c.Seed), 0, 0, byte(n >> 8), byte(n)},
			Servers:      []netip.Addr{c.Server}, Relays: levels, Random: w.random,
		})
		if err != nil {
			return nil, fmt.Errorf("making client %d: %w", n, err)
		}
		w.members = append(w.members, &member{n: n, c: cl})
	}
	return w, nil
}

// LastACK is when the last ACK was read.
func (w *Crowd) LastACK() time.Time { return time.Unix(0, w.last.Load()) }

// Promised is how many leases the crowd has.
func (w *Crowd) Promised() int { return len(w.holders) }

// Faults are what the server did wrong until now, in words.
func (w *Crowd) Faults() []string { return w.faults }

func (w *Crowd) fault(format string, args ...any) {
	w.faults = append(w.faults, fmt.Sprintf(format, args...))
}

// Run has the crowd do what it likes until the context ends. Exchanges that
// are under way then are given up: their answers, if they still come, are not
// read.
func (w *Crowd) Run(ctx context.Context) error {
	return w.drive(ctx, func() (m *member, more bool) {
		return w.members[w.random.IntN(len(w.members))], true
	}, w.begin, func(m *member) { w.Unanswered.Add(1) })
}

// Verify asks for every lease that the crowd was promised whether the server
// knows it (INIT-REBOOT), and returns what is lost. The server must not be
// authoritative: it is silent, then, about what it does not know.
func (w *Crowd) Verify(ctx context.Context) (checked int, lost []string, err error) {
	var waiting []*member
	for _, m := range slices.SortedFunc(maps.Values(w.holders), func(a, b *member) int { return a.n - b.n }) {
		m.tries = 0
		waiting = append(waiting, m)
	}
	checked = len(waiting)
	before := len(w.faults)
	ask := func(m *member) {
		m.tries++
		m.phase = extending
		w.send(m, m.c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(m.address.AsSlice())))
	}
	err = w.drive(ctx, func() (*member, bool) {
		if len(waiting) == 0 {
			return nil, false
		}
		m := waiting[0]
		waiting = waiting[1:]
		return m, true
	}, ask, func(m *member) {
		if m.tries >= 20 {
			w.fault("client %d: %s was acknowledged and is not known", m.n, m.address)
			w.forget(m)
			return
		}
		waiting = append(waiting, m)
	})
	return checked, slices.Clone(w.faults[before:]), err
}

// drive keeps a window of exchanges going: next names who begins one and
// whether there will be more, begin sends its first message, and expired hears
// of those that nobody answered.
func (w *Crowd) drive(ctx context.Context, next func() (*member, bool), begin, expired func(*member)) error {
	defer func() {
		for _, m := range w.flights {
			m.phase = idle
		}
		clear(w.flights)
	}()
	more := true
	for ctx.Err() == nil && (more || len(w.flights) > 0) {
		for range w.config.Window - len(w.flights) {
			var m *member
			if m, more = next(); m == nil {
				break
			}
			if m.phase == idle {
				begin(m)
			}
		}
		b, from, err := w.config.Socket.Receive(time.Now().Add(5 * time.Millisecond))
		switch {
		case err == nil:
			w.receive(b, from)
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("receiving: %w", err)
		}
		now := time.Now()
		for f, m := range w.flights {
			if now.After(m.until) {
				delete(w.flights, f)
				m.phase = idle
				expired(m)
				more = true
			}
		}
	}
	return nil
}

// begin has a member do what it likes.
func (w *Crowd) begin(m *member) {
	if !m.address.IsValid() {
		m.phase = selecting
		w.send(m, m.c.Message(dhcpv4.MessageTypeDiscover))
		return
	}
	switch dice := w.random.IntN(10); {
	case dice < 5 || w.config.Keep:
		r := m.c.Message(dhcpv4.MessageTypeRequest)
		r.ClientIPAddr = m.address.AsSlice()
		m.phase = extending
		w.send(m, r)
	case dice < 7:
		m.phase = extending
		w.send(m, m.c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(m.address.AsSlice())))
	default:
		r := m.c.Message(dhcpv4.MessageTypeRelease, dhcpv4.OptServerIdentifier(m.server.AsSlice()))
		r.ClientIPAddr = m.address.AsSlice()
		w.forget(m) // from now on it may be anybody's
		w.transmit(m, r)
	}
}

// A flight is whose an answer is: the transaction id alone would be that of two
// clients once in some ten million messages.
type flight struct {
	xid      [4]byte
	hardware [6]byte
}

// flight is that of the message under way.
func (m *member) flight() flight {
	return flight{m.message.TransactionID, [6]byte(m.message.ClientHWAddr)}
}

func (w *Crowd) forget(m *member) {
	delete(w.holders, m.address)
	m.address = netip.Addr{}
}

func (w *Crowd) send(m *member, message *dhcpv4.DHCPv4) {
	m.message, m.until = message, time.Now().Add(patience)
	w.flights[m.flight()] = m
	w.transmit(m, message)
}

func (w *Crowd) transmit(m *member, message *dhcpv4.DHCPv4) {
	// What cannot be sent is like what is lost on the way.
	_ = w.config.Socket.Send(m.c.Query(message.ToBytes(), false), w.config.Server)
}

// receive takes one datagram.
func (w *Crowd) receive(b []byte, from netip.AddrPort) {
	payload, ok := relay.Payload(b)
	if !ok || len(payload) < 240 {
		w.fault("a datagram of %d octets without a DHCPv4 message", len(b))
		return
	}
	m := w.flights[flight{[4]byte(payload[4:8]), [6]byte(payload[28:34])}]
	if m == nil {
		return // given up
	}
	r, err := m.c.Parse(b, from)
	if err != nil {
		w.fault("client %d: %v", m.n, err)
		return
	}
	address, _ := netip.AddrFromSlice(r.DHCPv4.YourIPAddr.To4())
	server, _ := netip.AddrFromSlice(r.DHCPv4.ServerIdentifier().To4())
	kind := r.DHCPv4.MessageType()
	done := func() {
		delete(w.flights, m.flight())
		m.phase = idle
	}
	switch {
	case kind == dhcpv4.MessageTypeOffer && m.phase == selecting:
		done()
		m.phase = requesting
		m.address, m.server = netip.Addr{}, server
		w.send(m, m.c.Message(dhcpv4.MessageTypeRequest, dhcpv4.OptRequestedIPAddress(address.AsSlice()), dhcpv4.OptServerIdentifier(server.AsSlice())))
	case kind == dhcpv4.MessageTypeAck && (m.phase == requesting || m.phase == extending):
		if m.phase == extending && address != m.address {
			w.fault("client %d has %s and is acknowledged %s", m.n, m.address, address)
		}
		if other := w.holders[address]; other != nil && other != m {
			w.fault("%s was promised to client %d and is given to client %d", address, other.n, m.n)
		}
		delete(w.holders, m.address)
		m.address, m.server = address, server
		w.holders[address] = m
		w.Acks.Add(1)
		w.last.Store(time.Now().UnixNano())
		done()
	case kind == dhcpv4.MessageTypeNak:
		if m.phase == extending {
			w.fault("client %d is refused %s, which it was promised", m.n, m.address)
			w.forget(m)
		}
		done()
	}
}
