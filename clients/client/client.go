// Package client is a DHCPv4-over-DHCPv6 client (RFC 7341). It learns its servers from option 88,
// or is given them. It obtains, renews, rebinds, declines and releases IPv4 leases. Its DHCPv4
// messages travel in DHCPV4-QUERY and DHCPV4-RESPONSE.
//
// The package builds the messages, retransmits them (RFC 2131 §4.1) and checks the answers. It does
// not configure interfaces and stores nothing on disk.
//
// A [Session] does all that a CPE does over time: option 88 and its refresh, the states of RFC
// 2131, T1 and T2. Use it in the network namespace and on the interface of the client:
//
//	socket, err := client.Listen("eth0", netip.AddrPort{})
//	c, err := client.New(socket, client.Options{HardwareAddr: mac})
//	s := client.Session{Client: c, Changed: func(e client.Event, l *client.Lease) error { … }}
//	err = s.Run(ctx)
//
// [Client.Follow] does only the part about option 88. The methods of Client do single steps,
// without timers:
//
//	_, err := c.Information(ctx)  // option 88, or use Options.Servers
//	lease, err := c.Obtain(ctx)
//	lease, err = c.Renew(ctx, lease)
//	err = c.Release(lease)
//
// Messages are built and read with insomniacslk/dhcp. The codecs of the daemons are not used,
// because this client tests them. [Client.Exchange] and [Client.Send] send octets unchanged, for
// messages that no client should send.
//
// One goroutine uses a Client. Several clients may run on a host, each with a socket that is bound
// to its own address.
package client

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// Multicast is the group that queries go to if no server is known by address, and what an empty
// option 88 means (RFC 7341 §7.2).
var Multicast = relay.AllAgentsAndServers

// Errors of exchanges, to be tested with errors.Is.
var (
	// ErrNoServers means that the client must not send a query (RFC 7341 §5): it has received no
	// option 88 and was given no servers.
	ErrNoServers = errors.New("no 4o6 server is known: no option 88 was received")
	// ErrNoAnswer means that no acceptable answer came, even to the last retransmission.
	ErrNoAnswer = errors.New("no answer")
	// ErrNak means that the server refused the request. The client starts again with a DISCOVER.
	ErrNak = errors.New("the server refused (DHCPNAK)")
)

// Options describe a client. Most clients need only HardwareAddr.
type Options struct {
	// HardwareAddr is the Ethernet address for chaddr. It may be nil on a link without such
	// addresses.
	HardwareAddr net.HardwareAddr
	// DUID and IAID form the client identifier (RFC 4361). A nil DUID stands for a DUID-LL of
	// HardwareAddr, an IAID of 0 for 1.
	DUID []byte
	IAID uint32
	// ClientID replaces the content of option 61 if it is not nil. If it is empty, messages have no
	// option 61, like those of legacy clients.
	ClientID []byte
	// Servers are the addresses that queries go to. If it is nil, call Information to learn them.
	Servers []netip.Addr
	// Relays are put around every query, outermost first, and taken off every response. The client
	// is then a relayed one although there are no relays, and its socket is that of the outermost
	// relay. A response is accepted only if it mirrors the levels exactly.
	Relays []relay.Level
	// Parameters is the content of option 55. Nil stands for mask, routers, DNS servers and domain
	// name.
	Parameters []dhcpv4.OptionCode
	// LeaseTime is requested in option 51 if it is not 0.
	LeaseTime time.Duration
	// Extra options are added to every DHCPv4 message.
	Extra []dhcpv4.Option
	// Query options are added to every DHCPV4-QUERY before option 87.
	Query []dhcpv6.Option
	// Retransmit is the back-off; its zero value stands for [Standard].
	Retransmit Retransmit
	// Random makes transaction ids and jitter. Nil stands for a randomly seeded source.
	Random *rand.Rand
	// Log gets one line per message at debug level.
	Log *slog.Logger
}

// Retransmit is a randomised exponential back-off (RFC 2131 §4.1).
type Retransmit struct {
	First  time.Duration // the wait after the first transmission
	Max    time.Duration // the wait doubles until it is this long
	Jitter time.Duration // each wait is longer or shorter by at most this
	Tries  int           // the most transmissions; 0 is no limit
}

// Standard is the back-off of RFC 2131 §4.1: 4, 8, 16, 32 and 64 s, each plus or minus a second.
var Standard = Retransmit{First: 4 * time.Second, Max: 64 * time.Second, Jitter: time.Second, Tries: 5}

// A Client makes exchanges, one at a time.
type Client struct {
	options  Options
	socket   Transport
	servers  []netip.Addr
	clientID []byte
	random   *rand.Rand
	log      *slog.Logger
}

