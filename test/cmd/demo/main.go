// Demo shows the whole system in a few seconds. Clients on IPv6-only links get IPv4 leases through
// dhcp6d and dhcp4d: by multicast, by unicast, and through one and two relays. They renew the
// leases and give them back. If Kea is installed, one client also gets a prefix from Kea's DHCPv6
// server, through the same dhcp6d.
//
// It needs the two daemons beside it (make demo builds them) and network namespaces: root, or a
// kernel that allows unprivileged user namespaces. It leaves nothing behind. The exit status is 1
// if anything fails.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func main() {
	os.Exit(netns.Main(func() int {
		start := time.Now()
		if err := run(context.Background()); err != nil {
			fmt.Fprintf(os.Stderr, "\ndemo: FAILED: %v\n", err)
			return 1
		}
		fmt.Printf("\nAll leases obtained, renewed and released in %.1f s. Nothing is left behind.\n",
			time.Since(start).Seconds())
		return 0
	}))
}

const picture = `
  clients                                            server
    access ═══════════ 2001:db8:a::/64 ═════════════ access   dhcp6d ── IPC on ::1 ── dhcp4d
    lan1 ───┐                                                (UDP 547)               (leases)
          2001:db8:1::/64 ─── relay 1 ═══════════════ core
    lan2    └──── relay 2
      └── 2001:db8:2::/64 ───┘
`

func run(ctx context.Context) (err error) {
	lab, err := netns.New()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()

	say("The network: four hosts as network namespaces, IPv6 only between them")
	fmt.Print(picture)
	network, err := topology.New(lab)
	if err != nil {
		return err
	}
	defer network.Close()
	if err := network.StartRelays(0, nil); err != nil {
		return err
	}
	dir, err := lab.TempDir()
	if err != nil {
		return err
	}

	say("The servers: dhcp4d has the leases, dhcp6d serves the links")
	config := topology.Config(dir)
	for _, s := range config.Subnets {
		fmt.Printf("  dhcp4d  subnet %-16s %s to %s\n", s.Prefix, s.First, s.Last)
	}
	fmt.Printf("  dhcp6d  interfaces %s, relays %s, option 88 %q\n", strings.Join(config.Interfaces, " and "),
		config.Relays[0], config.Option88)
	keaMissing := servers.KeaMissing()
	if keaMissing == nil {
		config.Env = append(config.Env, "DHCP6D_DHCPV6_SERVERS="+keaAddress.String())
	}
	six, four, err := servers.Start(network.Server, servers.Ours, servers.Ours, config)
	if err != nil {
		return err
	}
	if err := serve(ctx, network); err != nil {
		return fmt.Errorf("%w\n\ndhcp6d said:\n%s\ndhcp4d said:\n%s", err, six.Output(), four.Output())
	}
	if keaMissing != nil {
		say("Kea is not installed. With it, one client would get its prefix from Kea and its IPv4 lease from dhcp4d")
	} else if err := beside(ctx, network, dir); err != nil {
		return fmt.Errorf("%w\n\ndhcp6d said:\n%s", err, six.Output())
	}
	if err := headlines(six, four); err != nil {
		return err
	}
	for _, h := range []*servers.Half{six, four} {
		if err := h.Stop(5 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

// retry is how clients retransmit.
var retry = client.Retransmit{First: time.Second, Max: time.Second, Tries: 5}

// A holder is a client with its lease.
type holder struct {
	name   string
	client *client.Client
	lease  *client.Lease
}

// serve makes a client on each path obtain, renew and release a lease.
func serve(ctx context.Context, network *topology.Network) error {
	say("A client asks which server to use, then DISCOVER, OFFER, REQUEST, ACK in DHCPV4-QUERY and DHCPV4-RESPONSE")
	var holders []holder
	given := make(map[string]string)
	for i, via := range topology.Ways {
		o := client.Options{Retransmit: retry}
		if via == topology.Multicast {
			o.Servers = []netip.Addr{} // learned from option 88 below
		}
		c, _, err := network.Client(via, i+1, o)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("client %d (%s, %s)", i+1, topology.MAC(i+1), via)
		if via == topology.Multicast {
			info, err := c.Information(ctx)
			if err != nil {
				return fmt.Errorf("%s: asking for option 88: %w", name, err)
			}
			fmt.Printf("  %-44s Information-request: 4o6 servers are %s\n", name, info.Servers)
		}
		start := time.Now()
		lease, err := c.Obtain(ctx)
		if err != nil {
			return fmt.Errorf("%s has no lease: %w", name, err)
		}
		fmt.Printf("  %-44s sent to %-14s got %s/%d for %s from server %s  (%.1f ms)\n", name, c.Servers()[0],
			lease.Address, lease.Mask, lease.Duration, lease.Server, milliseconds(start))
		if other := given[lease.Address.String()]; other != "" {
			return fmt.Errorf("%s was given to %s and to %s", lease.Address, other, name)
		}
		given[lease.Address.String()] = name
		holders = append(holders, holder{name, c, lease})
	}

	say("Each renews its lease, then gives it back")
	for _, h := range holders {
		start := time.Now()
		lease, err := h.client.Renew(ctx, h.lease)
		if err != nil {
			return fmt.Errorf("%s could not renew: %w", h.name, err)
		}
		renewed := milliseconds(start)
		if err := h.client.Release(lease); err != nil {
			return fmt.Errorf("%s could not release: %w", h.name, err)
		}
		fmt.Printf("  %-44s renewed and released %s  (%.1f ms)\n", h.name, lease.Address, renewed)
	}
	return nil
}

// headlines prints the most important counters.
func headlines(six, four *servers.Half) error {
	say("What the metrics say (dhcp6d :9566/metrics, dhcp4d :9567/metrics)")
	for _, h := range []struct {
		half  *servers.Half
		names []string
	}{
		{six, []string{"dhcp6d_queries_forwarded_total", "dhcp6d_responses_relayed_total", "dhcp6d_packets_dropped_total"}},
		{four, []string{"dhcp4d_queries_received_total", "dhcp4d_responses_sent_total", "dhcp4d_packets_dropped_total"}},
	} {
		series, err := h.half.Metrics()
		if err != nil {
			return err
		}
		for _, n := range h.names {
			fmt.Printf("  %-34s %4.0f\n", n, servers.Sum(series, n))
		}
	}
	return nil
}

func say(s string) { fmt.Printf("\n%s\n", s) }

func milliseconds(start time.Time) float64 { return float64(time.Since(start).Microseconds()) / 1000 }
