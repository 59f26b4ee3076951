package relay

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/clients/ethernet"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// V4Config describes a 4o6 relay agent (RFC 9928). It has legacy DHCPv4 clients on one interface
// and 4o6 servers behind another.
type V4Config struct {
	// Down is the clients' interface. Clients send renewals to the server identifier, so this host
	// must be on the way of these datagrams or own that address (RFC 9928 §4).
	Down string
	// Up leads to the servers. Servers are those of option 88; there are none until they are known
	// ([V4Agent.SetServers]).
	Up      string
	Servers []netip.Addr
	// Local is our IPv6 address; the zero Addr lets the kernel choose. Datagrams to a multicast
	// address always come from a link-local one (RFC 7341 §9).
	Local netip.Addr
	Log   *slog.Logger
}

// A V4Agent carries the DHCPv4 messages of unmodified clients in DHCPV4-QUERY, and brings back what
// DHCPV4-RESPONSE carries, octet for octet. It stores nothing about clients: a reply is delivered
// by its own fields (RFC 2131 §4.1). While no server is known it carries nothing in either
// direction.
//
// It owns UDP port 546 of the interface. A user that asks for option 88 does so through
// [V4Agent.Send] and [V4Agent.Receive].
//
// Towards clients it uses Ethernet frames. That is the only way to reach a client without an
// address, and the U flag depends on the IPv4 destination.
type V4Agent struct {
	config V4Config
	mac    net.HardwareAddr
	down   *os.File     // packet socket
	port67 *net.UDPConn // never read: it keeps the kernel from sending port-unreachable
	up     *net.UDPConn
	source []byte // control message that makes Local the source; nil leaves the choice to the kernel

	servers atomic.Pointer[[]netip.Addr]
	others  chan datagram // Replies to what Send sent

	loops                       sync.WaitGroup
	queries, replies, discarded atomic.Uint64
}

// OpenV4 opens the agent's sockets in the current network namespace. The agent relays until Close.
func OpenV4(c V4Config) (*V4Agent, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	link, err := net.InterfaceByName(c.Down)
	if err != nil {
		return nil, fmt.Errorf("4o6 relay agent: finding interface %s: %w", c.Down, err)
	}
	a := &V4Agent{config: c, mac: link.HardwareAddr, others: make(chan datagram, 8)}
	a.SetServers(c.Servers)
	if c.Local.IsValid() {
		if a.source, err = from(c.Up, c.Local); err != nil {
			return nil, fmt.Errorf("4o6 relay agent, towards servers: %w", err)
		}
	}
	if a.up, err = Listen(c.Up, netip.AddrPortFrom(netip.IPv6Unspecified(), ClientPort)); err != nil {
		return nil, fmt.Errorf("4o6 relay agent, towards servers: %w", err)
	}
	if a.down, err = ethernet.OpenPort(c.Down, ethernet.Received); err != nil {
		return nil, errors.Join(fmt.Errorf("4o6 relay agent, towards clients: %w", err), a.up.Close())
	}
	if a.port67, err = net.ListenUDP("udp4", &net.UDPAddr{Port: 67}); err != nil {
		return nil, errors.Join(fmt.Errorf("4o6 relay agent, taking UDP port 67: %w", err), a.up.Close(),
			a.down.Close())
	}
	a.loops.Go(func() { each(a.up, a.downwards) })
	a.loops.Go(a.readClients)
	return a, nil
}

// from returns the control message that makes an address of this host the source of a datagram.
func from(name string, local netip.Addr) ([]byte, error) {
	probe, err := Listen(name, netip.AddrPortFrom(local, 0)) // fails if the address is not ours
	if err != nil {
		return nil, err
	}
	return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16()}), probe.Close()
}

// SetServers replaces the servers that get queries. Without servers 4o6 is off: without option 88
// no query may be sent (RFC 7341 §5, §9).
func (a *V4Agent) SetServers(servers []netip.Addr) {
	servers = slices.Clone(servers)
	a.servers.Store(&servers)
}

