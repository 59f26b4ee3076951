package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

// book is a resolver that knows some names.
type book map[string][]netip.Addr

func (b book) LookupNetIP(_ context.Context, network, host string) ([]netip.Addr, error) {
	if network != "ip6" {
		return nil, fmt.Errorf("asked for %s", network)
	}
	if _, found := b[host]; !found {
		return nil, errors.New("no such host")
	}
	return append([]netip.Addr(nil), b[host]...), nil
}

// Of a name all addresses count that a server can have. A name that cannot be resolved any more
// keeps them, and it is said once.
func TestRL42NamesOfServers(t *testing.T) {
	a := netip.MustParseAddr
	names := book{"kea": {a("2001:db8::2"), a("2001:db8::1"), a("192.0.2.1"), a("fe80::1"), a("2001:db8::1")}}
	var said strings.Builder
	d := &instance{resolver: names, rt: &daemon.Runtime{Log: slog.New(slog.NewTextHandler(&said, nil))}}
	c, err := config.Load([]string{"DHCP6D_INTERFACES=eth0", "DHCP6D_DHCPV6_SERVERS=kea:1547,[2001:db8::9]:547,other"})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1e9, 0)
	step := func(want string, changed bool) {
		t.Helper()
		now = now.Add(resolve.Every)
		got := d.takeLocked(d.lookUp(t.Context(), hosts(c.DHCPv6Servers)), now)
		if addresses := fmt.Sprint(d.serverAddressesLocked(c.DHCPv6Servers)); addresses != want || got != changed {
			t.Errorf("servers %s, want %s, changed %v", addresses, want, got)
		}
	}
	step("[[2001:db8::1]:1547 [2001:db8::2]:1547 [2001:db8::9]:547]", true)
	step("[[2001:db8::1]:1547 [2001:db8::2]:1547 [2001:db8::9]:547]", false)
	names["kea"] = []netip.Addr{a("2001:db8::3")}
	names["other"] = []netip.Addr{a("2001:db8::9")} // one that is in the list
	step("[[2001:db8::3]:1547 [2001:db8::9]:547]", true)
	delete(names, "kea")
	step("[[2001:db8::3]:1547 [2001:db8::9]:547]", false)
	step("[[2001:db8::3]:1547 [2001:db8::9]:547]", false)
	if n := strings.Count(said.String(), "cannot be resolved\" host=kea"); n != 1 {
		t.Errorf("said %d times:\n%s", n, said.String())
	}
	if !strings.Contains(said.String(), "can be resolved again\" host=other") {
		t.Errorf("it said:\n%s", said.String())
	}
}
