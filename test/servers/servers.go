// Package servers starts a 4o6 server on a host of a lab. A server has two halves: the v6 half is
// our dhcp6d or kea-dhcp6, the v4 half our dhcp4d or kea-dhcp4. One Config describes both.
//
// The package writes configurations and waits until a half serves. It neither sends nor reads DHCP.
package servers

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

// Kind says whose program a half is.
type Kind string

// The kinds.
const (
	Ours Kind = "ours"
	Kea  Kind = "kea"
)

// Config describes both halves. Each uses its part.
type Config struct {
	// Dir holds what must survive a restart, and nothing else.
	Dir string
	// Interfaces are served by the v6 half. Relays are the sources from which it accepts
	// Relay-forward. LDRA are the interfaces where it accepts Relay-forward from link-local
	// sources.
	Interfaces []string
	Relays     []netip.Prefix
	LDRA       []string
	// Unicast names the server's own addresses as interface/address. Kea must be told; ours listens
	// on them anyway.
	Unicast []string
	// Port is the v6 half's port of the IPC, 6767 if 0. The v4 half's port is the next one.
	Port uint16
	// V4 and V6 say whose the other half is, because a half must know that. Empty is ours.
	V4, V6 Kind
	// Option88 is DHCP6D_4O6_SERVERS.
	Option88 string
	Subnets  []Subnet
	// LeaseTime is in whole seconds; 0 stands for an hour.
	LeaseTime time.Duration
	// Quiet makes both halves log warnings only, for measuring.
	Quiet bool
	// Through is a command that starts our v4 half. It gets the half's program and arguments, and
	// must become it (exec). Through6 does that for our v6 half.
	Through, Through6 []string
	// Prepare is called with the process of each of our halves before it runs. It may be nil.
	Prepare func(pid int) error
	// Patience is how long a half may take until it serves; 0 stands for 15 s. With millions of
	// leases it takes longer.
	Patience time.Duration
	// Bin is the directory of our halves, by default that of [Find]. KeaBin is that of Kea's
	// halves, by default where they are installed.
	Bin, KeaBin string
	// Env is added at the end of the environment of our halves.
	Env []string
	// KeaDatabase is the lease-database of Kea's v4 half, by default a lease file.
	KeaDatabase map[string]any
}

// A Subnet has IPv4 addresses, and keys that select its clients. One key is enough. The
// server identifier is the first address of the prefix. Ours is configured; Kea takes it from the
// interface.
type Subnet struct {
	ID          int
	Prefix      netip.Prefix
	First, Last netip.Addr
	// Interface is where queries arrive at the server. Ours matches only direct clients by it, Kea
	// relayed ones too.
	Interface string
	// Sources are prefixes of the IPv6 source address of direct clients. Kea matches that of relays
	// too.
	Sources []netip.Prefix
	// Links are prefixes of link-addresses. Kea cannot match them.
	Links []netip.Prefix
	// InterfaceID is the Interface-Id that a relay adds.
	InterfaceID string
}

// Server returns the server identifier of the subnet.
func (s Subnet) Server() netip.Addr { return s.Prefix.Masked().Addr().Next() }

func (c Config) withDefaults() Config {
	if c.Port == 0 {
		c.Port = 6767
	}
	if c.LeaseTime == 0 {
		c.LeaseTime = time.Hour
	}
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
	return c
}

// A Half is a running v4 or v6 half.
type Half struct {
	*netns.Process
	Host *netns.Host
	Kind Kind

	metrics string // host:port; empty if it has none
}

// StartV6 starts the half that serves the link. With alone it does not wait for a v4 half.
func StartV6(h *netns.Host, kind Kind, c Config, alone bool) (*Half, error) {
	c = c.withDefaults()
	if kind == Kea {
		return startKea(h, "kea-dhcp6", c, text(kea6(c)))
	}
	return startOurs(h, c, "dhcp6d", c.Through6, env6(c), alone)
}

// StartV4 starts the half that has the leases.
func StartV4(h *netns.Host, kind Kind, c Config) (*Half, error) {
	c = c.withDefaults()
	if kind == Kea {
		return startKea(h, "kea-dhcp4", c, text(kea4(c)))
	}
	subnets, err := subnetsVariable(c)
	if err != nil {
		return nil, err
	}
	return startOurs(h, c, "dhcp4d", c.Through, append([]string{subnets}, env4(c)...), false)
}

// Import makes our v4 half's program import leases from a file into the store that it would open.
// No half may have the store open. It returns what the program has printed.
func Import(ctx context.Context, h *netns.Host, c Config, file string) (string, error) {
	c = c.withDefaults()
	path, err := program(c, "dhcp4d")
	if err != nil {
		return "", err
	}
	subnets, err := subnetsVariable(c)
	if err != nil {
		return "", err
	}
	p, err := h.Start(append([]string{subnets}, env4(c)...), path, "leases", "import", file)
	if err != nil {
		return "", err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return "", err
	}
	if status != 0 {
		return "", fmt.Errorf("the import of %s ended with status %d and said %s", file, status, p.Output())
	}
	return p.Output(), nil
}

// Start starts both halves.
func Start(h *netns.Host, v6, v4 Kind, c Config) (six, four *Half, err error) {
	c.V6, c.V4 = v6, v4
	if four, err = StartV4(h, v4, c); err != nil {
		return nil, nil, err
	}
	if six, err = StartV6(h, v6, c, false); err != nil {
		return nil, nil, err
	}
	return six, four, nil
}

func start(h *netns.Host, kind Kind, c Config, env []string, metrics string, argv []string,
	ready func(*netns.Process) error) (*Half, error) {
	prepare := c.Prepare
	if kind == Kea {
		prepare = nil
	}
	p, err := h.StartPrepared(prepare, env, argv...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Patience)
	defer cancel()
	if err := p.WaitFor(ctx, func() error { return ready(p) }); err != nil {
		p.Kill()
		return nil, err
	}
	return &Half{Process: p, Host: h, Kind: kind, metrics: metrics}, nil
}

// hostPort returns an address of the loopback as text.
func hostPort(port uint16) string { return net.JoinHostPort("::1", strconv.Itoa(int(port))) }