// A datagram as it arrived.
type datagram struct {
	data []byte
	from netip.AddrPort
}

// Send sends to a server as the agent itself. To a multicast address it sends from a link-local one
// (RFC 7341 §9).
func (a *V4Agent) Send(b []byte, to netip.Addr) error {
	source := a.source
	if to.IsMulticast() && !a.config.Local.IsLinkLocalUnicast() {
		source = nil
	}
	_, _, err := a.up.WriteMsgUDPAddrPort(b, source, netip.AddrPortFrom(to, ServerPort))
	return err
}

// Receive waits for a Reply until the deadline. Then it returns an error that is
// os.ErrDeadlineExceeded.
func (a *V4Agent) Receive(deadline time.Time) ([]byte, netip.AddrPort, error) {
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	select {
	case d := <-a.others:
		return d.data, d.from, nil
	case <-late.C:
		return nil, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
}

// Wait returns when the agent no longer relays, which is after Close.
func (a *V4Agent) Wait() { a.loops.Wait() }

// Close ends relaying.
func (a *V4Agent) Close() error {
	err := errors.Join(a.down.Close(), a.up.Close(), a.port67.Close())
	a.loops.Wait()
	return err
}

// Counts returns how many messages went up, how many came down, and how many were discarded.
func (a *V4Agent) Counts() (queries, replies, discarded uint64) {
	return a.queries.Load(), a.replies.Load(), a.discarded.Load()
}

func (a *V4Agent) readClients() {
	frame := make([]byte, 1<<16)
	for {
		n, err := a.down.Read(frame)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // the interface is down or gone, which the kernel reports once
		}
		message, to, ok := decodeV4(frame[:n])
		if !ok {
			continue
		}
		servers := *a.servers.Load()
		if len(servers) == 0 {
			a.discard("message", errOff)
			continue
		}
		query := V4Query(message, to)
		for _, s := range servers {
			if err := a.Send(query, s); err != nil {
				a.discard("query", err)
				continue
			}
			a.queries.Add(1)
			a.config.Log.Debug("query", "server", s, "unicast", to != broadcastV4)
		}
	}
}

// V4Query returns the DHCPV4-QUERY for a DHCPv4 message that a client sent to that IPv4
// destination. It sets U unless that was the broadcast address (RFC 7341 §6.3, RFC 9928 §3).
func V4Query(message []byte, to netip.Addr) []byte {
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Query}
	if to != broadcastV4 {
		m.TransactionID[0] = 0x80
	}
	m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: message})
	return m.ToBytes()
}

// errOff means that there is no server to query.
var errOff = errors.New("no option 88, no 4o6")

// downwards delivers a response to its client, and hands Replies to Receive.
func (a *V4Agent) downwards(b []byte, from netip.AddrPort) {
	if len(b) > 0 && dhcpv6.MessageType(b[0]) == dhcpv6.MessageTypeReply {
		select {
		case a.others <- datagram{bytes.Clone(b), from}:
		default:
			a.discard("reply", fmt.Errorf("nobody asked for it, from %s", from))
		}
		return
	}
	if len(*a.servers.Load()) == 0 {
		a.discard("datagram", errOff)
		return
	}
	if len(b) == 0 || dhcpv6.MessageType(b[0]) != dhcpv6.MessageTypeDHCPv4Response {
		a.discard("datagram", fmt.Errorf("not a DHCPV4-RESPONSE, from %s", from))
		return
	}
	message, ok := Payload(b)
	if !ok {
		a.discard("response", fmt.Errorf("without exactly one option 87, from %s", from))
		return
	}
	m, err := dhcpv4.FromBytes(message)
	if err == nil && m.OpCode != dhcpv4.OpcodeBootReply {
		err = fmt.Errorf("op is %d", m.OpCode)
	}
	if err != nil {
		a.discard("response", fmt.Errorf("no BOOTREPLY from %s: %w", from, err))
		return
	}
	if _, err := a.down.Write(encodeV4(a.mac, m, message)); err != nil {
		a.discard("reply", err)
		return
	}
	a.replies.Add(1)
	a.config.Log.Debug("reply", "type", m.MessageType(), "client", m.ClientHWAddr, "address", m.YourIPAddr)
}

