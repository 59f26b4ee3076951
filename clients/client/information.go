package client

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Information is what a client learns from a stateless exchange (RFC 9915 §18.2.6).
type Information struct {
	// Offered reports whether the Reply had option 88. Without it no query may be sent.
	Offered bool
	// Servers are its addresses, without repetition. It is ff02::1:2 if the option was empty.
	Servers []netip.Addr
	// Refresh is how long to wait before asking again (RFC 9915 §21.23). It is 24 h if the server
	// does not say, 10 min at least, and [Infinite] for never.
	Refresh time.Duration
	// Reply is the whole message.
	Reply *dhcpv6.Message
}

// Information asks for option 88 with an Information-request to ff02::1:2. It uses the back-off of
// RFC 9915 §15; the first wait is Options.Retransmit.First, but at most a second. The servers that
// it learns replace those of the client. If the Reply lacks the option, the client has no servers
// any more (RFC 7341 §9).
func (c *Client) Information(ctx context.Context, request ...dhcpv6.OptionCode) (*Information, error) {
	x := c.random.Uint32()
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeInformationRequest,
		TransactionID: dhcpv6.TransactionID{byte(x >> 16), byte(x >> 8), byte(x)}}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionClientID, OptionData: c.options.DUID})
	codes := append(dhcpv6.OptionCodes{dhcpv6.OptionDHCP4oDHCP6Server, dhcpv6.OptionInformationRefreshTime}, request...)
	m.AddOption(dhcpv6.OptRequestedOption(codes...))
	m.AddOption(dhcpv6.OptElapsedTime(0))
	datagram := relay.Wrap(c.options.Relays, m.ToBytes())

	var info *Information
	one := *c
	one.servers = []netip.Addr{Multicast}
	if len(c.options.Relays) > 0 && len(c.options.Servers) > 0 {
		one.servers = c.servers // a relay has servers of its own
	}
	retransmit := c.options.Retransmit
	retransmit.First = min(retransmit.First, time.Second)
	retransmit.Jitter = min(retransmit.Jitter, retransmit.First/10)
	if retransmit.Tries == 0 {
		retransmit.Max = time.Hour // INF_MAX_RT
	}
	_, err := one.repeat(ctx, retransmit, func() []byte { return datagram }, m.MessageType.String(),
		func(b []byte, from netip.AddrPort) *Response {
			i, err := c.information(b, m.TransactionID)
			if err != nil {
				c.log.Debug("ignored", "from", from, "why", err)
				return nil
			}
			info = i
			return &Response{From: from, Datagram: b}
		})
	if err != nil {
		return nil, err
	}
	c.servers = info.Servers
	c.log.Debug("learned", "offered", info.Offered, "servers", info.Servers)
	return info, nil
}

// information checks a Reply and reads it.
func (c *Client) information(b []byte, id dhcpv6.TransactionID) (*Information, error) {
	b, err := relay.Unwrap(c.options.Relays, b)
	if err != nil {
		return nil, err
	}
	m, err := dhcpv6.MessageFromBytes(b)
	if err != nil {
		return nil, err
	}
	if m.MessageType != dhcpv6.MessageTypeReply || m.TransactionID != id {
		return nil, fmt.Errorf("%s of transaction %s", m.MessageType, m.TransactionID)
	}
	// RFC 9915 §16.10: a server identifier must be there, and the client identifier must be ours if
	// it is.
	if m.GetOneOption(dhcpv6.OptionServerID) == nil {
		return nil, fmt.Errorf("a Reply without a server identifier")
	}
	if o := m.GetOneOption(dhcpv6.OptionClientID); o == nil || !bytes.Equal(o.ToBytes(), c.options.DUID) {
		return nil, fmt.Errorf("a Reply to another client")
	}
	info := &Information{Reply: m, Refresh: max(m.Options.InformationRefreshTime(refreshDefault), refreshMinimum)}
	if o := m.GetOneOption(dhcpv6.OptionDHCP4oDHCP6Server); o != nil {
		if info.Servers, err = ServerAddresses(o.ToBytes()); err != nil {
			return nil, err
		}
		info.Offered = true
	}
	return info, nil
}

// IRT_DEFAULT and IRT_MINIMUM (RFC 9915 §7.6).
const (
	refreshDefault = 24 * time.Hour
	refreshMinimum = 10 * time.Minute
)

// ServerAddresses reads the content of option 88 (RFC 7341 §7.2). It returns the addresses without
// repetition, or the multicast group if there is none.
func ServerAddresses(data []byte) ([]netip.Addr, error) {
	if len(data)%16 != 0 {
		return nil, fmt.Errorf("option 88 of %d octets", len(data))
	}
	if len(data) == 0 {
		return []netip.Addr{Multicast}, nil
	}
	var addrs []netip.Addr
	for ; len(data) > 0; data = data[16:] {
		addrs = append(addrs, netip.AddrFrom16([16]byte(data[:16])))
	}
	return unique(addrs), nil
}