// New returns a client that sends and receives through a socket. The caller closes the socket.
func New(socket Transport, o Options) (*Client, error) {
	if o.Retransmit == (Retransmit{}) {
		o.Retransmit = Standard
	}
	if o.Parameters == nil {
		o.Parameters = []dhcpv4.OptionCode{dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter,
			dhcpv4.OptionDomainNameServer, dhcpv4.OptionDomainName}
	}
	if o.IAID == 0 {
		o.IAID = 1
	}
	if o.Random == nil {
		o.Random = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DUID == nil {
		if len(o.HardwareAddr) == 0 {
			return nil, errors.New("a client needs a hardware address or a DUID to identify itself")
		}
		o.DUID = (&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: o.HardwareAddr}).ToBytes()
	}
	c := &Client{options: o, socket: socket, servers: unique(o.Servers), random: o.Random, log: o.Log,
		clientID: o.ClientID}
	if c.clientID == nil {
		c.clientID = ClientID(o.IAID, o.DUID)
	}
	return c, nil
}

// ClientID returns the client identifier of RFC 4361 §6.1: ff, IAID, DUID.
func ClientID(iaid uint32, duid []byte) []byte {
	return append([]byte{0xff, byte(iaid >> 24), byte(iaid >> 16), byte(iaid >> 8), byte(iaid)}, duid...)
}

// Servers returns the addresses that queries go to.
func (c *Client) Servers() []netip.Addr { return slices.Clone(c.servers) }

// unique keeps the first of equal addresses. Each server gets a query once, so a forged list cannot
// multiply traffic (RFC 7341 §9, §12).
func unique(addrs []netip.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addrs {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// Message returns a DHCPv4 message of this client with a new transaction id. The caller may change
// it, and gives it to [Client.Exchange].
func (c *Client) Message(t dhcpv4.MessageType, options ...dhcpv4.Option) *dhcpv4.DHCPv4 {
	m := &dhcpv4.DHCPv4{
		OpCode:       dhcpv4.OpcodeBootRequest,
		HWType:       iana.HWTypeEthernet,
		ClientHWAddr: c.options.HardwareAddr,
		ClientIPAddr: net.IPv4zero, YourIPAddr: net.IPv4zero, ServerIPAddr: net.IPv4zero, GatewayIPAddr: net.IPv4zero,
		Options: make(dhcpv4.Options),
	}
	x := c.random.Uint32()
	m.TransactionID = dhcpv4.TransactionID{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)}
	m.UpdateOption(dhcpv4.OptMessageType(t))
	if len(c.clientID) > 0 {
		m.UpdateOption(dhcpv4.OptClientIdentifier(c.clientID))
	}
	for _, o := range slices.Concat(c.options.Extra, options) {
		m.UpdateOption(o)
	}
	return m
}

// Query returns the DHCPV4-QUERY that carries a DHCPv4 message, inside the client's relay levels.
// unicast sets the U flag: DHCPv4 would have sent the message to a unicast address (RFC 7341 §6.3).
// The flag says nothing about where the query itself goes.
func (c *Client) Query(carried []byte, unicast bool) []byte {
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Query}
	if unicast {
		m.TransactionID[0] = 0x80
	}
	for _, o := range c.options.Query {
		m.AddOption(o)
	}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: carried})
	return relay.Wrap(c.options.Relays, m.ToBytes())
}

// A Response is a DHCPV4-RESPONSE that has passed the checks of [Client.Parse].
type Response struct {
	From netip.AddrPort
	// Datagram is what arrived. Message is the same without relay levels. Carried is the DHCPv4
	// message in it, octet for octet.
	Datagram, Message, Carried []byte
	// DHCPv4 is Carried, decoded.
	DHCPv4 *dhcpv4.DHCPv4
}

// Parse checks and decodes a datagram as a response to this client. Its relay levels must mirror
// those of the query, its type must be DHCPV4-RESPONSE, and it must have exactly one option 87 (RFC
// 7341 §6, §9), which carries a BOOTREPLY. Flags that are not zero are only logged.
func (c *Client) Parse(datagram []byte, from netip.AddrPort) (*Response, error) {
	b, err := relay.Unwrap(c.options.Relays, datagram)
	if err != nil {
		return nil, err
	}
	if len(b) < 4 || dhcpv6.MessageType(b[0]) != dhcpv6.MessageTypeDHCPv4Response {
		return nil, fmt.Errorf("not a DHCPV4-RESPONSE: % x", b[:min(4, len(b))])
	}
	if b[1] != 0 || b[2] != 0 || b[3] != 0 {
		c.log.Debug("response flags are not zero", "flags", fmt.Sprintf("% x", b[1:4]))
	}
	options, err := relay.ParseOptions(b[4:])
	if err != nil {
		return nil, fmt.Errorf("options of a DHCPV4-RESPONSE: %w", err)
	}
	carried := options.Get(dhcpv6.OptionDHCPv4Msg)
	if len(carried) != 1 {
		return nil, fmt.Errorf("%d options 87 in a DHCPV4-RESPONSE", len(carried))
	}
	r := &Response{From: from, Datagram: datagram, Message: b, Carried: carried[0].ToBytes()}
	if r.DHCPv4, err = dhcpv4.FromBytes(r.Carried); err != nil {
		return nil, fmt.Errorf("DHCPv4 message of a DHCPV4-RESPONSE: %w", err)
	}
	if r.DHCPv4.OpCode != dhcpv4.OpcodeBootReply {
		return nil, fmt.Errorf("op %d in a DHCPV4-RESPONSE", r.DHCPv4.OpCode)
	}
	return r, nil
}
