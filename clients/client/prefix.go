package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Prefix asks for an IPv6 prefix (RFC 9915 §18.2.1, §18.2.2), with Rapid Commit, and returns the
// first one that a server delegates. It repeats each message as Options.Retransmit says. The client
// does not renew the prefix.
func (c *Client) Prefix(ctx context.Context) (netip.Prefix, error) {
	ia := &dhcpv6.OptIAPD{}
	binary.BigEndian.PutUint32(ia.IaId[:], c.options.IAID)
	r, err := c.stateful(ctx, dhcpv6.MessageTypeSolicit, ia,
		&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
	if err != nil {
		return netip.Prefix{}, err
	}
	if r.MessageType == dhcpv6.MessageTypeAdvertise {
		r, err = c.stateful(ctx, dhcpv6.MessageTypeRequest, r.Options.OneIAPD(), r.GetOneOption(dhcpv6.OptionServerID))
		if err != nil {
			return netip.Prefix{}, err
		}
	}
	return delegated(r)
}

// delegated returns the prefix in a message.
func delegated(m *dhcpv6.Message) (netip.Prefix, error) {
	ia := m.Options.OneIAPD()
	if ia == nil {
		return netip.Prefix{}, fmt.Errorf("%s without IA_PD", m.MessageType)
	}
	for _, p := range ia.Options.Prefixes() {
		if p.Prefix != nil && p.ValidLifetime > 0 {
			return netip.ParsePrefix(p.Prefix.String())
		}
	}
	if s := ia.Options.Status(); s != nil && s.StatusCode != iana.StatusSuccess {
		return netip.Prefix{}, fmt.Errorf("the server delegates no prefix: %s %s", s.StatusCode, s.StatusMessage)
	}
	return netip.Prefix{}, errors.New("the server delegates no prefix")
}

// stateful sends a message to the DHCPv6 servers, and returns the first answer that has a prefix.
func (c *Client) stateful(
	ctx context.Context, kind dhcpv6.MessageType, options ...dhcpv6.Option,
) (*dhcpv6.Message, error) {
	x := c.random.Uint32()
	m := dhcpv6.Message{MessageType: kind, TransactionID: dhcpv6.TransactionID{byte(x >> 16), byte(x >> 8), byte(x)}}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionClientID, OptionData: c.options.DUID})
	m.AddOption(dhcpv6.OptElapsedTime(0))
	for _, o := range options {
		m.AddOption(o)
	}
	one := *c
	one.servers = []netip.Addr{Multicast}
	if len(c.options.Relays) > 0 && len(c.options.Servers) > 0 {
		one.servers = c.servers // a relay has servers of its own
	}
	retransmit := c.options.Retransmit
	retransmit.First = min(retransmit.First, time.Second) // SOL_TIMEOUT and REQ_TIMEOUT
	retransmit.Jitter = min(retransmit.Jitter, retransmit.First/10)
	datagram := relay.Wrap(c.options.Relays, m.ToBytes())
	var answer *dhcpv6.Message
	_, err := one.repeat(ctx, retransmit, func() []byte { return datagram }, kind.String(),
		func(b []byte, from netip.AddrPort) *Response {
			r, err := c.statefulAnswer(b, &m)
			if err != nil {
				c.log.Debug("ignored", "from", from, "why", err)
				return nil
			}
			answer = r
			return &Response{From: from, Datagram: b}
		})
	return answer, err
}

// statefulAnswer checks an answer to a message, and reads it.
func (c *Client) statefulAnswer(b []byte, to *dhcpv6.Message) (*dhcpv6.Message, error) {
	b, err := relay.Unwrap(c.options.Relays, b)
	if err != nil {
		return nil, err
	}
	m, err := dhcpv6.MessageFromBytes(b)
	if err != nil {
		return nil, err
	}
	advertised := m.MessageType == dhcpv6.MessageTypeAdvertise && to.MessageType == dhcpv6.MessageTypeSolicit
	if (m.MessageType != dhcpv6.MessageTypeReply && !advertised) || m.TransactionID != to.TransactionID {
		return nil, fmt.Errorf("%s of transaction %s", m.MessageType, m.TransactionID)
	}
	id := m.GetOneOption(dhcpv6.OptionClientID)
	if m.GetOneOption(dhcpv6.OptionServerID) == nil || id == nil || !bytes.Equal(id.ToBytes(), c.options.DUID) {
		return nil, fmt.Errorf("%s without a server identifier, or to another client", m.MessageType)
	}
	_, err = delegated(m)
	return m, err
}
