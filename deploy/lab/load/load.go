// Package load makes 4o6 exchanges as fast as a server takes them and checks
// every answer.
//
// It owns one UDP socket and any number of made-up clients. Messages are
// templates, built once by the lab's client, in which only what differs is
// written anew; answers are read by their offsets; datagrams move in batches,
// those of one length and destination as one (UDP_SEGMENT). So the generator
// is cheaper than any server and not what limits one on two cores.
//
// With the same seed and order of answers it sends the same octets.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

// Config says what to do. Zero values of the optional fields are usable.
type Config struct {
	Interface string     // to send by
	Server    netip.Addr // or ff02::1:2
	Local     netip.Addr // our source; the interface's link-local address by default
	// Sources is the number of source addresses, one after the other from
	// Local on, that clients take in turn; 1 by default. Those that the
	// interface lacks are added for the run.
	Sources int
	// Prefix is an alternative: addresses of a prefix that is routed to this
	// host, one per client or Sources. All of it is ours during the run.
	Prefix netip.Prefix

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
	// Shuffle takes clients at random instead.
	Shuffle bool
	// Held is the address that the first client holds from the beginning;
	// those after it hold the next ones. None does by default.
	Held netip.Addr
	// Renew and Inform are the shares of exchanges, 0 to 1, that renew a
	// lease that the client has, once there is one, or ask for parameters.
	Renew, Inform float64
	// Release is the share of leases obtained or renewed that are given back
	// at once, Decline the share of those obtained that are declined. A
	// DECLINE that the network loses looks like an address given again.
	Release, Decline float64

	Relays int // levels of Relay-forward around each query
	Ports  int // different Interface-Ids at the innermost level; one per client by default
	// Link is the link-address of the innermost level; clients take those of
	// Links /64 prefixes from there on in turn, 1 by default.
	Link  netip.Addr
	Links int
	Seed  uint64

	// Require are the DHCPv4 options that OFFER and ACK must have, Expect
	// where all addresses must be if it is valid.
	Require []byte
	Expect  netip.Prefix
	// Bare takes answers without server identifier and lease time, which a
	// program that only turns queries round does not add.
	Bare bool

	sources  []netip.Addr // nil where there is one, which the socket has
	required [4]uint64
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
	if !c.Link.IsValid() {
		c.Link = netip.IPv6Unspecified()
	}
	c.Stride, c.Links = max(c.Stride, 1), max(c.Links, 1)
	if c.Rate > 0 && c.InFlight == 0 {
		c.InFlight = min(slots-1, c.Clients)
	}
	if !c.Server.IsValid() {
		c.Server = client.Multicast
	}
	for _, code := range c.Require {
		c.required[code/64] |= 1 << (code % 64)
	}
	switch {
	case c.Count == 0 && c.Duration == 0:
		return errors.New("neither a number of exchanges nor a duration is given")
	case c.InFlight < 1 || c.InFlight >= slots:
		return fmt.Errorf("%d exchanges in flight: want 1 to %d", c.InFlight, slots-1)
	case c.Clients < c.InFlight:
		return fmt.Errorf("%d clients cannot have %d exchanges in flight", c.Clients, c.InFlight)
	case c.Held.IsValid() && !c.Held.Is4():
		return fmt.Errorf("%s is no IPv4 address that a client can hold", c.Held)
	case c.Relays < 0 || c.Relays > relay.HopCountLimit+1:
		return fmt.Errorf("%d relays: want 0 to %d", c.Relays, relay.HopCountLimit+1)
	}
	for _, share := range []float64{c.Renew, c.Inform, c.Release, c.Decline, c.Renew + c.Inform, c.Release + c.Decline} {
		if share < 0 || share > 1 {
			return fmt.Errorf("a share of %v: shares, and those of renewals and INFORMs or of RELEASE and DECLINE together, want 0 to 1", share)
		}
	}
	return c.addresses()
}

// addresses makes the list of sources.
func (c *Config) addresses() error {
	if c.Prefix.IsValid() {
		if c.Prefix.Bits() > 112 || !c.Prefix.Addr().Is6() {
			return fmt.Errorf("%s is too small for addresses of clients: want an IPv6 prefix of at most 112 bits", c.Prefix)
		}
		if c.Server.IsMulticast() && c.Relays == 0 {
			return errors.New("queries to a multicast address have link-local sources (RFC 7341 §9): name a server for clients with addresses of a prefix")
		}
		if c.Sources <= 1 {
			c.Sources = min(c.Clients, 1<<16)
		}
		c.sources = consecutive(c.Prefix.Masked().Addr().Next(), c.Sources)
		return nil
	}
	if c.Sources <= 1 {
		return nil
	}
	if !c.Local.IsValid() {
		c.Local = netip.MustParseAddr("fe80::4f36:0:1")
	}
	c.sources = consecutive(c.Local, c.Sources)
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
	remove, err := addSources(&c, link)
	if err != nil {
		return Report{}, err
	}
	defer remove()
	conn, err := open(ctx, &c, link)
	if err != nil {
		return Report{}, err
	}
	e, err := newEngine(c)
	if err != nil {
		conn.Close()
		return Report{}, err
	}
	return newRunner(e, conn, link.Index).run(ctx, progress), nil
}
