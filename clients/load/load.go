// Package load makes 4o6 exchanges as fast as a server serves them, and checks every answer.
//
// It owns one UDP socket and simulates any number of clients. It must cost less than any server, so
// that on two processors it is not the limit. So messages are templates, which package client
// builds once and in which only the differing fields are written. Answers are read at fixed
// offsets.
//
// Each datagram is sent by a system call of its own, as those of real clients are, and in an open
// loop the exchanges start at even distances. With [Config.Trains] all that is due leaves at once.
//
// The same seed and the same order of answers give the same octets.
package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Config says what to do. The zero values of the optional fields are usable.
type Config struct {
	Interface string     // the interface to use
	Server    netip.Addr // its address, or ff02::1:2
	Local     netip.Addr // our source; by default the interface's link-local address
	// Sources is the number of source addresses, which follow each other from Local on and which
	// clients use in turn; 1 by default. Missing addresses are added to the interface for the run.
	Sources int
	// Prefix can be given instead. It is routed to this host, and each client has an address in it,
	// or Sources addresses serve all clients. The whole prefix is local during the run.
	Prefix netip.Prefix

	InFlight int           // closed loop: exchanges at the same time
	Rate     float64       // open loop: exchanges started per second; 0 is closed loop
	Count    int           // the number of exchanges; 0 is no limit
	Duration time.Duration // no exchange starts after this time; 0 is no limit
	Timeout  time.Duration // an answer that takes longer is lost; 1 s by default

	// Trains sends datagrams in batches, and those of one length and destination as one datagram
	// that the link divides (UDP_SEGMENT), and receives in the same way. It costs the generator
	// less than any real client costs, and the server too.
	Trains bool

	Clients int // the number of clients, used in turn; Count (or a million) by default
	// Stride is the distance between the numbers of clients that follow each other; 1 by default.
	// If it has no divisor in common with Clients, all of them get their turn.
	Stride int
	// Shuffle chooses clients at random instead.
	Shuffle bool
	// Held is the address that the first client has from the start. The clients after it have the
	// next addresses. By default no client has one.
	Held netip.Addr
	// Renew is the share of exchanges in which a client renews its lease, if it has one. Inform is
	// the share in which it sends an INFORM. Shares are from 0 to 1.
	Renew, Inform float64
	// Release is the share of leases, new or renewed, that are released at once. Decline is the
	// share of new leases that are declined. If the network loses a DECLINE, the server seems to
	// give a declined address again.
	Release, Decline float64

	Relays int // levels of Relay-forward around each query
	Ports  int // different Interface-Ids at the innermost level; by default one per client
	// Link is the link-address of the innermost level. Clients use Links consecutive /64 prefixes
	// from it on in turn; 1 by default.
	Link  netip.Addr
	Links int
	Seed  uint64

	// Require are the DHCPv4 options that every OFFER and ACK must have. If Expect is valid, all
	// addresses must be in it.
	Require []byte
	Expect  netip.Prefix
	// Shared says that several servers share the addresses. Then an OFFER may be of an address that
	// another client got a moment ago. A NAK to its REQUEST is no fault; one to a renewal is.
	Shared bool
	// Bare accepts answers without server identifier and lease time. A program that only turns
	// queries into answers does not add them.
	Bare bool

	sources  []netip.Addr // nil if there is only one, which is then the socket's
	required [4]uint64
}

// slots limits the exchanges at the same time: the number of a slot is the low half of its
// transaction id.
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
	for _, share := range []float64{c.Renew, c.Inform, c.Release, c.Decline, c.Renew + c.Inform,
		c.Release + c.Decline} {
		if share < 0 || share > 1 {
			return fmt.Errorf("a share of %v: shares, and those of renewals and INFORMs or of RELEASE and DECLINE "+
				"together, want 0 to 1", share)
		}
	}
	return c.addresses()
}

// addresses makes the list of sources.
func (c *Config) addresses() error {
	if c.Prefix.IsValid() {
		if c.Prefix.Bits() > 112 || !c.Prefix.Addr().Is6() {
			return fmt.Errorf("%s is too small for addresses of clients: want an IPv6 prefix of at most 112 bits",
				c.Prefix)
		}
		if c.Server.IsMulticast() && c.Relays == 0 {
			return errors.New("queries to a multicast address have link-local sources (RFC 7341 §9): name a server " +
				"for clients with addresses of a prefix")
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

// batch is the most datagrams per system call.
const batch = 64

// Run makes the exchanges and returns a report. An error is about the set-up; mistakes of the
// server are in the report. progress, if not nil, is called every second.
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