func (a *V4Agent) discard(what string, err error) {
	a.discarded.Add(1)
	a.config.Log.Debug("discarded", "what", what, "why", err)
}

// Offsets of fields in an Ethernet frame with IPv4 and UDP: protocol at 23, source at 26,
// destination at 30, and without IPv4 options the UDP ports at 34 and 36.
const (
	etherTypeIPv4 = 0x0800
	ethernetLen   = 14
	ipv4Len       = 20
	udpLen        = 8

	bootpServer, bootpClient = 67, 68
)

var broadcastV4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// decodeV4 finds the DHCPv4 message that a client sent in a frame.
func decodeV4(frame []byte) (message []byte, to netip.Addr, ok bool) {
	if len(frame) < ethernetLen+ipv4Len+udpLen || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv4 {
		return nil, to, false
	}
	ip := frame[ethernetLen:]
	header := int(ip[0]&15) * 4
	fragment := binary.BigEndian.Uint16(ip[6:]) &^ 0x4000 // all but don't-fragment
	if ip[0]>>4 != 4 || header < ipv4Len || fragment != 0 || ip[9] != 17 || len(ip) < header+udpLen {
		return nil, to, false
	}
	udp := ip[header:]
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if binary.BigEndian.Uint16(udp[2:]) != bootpServer || length < udpLen || length > len(udp) {
		return nil, to, false
	}
	return udp[udpLen:length], netip.AddrFrom4([4]byte(ip[16:20])), true
}

// encodeV4 returns the frame that brings a reply to its client (RFC 2131 §4.1): to ciaddr; by
// broadcast if the client asks for that or gets a NAK; else to yiaddr at its hardware address. The
// source is the server identifier.
func encodeV4(from net.HardwareAddr, m *dhcpv4.DHCPv4, message []byte) []byte {
	to, mac := net.IPv4bcast.To4(), net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	switch {
	case m.MessageType() == dhcpv4.MessageTypeNak:
	case !m.ClientIPAddr.IsUnspecified():
		to, mac = m.ClientIPAddr.To4(), m.ClientHWAddr
	case m.Flags&0x8000 == 0 && !m.YourIPAddr.IsUnspecified():
		to, mac = m.YourIPAddr.To4(), m.ClientHWAddr
	}
	if len(mac) != 6 {
		mac = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	source := m.ServerIdentifier().To4()
	if source == nil {
		source = net.IPv4zero.To4()
	}
	b := make([]byte, ethernetLen+ipv4Len+udpLen, ethernetLen+ipv4Len+udpLen+len(message))
	copy(b[0:], mac)
	copy(b[6:], from)
	binary.BigEndian.PutUint16(b[12:], etherTypeIPv4)
	ip := b[ethernetLen:]
	ip[0], ip[8], ip[9] = 4<<4|5, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(ipv4Len+udpLen+len(message)))
	copy(ip[12:], source)
	copy(ip[16:], to)
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip[:ipv4Len])))
	udp := ip[ipv4Len:]
	binary.BigEndian.PutUint16(udp[0:], bootpServer)
	binary.BigEndian.PutUint16(udp[2:], bootpClient)
	binary.BigEndian.PutUint16(udp[4:], uint16(udpLen+len(message)))
	b = append(b, message...)
	ip, udp = b[ethernetLen:], b[ethernetLen+ipv4Len:]
	check := ^fold(sum(ip[12:20]) + 17 + uint32(len(udp)) + sum(udp))
	if check == 0 {
		check = 0xffff
	}
	binary.BigEndian.PutUint16(udp[6:], check)
	return b
}

// sum and fold compute the Internet checksum (RFC 1071).
func sum(b []byte) uint32 {
	var s uint32
	budget.Spend(len(b))
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
