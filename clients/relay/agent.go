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

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// Config describes a relay agent. It has clients (or further relays) on one interface and servers
// (or further relays) on another.
type Config struct {
	Down, Up string
	// LinkAddress is the agent's address on the clients' link.
	LinkAddress netip.Addr
	// InterfaceID and RemoteID are added if they are not nil.
	InterfaceID []byte
	RemoteID    *dhcpv6.OptRemoteID
	// Trusted are the addresses of relay agents below. A Relay-forward is accepted from them only:
	// a client can send one too, and the server would take it for what a relay says about another
	// client. By default nobody is trusted. A Lightweight DHCPv6 Relay Agent (RFC 6221) sends from
	// the addresses of its clients. For one below, list fe80::/10, and let clients reach Down only
	// through it.
	Trusted []netip.Prefix
	// Servers get every message. ff02::1:2 and ff05::1:3 are allowed.
	Servers []netip.Addr
	// Port is the UDP source port towards the servers; 0 stands for 547. With any other port the
	// agent adds the Relay Port option (RFC 8357).
	Port uint16
	// Log gets one line per datagram at debug level, and a warning for the first Relay-forward from
	// a sender that is not trusted.
	Log *slog.Logger
}

// An Agent is a relay agent (RFC 9915 §19). From below it accepts messages of every type, also
// unknown ones (RFC 7283), except Relay-reply, and except Relay-forward from a sender that is not
// trusted. It accepts unicast too, because a DHCPV4-QUERY may be sent to a relay's own address.
type Agent struct {
	config   Config
	down, up *net.UDPConn

	loops                         sync.WaitGroup
	warned                        sync.Once
	forwarded, replied, discarded atomic.Uint64
}

// Open opens an agent's sockets in the current network namespace. The agent relays until Close.
func Open(c Config) (*Agent, error) {
	if len(c.Servers) == 0 {
		return nil, errors.New("relay: no server is named to forward to")
	}
	if c.Port == 0 {
		c.Port = ServerPort
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	down, err := Listen(c.Down, netip.AddrPortFrom(netip.IPv6Unspecified(), ServerPort), AllAgentsAndServers)
	if err != nil {
		return nil, fmt.Errorf("relay, towards clients: %w", err)
	}
	up, err := Listen(c.Up, netip.AddrPortFrom(netip.IPv6Unspecified(), c.Port))
	if err != nil {
		down.Close()
		return nil, fmt.Errorf("relay, towards servers: %w", err)
	}
	a := &Agent{config: c, down: down, up: up}
	a.loops.Go(func() { each(a.up, a.downwards) })
	a.loops.Go(func() { each(a.down, a.upwards) })
	return a, nil
}

// Wait returns when the agent no longer relays, which is after Close.
func (a *Agent) Wait() { a.loops.Wait() }

// Close ends relaying. The ports are free when it returns.
func (a *Agent) Close() error {
	err := errors.Join(a.down.Close(), a.up.Close())
	a.loops.Wait()
	return err
}

// Counts returns how many datagrams went up, how many went down, and how many were discarded.
func (a *Agent) Counts() (forwarded, replied, discarded uint64) {
	return a.forwarded.Load(), a.replied.Load(), a.discarded.Load()
}

// each calls handle for every datagram until the socket is closed.
func each(conn *net.UDPConn, handle func(b []byte, from netip.AddrPort)) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error about an earlier datagram
		}
		handle(b[:n], netip.AddrPortFrom(from.Addr().WithZone(""), from.Port()))
	}
}

func (a *Agent) upwards(b []byte, from netip.AddrPort) {
	relayed, err := a.forward(b, from)
	if errors.Is(err, errNotTrusted) {
		a.warned.Do(func() {
			a.config.Log.Warn("discarded a Relay-forward because its sender is not a trusted relay agent; more of "+
				"them are logged at debug level", "sender", from, "trusted", a.config.Trusted)
		})
	}
	if err != nil {
		a.discard("from a client", from, err)
		return
	}
	for _, s := range a.config.Servers {
		to := netip.AddrPortFrom(s, ServerPort)
		if _, err := a.up.WriteToUDPAddrPort(relayed, to); err != nil {
			a.discard("to a server", to, err)
			continue
		}
		a.forwarded.Add(1)
		a.config.Log.Debug("relayed", "type", dhcpv6.MessageType(b[0]), "from", from, "to", to)
	}
}

