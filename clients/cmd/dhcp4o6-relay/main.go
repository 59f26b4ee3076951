// Dhcp4o6-relay is a small 4o6 relay agent (RFC 9928) for labs. It carries the messages of
// unmodified DHCPv4 clients on one interface to 4o6 servers behind another. The renewals of the
// clients must pass its host, or its host must own the server identifier as an address.
//
//	dhcp4o6-relay -down eth1 -up eth0                          asks for option 88, again and again
//	dhcp4o6-relay -down eth1 -up eth0 -server 2001:db8::547    uses that server
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/program"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

func main() { program.Main("dhcp4o6-relay", run) }

// description is what the manual says beside the flags.
func description() manual.Program {
	return manual.Program{
		About: "a DHCPv4-over-DHCPv6 relay agent for labs",
		Description: []string{
			"It carries the messages of unmodified DHCPv4 clients on one interface to servers behind another (RFC " +
				"9928). The renewals of the clients must pass its host, or its host must own the server identifier " +
				"as an address.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"}, {Code: 1, About: "Any error"}},
	}
}

func run(ctx context.Context, args []string) error {
	var c relay.V4Config
	var servers string
	var refresh time.Duration
	var verbose bool
	flags := flag.NewFlagSet("dhcp4o6-relay", flag.ContinueOnError)
	flags.StringVar(&c.Down, "down", "", "interface where the DHCPv4 clients are (required)")
	flags.StringVar(&c.Up, "up", "", "interface that leads to the servers (required)")
	flags.StringVar(&servers, "server", "", "4o6 servers, separated by commas; by default those of option 88")
	flags.TextVar(&c.Local, "source", netip.Addr{}, "our IPv6 address; by default the kernel chooses")
	flags.DurationVar(&refresh, "refresh", 0,
		"ask for option 88 at least this often; by default when the server says, or after a day")
	flags.BoolVar(&verbose, "v", false, "log every message")
	if done, err := manual.Parse(description(), flags, args, os.Stdout); done {
		return err
	}
	if c.Down == "" || c.Up == "" {
		return errors.New("-down and -up are required")
	}
	c.Log = program.Log(verbose)
	var err error
	if c.Servers, err = program.Addresses("-server", servers); err != nil {
		return err
	}
	agent, err := relay.OpenV4(c)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(ctx, func() { agent.Close() })
	var followed error
	var following sync.WaitGroup
	if servers != "" {
		c.Log.Info("relaying", "down", c.Down, "up", c.Up, "servers", c.Servers)
	} else {
		following.Go(func() {
			defer cancel()
			followed = follow(ctx, agent, c, refresh)
		})
	}
	agent.Wait()
	following.Wait()
	queries, replies, discarded := agent.Counts()
	c.Log.Info("ended", "queries", queries, "replies", replies, "discarded", discarded)
	return followed
}

// follow asks for option 88 through the agent's own socket, and gives the agent the servers (RFC
// 9928 §3: the agent is a client of RFC 7341).
func follow(ctx context.Context, agent *relay.V4Agent, c relay.V4Config, refresh time.Duration) error {
	link, err := net.InterfaceByName(c.Up)
	if err != nil {
		return fmt.Errorf("finding interface %s: %w", c.Up, err)
	}
	asker, err := client.New(agent, client.Options{HardwareAddr: link.HardwareAddr, Log: c.Log})
	if err != nil {
		return err
	}
	c.Log.Info("asking for option 88", "up", c.Up)
	return asker.Follow(ctx, refresh, func(servers []netip.Addr) {
		agent.SetServers(servers)
		if len(servers) == 0 {
			c.Log.Warn("not relaying: there is no option 88; it is asked for again", "down", c.Down, "up", c.Up)
			return
		}
		c.Log.Info("relaying", "down", c.Down, "up", c.Up, "servers", servers)
	})
}
