package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A Lease is what a DHCPACK gives or a DHCPOFFER promises.
type Lease struct {
	Address  netip.Addr
	Mask     int        // length of the subnet mask; 0 if none was sent
	Server   netip.Addr // the server identifier
	Obtained time.Time  // when the client sent the message that this answers
	Duration time.Duration
	T1, T2   time.Duration // when to renew and when to rebind, counted from Obtained
	// Response holds all other options.
	Response *Response
}

// ParseLease makes a lease from the octets of the DHCPACK that gave it ([Response].Carried) and the
// time when it was obtained. It is for programs that store their lease.
func ParseLease(ack []byte, obtained time.Time) (*Lease, error) {
	m, err := dhcpv4.FromBytes(ack)
	if err != nil {
		return nil, fmt.Errorf("reading a kept lease: %w", err)
	}
	if m.MessageType() != dhcpv4.MessageTypeAck {
		return nil, fmt.Errorf("reading a kept lease: %s is no DHCPACK", m.MessageType())
	}
	return lease(&Response{Carried: ack, DHCPv4: m}, obtained)
}

// End returns when the lease ends. For a lease that does not end, that is far in the future.
func (l *Lease) End() time.Time { return l.Obtained.Add(l.Duration) }

// Infinite is the duration of a lease that does not end (RFC 2131 §3.3).
const Infinite = time.Duration(0xffffffff) * time.Second

// Obtain does DISCOVER, OFFER, REQUEST and ACK. It starts again if the request is refused or has no
// answer.
func (c *Client) Obtain(ctx context.Context) (*Lease, error) {
	var err error
	for range 3 {
		var offer *Lease
		if offer, err = c.Discover(ctx); err != nil {
			return nil, err
		}
		var lease *Lease
		if lease, err = c.Select(ctx, offer); err == nil {
			return lease, nil
		}
		if !errors.Is(err, ErrNak) && !errors.Is(err, ErrNoAnswer) {
			return nil, err
		}
	}
	return nil, err
}

// Discover asks for offers and returns the first one (INIT).
func (c *Client) Discover(ctx context.Context) (*Lease, error) {
	return c.DiscoverAddress(ctx, netip.Addr{})
}

// DiscoverAddress is Discover with a requested address (option 50).
func (c *Client) DiscoverAddress(ctx context.Context, wish netip.Addr) (*Lease, error) {
	m := c.Message(dhcpv4.MessageTypeDiscover, c.wishes()...)
	if wish.IsValid() {
		m.UpdateOption(dhcpv4.OptRequestedIPAddress(wish.AsSlice()))
	}
	sent := time.Now()
	r, err := c.Exchange(ctx, m, false, func(r *Response) bool {
		return r.DHCPv4.MessageType() == dhcpv4.MessageTypeOffer
	})
	if err != nil {
		return nil, err
	}
	return lease(r, sent)
}

// Select requests the address of an offer (SELECTING).
func (c *Client) Select(ctx context.Context, offer *Lease) (*Lease, error) {
	m := c.Message(dhcpv4.MessageTypeRequest, c.wishes()...)
	m.TransactionID = offer.Response.DHCPv4.TransactionID // RFC 2131 §4.4.1
	m.UpdateOption(dhcpv4.OptRequestedIPAddress(offer.Address.AsSlice()))
	m.UpdateOption(dhcpv4.OptServerIdentifier(offer.Server.AsSlice()))
	return c.request(ctx, m, false, offer.Address)
}

// Reboot asks whether an address from before a restart is still valid (INIT-REBOOT).
func (c *Client) Reboot(ctx context.Context, address netip.Addr) (*Lease, error) {
	m := c.Message(dhcpv4.MessageTypeRequest, c.wishes()...)
	m.UpdateOption(dhcpv4.OptRequestedIPAddress(address.AsSlice()))
	return c.request(ctx, m, false, address)
}

// Renew extends a lease at the server that gave it (RENEWING). It sets the U flag, because DHCPv4
// would use unicast.
func (c *Client) Renew(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l, true)
}

// Rebind extends a lease at any server (REBINDING).
func (c *Client) Rebind(ctx context.Context, l *Lease) (*Lease, error) {
	return c.extend(ctx, l, false)
}

