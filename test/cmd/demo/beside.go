package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// keaAddress is where Kea's DHCPv6 server listens, on the host of dhcp6d, which has port 547.
var keaAddress = netip.AddrPortFrom(topology.Server, 1547)

// kea is its configuration: addresses and prefixes for the link access.
var kea = fmt.Sprintf(`{"Dhcp6": {
	"lease-database": {"type": "memfile", "persist": false},
	"server-id": {"type": "EN", "enterprise-id": 2495, "identifier": "4f36", "persist": false},
	"interfaces-config": {"interfaces": ["access/%s"]},
	"subnet6": [{"id": 1, "subnet": %q, "rapid-commit": true,
		"pools": [{"pool": "2001:db8:a::1000 - 2001:db8:a::1fff"}],
		"pd-pools": [{"prefix": "2001:db8:100::", "prefix-len": 40, "delegated-len": 56}]}],
	"loggers": [{"name": "kea-dhcp6", "severity": "INFO", "output_options": [{"output": "stderr", "flush": true}]}]}}`,
	keaAddress.Addr(), topology.AccessPrefix)

// beside shows one client that gets its IPv6 address and prefix from Kea and its IPv4 lease from
// dhcp4d, both through dhcp6d.
func beside(ctx context.Context, network *topology.Network, dir string) error {
	say("Kea behind the same dhcp6d: one client gets its prefix from Kea and its IPv4 lease from dhcp4d")
	half, err := servers.StartKeaDHCPv6(network.Server, dir, kea, "-p", fmt.Sprint(keaAddress.Port()))
	if err != nil {
		return err
	}
	const number = 100 // no other client of the demo has it
	c, _, err := network.Client(topology.Multicast, number, client.Options{Retransmit: retry})
	if err != nil {
		return err
	}
	start := time.Now()
	prefix, err := c.Prefix(ctx)
	if err != nil {
		return fmt.Errorf("asking for a prefix: %w\n\nKea said:\n%s", err, half.Output())
	}
	fmt.Printf("  Solicit, Reply: %s from Kea at %s  (%.1f ms)\n", prefix, keaAddress, milliseconds(start))
	start = time.Now()
	lease, err := c.Obtain(ctx)
	if err != nil {
		return fmt.Errorf("the client with a prefix has no lease: %w", err)
	}
	fmt.Printf("  DHCPV4-QUERY:   %s/%d from dhcp4d, server %s  (%.1f ms)\n", lease.Address, lease.Mask, lease.Server,
		milliseconds(start))
	return errors.Join(c.Release(lease), half.Stop(5*time.Second))
}
