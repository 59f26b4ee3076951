// Dhcp4o6-relay is a small 4o6 relay agent (RFC 9928) for labs: it carries the
// messages of unmodified DHCPv4 clients on one interface to 4o6 servers behind
// another. Its host must be in the path of the clients' renewals, or own the
// server identifier as an address.
//
//	dhcp4o6-relay -down eth1 -up eth0                          asks for option 88
//	dhcp4o6-relay -down eth1 -up eth0 -server 2001:db8::547    uses that server
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dhcp4o6-relay:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var c relay.V4Config
	var servers string
	var verbose bool
	flags := flag.NewFlagSet("dhcp4o6-relay", flag.ContinueOnError)
	flags.StringVar(&c.Down, "down", "", "interface where the DHCPv4 clients are (required)")
	flags.StringVar(&c.Up, "up", "", "interface that leads to the servers (required)")
	flags.StringVar(&servers, "server", "", "4o6 servers, separated by commas; by default those of option 88")
	flags.TextVar(&c.Local, "source", netip.Addr{}, "our IPv6 address; by default the kernel chooses")
	flags.BoolVar(&verbose, "v", false, "log every message")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if c.Down == "" || c.Up == "" {
		return errors.New("-down and -up are required")
	}
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	c.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if servers != "" {
		for s := range strings.SplitSeq(servers, ",") {
			a, err := netip.ParseAddr(s)
			if err != nil {
				return fmt.Errorf("-server: %w", err)
			}
			c.Servers = append(c.Servers, a)
		}
	} else {
		var err error
		if c.Servers, err = learn(ctx, c.Up, c.Log); err != nil {
			return err
		}
	}
	agent, err := relay.OpenV4(c)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { agent.Close() })
	c.Log.Info("relaying", "down", c.Down, "up", c.Up, "servers", c.Servers)
	agent.Serve()
	queries, replies, discarded := agent.Counts()
	c.Log.Info("ended", "queries", queries, "replies", replies, "discarded", discarded)
	return nil
}

// learn asks for option 88 (RFC 9928 §3: the agent is a client of RFC 7341).
func learn(ctx context.Context, name string, log *slog.Logger) ([]netip.Addr, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("finding interface %s: %w", name, err)
	}
	socket, err := client.Listen(name, netip.AddrPort{})
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	c, err := client.New(socket, client.Options{HardwareAddr: link.HardwareAddr, Log: log})
	if err != nil {
		return nil, err
	}
	info, err := c.Information(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking for option 88: %w", err)
	}
	if !info.Offered {
		return nil, client.ErrNoServers
	}
	return info.Servers, nil
}