func (c *Client) extend(ctx context.Context, l *Lease, unicast bool) (*Lease, error) {
	m := c.Message(dhcpv4.MessageTypeRequest, c.wishes()...)
	m.ClientIPAddr = l.Address.AsSlice()
	return c.request(ctx, m, unicast, l.Address)
}

// request sends a DHCPREQUEST and waits for an ACK of that address or for a NAK.
func (c *Client) request(ctx context.Context, m *dhcpv4.DHCPv4, unicast bool, want netip.Addr) (*Lease, error) {
	sent := time.Now()
	r, err := c.Exchange(ctx, m, unicast, func(r *Response) bool {
		t := r.DHCPv4.MessageType()
		return t == dhcpv4.MessageTypeAck || t == dhcpv4.MessageTypeNak
	})
	if err != nil {
		return nil, err
	}
	if r.DHCPv4.MessageType() == dhcpv4.MessageTypeNak {
		return nil, fmt.Errorf("%s for %s: %w: %q", m.MessageType(), want, ErrNak, r.DHCPv4.Message())
	}
	l, err := lease(r, sent)
	if err == nil && l.Address != want {
		return nil, fmt.Errorf("asked for %s, acknowledged %s", want, l.Address)
	}
	return l, err
}

// Release gives a lease back. It sets the U flag. There is no answer.
func (c *Client) Release(l *Lease) error {
	m := c.Message(dhcpv4.MessageTypeRelease, dhcpv4.OptServerIdentifier(l.Server.AsSlice()))
	m.ClientIPAddr = l.Address.AsSlice()
	c.log.Debug("sent", "type", m.MessageType())
	return c.Send(c.Query(m.ToBytes(), true))
}

// Decline tells the server that another host uses the address. There is no answer.
func (c *Client) Decline(l *Lease) error {
	m := c.Message(dhcpv4.MessageTypeDecline, dhcpv4.OptServerIdentifier(l.Server.AsSlice()),
		dhcpv4.OptRequestedIPAddress(l.Address.AsSlice()))
	c.log.Debug("sent", "type", m.MessageType())
	return c.Send(c.Query(m.ToBytes(), false))
}

// Inform asks for the options of an address that was configured by hand.
func (c *Client) Inform(ctx context.Context, address netip.Addr) (*Response, error) {
	m := c.Message(dhcpv4.MessageTypeInform, dhcpv4.OptParameterRequestList(c.options.Parameters...))
	m.ClientIPAddr = address.AsSlice()
	return c.Exchange(ctx, m, false, func(r *Response) bool {
		return r.DHCPv4.MessageType() == dhcpv4.MessageTypeAck
	})
}

// wishes sets the options that Table 5 of RFC 2131 allows in DISCOVER and in REQUEST.
func (c *Client) wishes() []dhcpv4.Option {
	o := []dhcpv4.Option{dhcpv4.OptParameterRequestList(c.options.Parameters...)}
	if c.options.LeaseTime != 0 {
		o = append(o, dhcpv4.OptIPAddressLeaseTime(c.options.LeaseTime))
	}
	return o
}

// lease reads an OFFER or ACK. It returns an error if one lacks what every server must send (RFC
// 2131 Table 3).
func lease(r *Response, sent time.Time) (*Lease, error) {
	m := r.DHCPv4
	l := &Lease{Address: addr(m.YourIPAddr), Server: addr(m.ServerIdentifier()), Obtained: sent,
		Duration: m.IPAddressLeaseTime(0), Response: r}
	if !l.Address.IsValid() || l.Address.IsUnspecified() {
		return nil, fmt.Errorf("%s without an address", m.MessageType())
	}
	if !l.Server.IsValid() || l.Server.IsUnspecified() {
		return nil, fmt.Errorf("%s without a server identifier", m.MessageType())
	}
	if l.Duration == 0 {
		return nil, fmt.Errorf("%s without a lease time", m.MessageType())
	}
	if mask := m.SubnetMask(); mask != nil {
		l.Mask, _ = mask.Size()
	}
	l.T1 = m.IPAddressRenewalTime(l.Duration / 2)       // RFC 2131 §4.4.5
	l.T2 = m.IPAddressRebindingTime(l.Duration / 8 * 7) // 0.875
	return l, nil
}
