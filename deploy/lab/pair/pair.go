// Package pair starts the two halves of a 4o6 server on a host of a lab, each
// of them ours or Kea's, from one description.
//
// It writes configurations and waits until a half serves. It sends and reads
// no DHCP.
package pair

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
)

// Kind says whose program a half is.
type Kind string

// The kinds.
const (
	Ours Kind = "ours"
	Kea  Kind = "kea"
)

// Config describes both halves; each takes what concerns it.
type Config struct {
	// Dir holds what must survive a restart, and nothing else may be in it.
	Dir string
	// Interfaces are served by the v6 half, Relays are the sources that it
	// takes Relay-forward from, LDRA the interfaces where it does so from
	// link-local sources.
	Interfaces []string
	Relays     []netip.Prefix
	LDRA       []string
	// Unicast names the server's own addresses as interface/address. Ours
	// hears them anyway, Kea must be told.
	Unicast []string
	// Port is the v6 half's end of the IPC, 6767 when 0; the v4 half's is the
	// next.
	Port uint16
	// V4 and V6 say whose half is at the other end, for what it must know
	// about it. Empty is ours.
	V4, V6 Kind
	// Option88 is DHCP6D_4O6_SERVERS.
	Option88 string
	Subnets  []Subnet
	// LeaseTime is in whole seconds, an hour when 0.
	LeaseTime time.Duration
	// Quiet makes both halves log warnings only, for measuring.
	Quiet bool
	// Through is a command that our v4 half is started by: its arguments
	// follow, and the command becomes it (exec).
	Through []string
	// Patience is how long a half may take until it serves, 15 s when 0: one
	// with millions of leases takes longer.
	Patience time.Duration
	// Bin is the directory of our halves; by default that of [Find]. KeaBin is
	// that of Kea's; by default they are where they are installed.
	Bin, KeaBin string
	// Env is added to the environment of our halves, last.
	Env []string
}

// A Subnet of IPv4 addresses and the clients that it is for. Any of the keys
// is enough. The server identifier is the first address of the prefix: ours
// by configuration, Kea's because it is the address of the interface.
type Subnet struct {
	ID          int
	Prefix      netip.Prefix
	First, Last netip.Addr
	// Interface is where queries arrive on the server. Ours matches direct
	// clients by it, Kea relayed ones too.
	Interface string
	// Sources are prefixes of the IPv6 source of direct clients. Kea matches
	// the relay's by it too.
	Sources []netip.Prefix
	// Links are prefixes of link-addresses of relays. Kea cannot.
	Links []netip.Prefix
	// InterfaceID is what a relay adds.
	InterfaceID string
}

// Server is the server identifier of the subnet.
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
	*netlab.Process
	Host *netlab.Host
	Kind Kind

	metrics string // host:port, empty where there is none
}

// StartV6 starts the half that serves the link. With alone it does not wait
// for a v4 half to be there.
func StartV6(h *netlab.Host, kind Kind, c Config, alone bool) (*Half, error) {
	c = c.withDefaults()
	if kind == Kea {
		return startKea(h, "kea-dhcp6", c, text(kea6(c)))
	}
	return startOurs(h, c, "dhcp6d", nil, env6(c), alone)
}

// StartV4 starts the half that has the leases.
func StartV4(h *netlab.Host, kind Kind, c Config) (*Half, error) {
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

// Import has our v4 half's program bring leases from a file into the store that
// it would open, which no half has open, and returns what it says of that.
func Import(ctx context.Context, h *netlab.Host, c Config, file string) (string, error) {
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
func Start(h *netlab.Host, v6, v4 Kind, c Config) (six, four *Half, err error) {
	c.V6, c.V4 = v6, v4
	if four, err = StartV4(h, v4, c); err != nil {
		return nil, nil, err
	}
	if six, err = StartV6(h, v6, c, false); err != nil {
		return nil, nil, err
	}
	return six, four, nil
}

// Freeze stops the process without ending it (SIGSTOP); Thaw lets it go on.
func (h *Half) Freeze() { h.Signal(syscall.SIGSTOP) }

// Thaw undoes Freeze.
func (h *Half) Thaw() { h.Signal(syscall.SIGCONT) }

func start(h *netlab.Host, kind Kind, patience time.Duration, env []string, metrics string, argv []string, ready func(*netlab.Process) error) (*Half, error) {
	p, err := h.Start(env, argv...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.WaitFor(ctx, func() error { return ready(p) }); err != nil {
		p.Kill()
		return nil, err
	}
	return &Half{Process: p, Host: h, Kind: kind, metrics: metrics}, nil
}

// hostPort writes an address of the loopback.
func hostPort(port uint16) string { return net.JoinHostPort("::1", strconv.Itoa(int(port))) }
