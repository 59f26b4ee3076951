package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Send sends a datagram unchanged to every server.
func (c *Client) Send(datagram []byte) error {
	if len(c.servers) == 0 {
		return ErrNoServers
	}
	var errs []error
	for _, s := range c.servers {
		if err := c.socket.Send(datagram, s); err != nil {
			errs = append(errs, fmt.Errorf("sending to %s: %w", s, err))
		}
	}
	if len(errs) == len(c.servers) {
		return errors.Join(errs...)
	}
	return nil // one server was reached, which is enough
}

// Exchange sends a DHCPv4 message to every server, and repeats that as Options.Retransmit says,
// until a response is accepted. It ignores responses that fail [Client.Parse] or that belong to
// another client or transaction.
func (c *Client) Exchange(ctx context.Context, m *dhcpv4.DHCPv4, unicast bool,
	accept func(*Response) bool) (*Response, error) {
	start := time.Now()
	build := func() []byte {
		m.NumSeconds = uint16(time.Since(start) / time.Second)
		return c.Query(m.ToBytes(), unicast)
	}
	what := m.MessageType().String()
	return c.repeat(ctx, c.options.Retransmit, build, what, func(b []byte, from netip.AddrPort) *Response {
		r, err := c.Parse(b, from)
		if err == nil {
			err = c.belongs(m, r.DHCPv4)
		}
		if err != nil {
			c.log.Debug("ignored", "from", from, "why", err)
			return nil
		}
		c.log.Debug("received", "type", r.DHCPv4.MessageType(), "from", from, "address", r.DHCPv4.YourIPAddr)
		if !accept(r) {
			return nil
		}
		return r
	})
}

// repeat sends, and waits with back-off (RFC 2131 §4.1), until accept returns a value. A message
// that cannot be sent counts as lost, because an interface may be down for a while, or its address
// tentative.
func (c *Client) repeat(ctx context.Context, r Retransmit, build func() []byte, what string,
	accept func([]byte, netip.AddrPort) *Response) (*Response, error) {
	wait := r.First
	var unsent error
	for try := 0; r.Tries == 0 || try < r.Tries; try++ {
		if unsent = c.Send(build()); errors.Is(unsent, ErrNoServers) {
			return nil, fmt.Errorf("%s: %w", what, unsent)
		}
		deadline := time.Now().Add(c.jitter(wait, r.Jitter))
		if unsent != nil {
			c.log.Debug("not sent", "type", what, "try", try+1, "why", unsent)
			deadline = time.Now().Add(min(wait, time.Second))
		} else {
			c.log.Debug("sent", "type", what, "try", try+1)
			wait = min(2*wait, r.Max)
		}
		for {
			b, from, err := c.receive(ctx, deadline)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", what, err)
			}
			if r := accept(b, from); r != nil {
				return r, nil
			}
		}
	}
	if unsent != nil {
		return nil, fmt.Errorf("%s: %w to %d transmissions; the last one could not be sent: %w", what, ErrNoAnswer,
			r.Tries, unsent)
	}
	return nil, fmt.Errorf("%s: %w to %d transmissions", what, ErrNoAnswer, r.Tries)
}

func (c *Client) jitter(d, j time.Duration) time.Duration {
	if j <= 0 {
		return d
	}
	return d - j + time.Duration(c.random.Int64N(int64(2*j)+1))
}

// receive waits for a datagram until the deadline, or until ctx ends.
func (c *Client) receive(ctx context.Context, deadline time.Time) ([]byte, netip.AddrPort, error) {
	const slice = 50 * time.Millisecond
	for {
		if err := ctx.Err(); err != nil {
			return nil, netip.AddrPort{}, err
		}
		until := time.Now().Add(slice)
		if until.After(deadline) {
			until = deadline
		}
		b, from, err := c.socket.Receive(until)
		if errors.Is(err, os.ErrDeadlineExceeded) && until.Before(deadline) {
			continue
		}
		return b, from, err
	}
}

// Receive returns the next datagram that arrives before the deadline, without any check.
func (c *Client) Receive(deadline time.Time) ([]byte, netip.AddrPort, error) {
	return c.socket.Receive(deadline)
}

// belongs returns an error if a reply is not for the message. It compares the transaction id,
// chaddr, and the client identifier if the reply has one (RFC 6842).
func (c *Client) belongs(m, r *dhcpv4.DHCPv4) error {
	if r.TransactionID != m.TransactionID {
		return fmt.Errorf("transaction id %s of another exchange", r.TransactionID)
	}
	if !bytes.Equal(r.ClientHWAddr, m.ClientHWAddr) {
		return fmt.Errorf("chaddr %s of another client", r.ClientHWAddr)
	}
	if id := r.Options.Get(dhcpv4.OptionClientIdentifier); id != nil &&
		!bytes.Equal(id, m.Options.Get(dhcpv4.OptionClientIdentifier)) {
		return fmt.Errorf("client identifier %x of another client", id)
	}
	return nil
}

func addr(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip.To4())
	return a
}
