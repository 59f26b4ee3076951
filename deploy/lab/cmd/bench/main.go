// Bench measures a pair of halves, ours or Kea's, under load on this machine:
// two namespaces joined by a link, the servers in one, dhcp4o6-perf in the
// other, and the CPU time of both halves per exchange.
//
//	bench -- -n 100000 -in-flight 64
//	bench -v6 kea -v4 kea -- -n 20000 -server 2001:db8:a::1 -source 2001:db8:a::100
//
// What follows -- is for dhcp4o6-perf, which must be beside it. The exit status
// is dhcp4o6-perf's.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
)

func main() {
	os.Exit(netlab.Main(func() int {
		status, err := run(context.Background(), os.Args[1:])
		if err != nil && !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 2
		}
		return status
	}))
}

var (
	server = netip.MustParsePrefix("2001:db8:a::1/64")
	source = netip.MustParsePrefix("2001:db8:a::100/64")
	subnet = pair.Subnet{ID: 1, Prefix: netip.MustParsePrefix("10.0.0.0/8"), First: netip.MustParseAddr("10.0.1.0"),
		Last: netip.MustParseAddr("10.63.255.255"), Interface: "access", Sources: []netip.Prefix{server.Masked()},
		Links: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")}}
)

func run(ctx context.Context, args []string) (status int, err error) {
	var v6, v4, dir string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&v6, "v6", string(pair.Ours), "v6 half: ours or kea")
	flags.StringVar(&v4, "v4", string(pair.Ours), "v4 half: ours or kea")
	flags.StringVar(&dir, "dir", "", "where leases are kept, a file system with real syncs; by default a temporary directory")
	if err := flags.Parse(args); err != nil {
		return 0, err
	}
	perf, err := pair.Find("dhcp4o6-perf")
	if err != nil {
		return 0, err
	}
	lab, err := netlab.New()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	if dir == "" {
		if dir, err = lab.TempDir(); err != nil {
			return 0, err
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return 0, err
	}
	clients, err1 := lab.Host("clients")
	servers, err2 := lab.Host("servers")
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	err = lab.Link(netlab.End{Host: clients, Name: "eth0", Addresses: []netip.Prefix{source}},
		netlab.End{Host: servers, Name: "access", Addresses: []netip.Prefix{server}})
	if err != nil {
		return 0, err
	}
	if err := servers.AddAddress("access", netip.PrefixFrom(subnet.Server(), subnet.Prefix.Bits())); err != nil {
		return 0, err // Kea takes its server identifier from there
	}
	six, four, err := pair.Start(servers, pair.Kind(v6), pair.Kind(v4), pair.Config{
		Dir: dir, Interfaces: []string{"access"}, Relays: []netip.Prefix{server.Masked()}, LDRA: []string{"access"},
		Unicast: []string{"access/" + server.Addr().String()}, Subnets: []pair.Subnet{subnet},
		Quiet: true,
	})
	if err != nil {
		return 0, err
	}
	pids := fmt.Sprintf("%d,%d", six.PID(), four.PID())
	p, err := clients.Start(nil, append([]string{perf, "-i", "eth0", "-pid", pids}, flags.Args()...)...)
	if err != nil {
		return 0, err
	}
	status, err = p.Wait(ctx)
	fmt.Print(p.Output())
	return status, err
}