// errNotTrusted means that a relay message comes from a sender that is not trusted.
var errNotTrusted = errors.New("a Relay-forward from a sender that is not trusted")

// trusts reports whether a relay agent may have this address.
func (a *Agent) trusts(sender netip.Addr) bool {
	return slices.ContainsFunc(a.config.Trusted, func(p netip.Prefix) bool { return p.Contains(sender) })
}

// forward returns the Relay-forward for a message from below.
func (a *Agent) forward(b []byte, from netip.AddrPort) ([]byte, error) {
	if len(b) == 0 {
		return nil, errors.New("empty datagram")
	}
	level := Level{LinkAddress: a.config.LinkAddress, PeerAddress: from.Addr(),
		InterfaceID: a.config.InterfaceID, RemoteID: a.config.RemoteID}
	var downstreamPort uint16
	switch dhcpv6.MessageType(b[0]) {
	case dhcpv6.MessageTypeRelayReply:
		return nil, errors.New("a Relay-reply from below")
	case dhcpv6.MessageTypeRelayForward: // RFC 9915 §19.1.2
		if !a.trusts(from.Addr()) {
			return nil, errNotTrusted
		}
		inner, err := ParseLevel(b)
		if err != nil {
			return nil, err
		}
		if inner.HopCount >= HopCountLimit {
			return nil, errors.New("hop count limit reached")
		}
		level.HopCount = inner.HopCount + 1
		if !from.Addr().IsLinkLocalUnicast() {
			level.LinkAddress = netip.Addr{} // the relay's own address names the link
		}
		if from.Port() != ServerPort {
			downstreamPort = from.Port()
		}
	}
	if a.config.Port != ServerPort || downstreamPort != 0 { // RFC 8357 §5.1
		level.RelayPort = &downstreamPort
	}
	return level.wrap(dhcpv6.MessageTypeRelayForward, b), nil
}

func (a *Agent) downwards(b []byte, from netip.AddrPort) {
	message, to, err := a.reply(b)
	if err == nil {
		_, err = a.down.WriteToUDPAddrPort(message, to)
	}
	if err != nil {
		a.discard("from a server", from, err)
		return
	}
	a.replied.Add(1)
	a.config.Log.Debug("relayed back", "type", dhcpv6.MessageType(message[0]), "from", from, "to", to)
}

// reply opens a Relay-reply and returns its message and where that goes.
func (a *Agent) reply(b []byte) (message []byte, to netip.AddrPort, err error) {
	level, err := ParseLevel(b)
	if err != nil {
		return nil, to, err
	}
	if level.MessageType != dhcpv6.MessageTypeRelayReply || len(level.Message) == 0 {
		return nil, to, fmt.Errorf("not a Relay-reply, or an empty one: type %d", level.MessageType)
	}
	id, has := level.Option(dhcpv6.OptionInterfaceID)
	if has != (a.config.InterfaceID != nil) || !bytes.Equal(id, a.config.InterfaceID) {
		return nil, to, fmt.Errorf("Interface-Id %x is not ours", id)
	}
	port := uint16(ClientPort)
	if dhcpv6.MessageType(level.Message[0]) == dhcpv6.MessageTypeRelayReply {
		port = ServerPort
		if p, ok := level.Option(dhcpv6.OptionRelayPort); ok && len(p) == 2 && binary.BigEndian.Uint16(p) != 0 {
			port = binary.BigEndian.Uint16(p)
		}
	}
	return level.Message, netip.AddrPortFrom(level.PeerAddress, port), nil
}

func (a *Agent) discard(what string, peer netip.AddrPort, err error) {
	a.discarded.Add(1)
	a.config.Log.Debug("discarded", "what", what, "peer", peer, "why", err)
}
