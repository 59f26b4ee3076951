package command

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/export"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/subnet"
)

// explain tells which subnet a query would get by the configuration in the
// environment. It asks no daemon.
func explain(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	c := &call{ctx, environ, stdout, stderr}
	f := c.flags("explain", "[flags that describe the query]")
	var q subnet.Facts
	var links []netip.Addr
	var id config.Identity
	addr := func(name, about string, into *netip.Addr) {
		f.Func(name, about, func(s string) (err error) { *into, err = netip.ParseAddr(s); return err })
	}
	octets := func(name, about string, parse func(string) ([]byte, error), into *[]byte) {
		f.Func(name, about, func(s string) (err error) { *into, err = parse(s); return err })
	}
	addr("source", "IPv6 `address` of the client, or of the relay nearest to dhcp6d", &q.Source)
	f.Func("interface", "`name` of the interface of dhcp6d", func(s string) error { q.Interface = []byte(s); return nil })
	f.StringVar(&q.Peer, "peer", "", "`name` or address of the dhcp6d, as in DHCP4D_IPC_PEERS")
	f.Func("relay", "`link-address` of a relay, :: for none; once for each, the one nearest to dhcp6d first", func(s string) error {
		a, err := netip.ParseAddr(s)
		links = append(links, a)
		return err
	})
	octets("interface-id", "Interface-Id of the relay nearest to the client: `text, or 0x and hex`", config.ParseOctets, &q.InterfaceID)
	octets("remote-id", "its Remote-Id: `enterprise:text, or 0x and hex`", config.ParseRemoteID, &q.RemoteID)
	octets("subscriber-id", "its Subscriber-Id: `text, or 0x and hex`", config.ParseOctets, &q.SubscriberID)
	addr("link-selection", "link selection of option 82, an IPv4 `address`", &q.LinkSelection)
	addr("subnet-selection", "option 118, an IPv4 `address`", &q.SubnetSelection)
	addr("giaddr", "giaddr, an IPv4 `address`", &q.GIAddr)
	octets("client-id", "client identifier in `hex`, to tell a reservation", export.Octets, &id.ClientID)
	octets("hw-address", "hardware address of type 1 in `hex`, to tell a reservation", export.Octets, &id.HWAddr)
	if err := f.Parse(args); err != nil {
		return helped(err)
	}
	if f.NArg() > 0 {
		return fmt.Errorf("explain: %q is not understood; the query is described by flags, see -h", f.Arg(0))
	}
	q.Relayed = len(links) > 0
	if !q.Relayed && (q.InterfaceID != nil || q.RemoteID != nil || q.SubscriberID != nil) {
		return fmt.Errorf("explain: an identifier of a relay needs a -relay, which may be the address ::, as of a relay without one")
	}
	for _, link := range slices.Backward(links) {
		q.Level(link)
	}
	conf, err := config.Load(environ)
	if err != nil {
		return err
	}
	selector := subnet.New(conf.Subnets)
	for _, line := range selector.Explain(&q) {
		if _, err := fmt.Fprintln(stdout, line); err != nil {
			return err
		}
	}
	id.HWType, id.LinkAddress, id.InterfaceID, id.RemoteID = 1, q.LinkAddress, q.InterfaceID, q.RemoteID
	sub := selector.Select(&q).Subnet
	if sub == nil {
		return nil
	}
	if r := sub.Reservation(&id); r != nil {
		kept := "the client"
		if r.ByPoint {
			kept = "the attachment point"
		}
		_, err = fmt.Fprintf(stdout, "reservation: %v is kept for %s\n", r.Addr, kept)
	}
	return err
}
