package main

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

// description is what the manual says beside the flags.
func description() manual.Program {
	return manual.Program{
		About: "load for a DHCPv4-over-DHCPv6 server, with every answer checked",
		Description: []string{
			"It is to DHCPv4 over DHCPv6 what perfdhcp is to DHCP. It uses a port of its own. With -relays it must " +
				"run where the server accepts relays.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"},
			{Code: 1, About: "The server made a mistake, or answered nothing"}, {Code: 2, About: "Any other error"}},
	}
}

// settings are what the flags say.
type settings struct {
	load load.Config
	pids string // processes whose CPU time is reported
	json bool

	// Texts that complete reads.
	prefix, expect, require string
}

// parse reads the arguments. It reports done if there is no run to make.
func (s *settings) parse(args []string) (done bool, err error) {
	if done, err = manual.Parse(description(), s.flags(), args, os.Stdout); done {
		return true, err
	}
	err = s.complete()
	return err != nil, err
}

func (s *settings) flags() *flag.FlagSet {
	c := &s.load
	flags := flag.NewFlagSet("dhcp4o6-perf", flag.ContinueOnError)
	flags.StringVar(&c.Interface, "i", "", "interface to use (required)")
	flags.TextVar(&c.Server, "server", netip.MustParseAddr("ff02::1:2"), "server address")
	flags.TextVar(&c.Local, "source", netip.Addr{}, "source address; by default the interface's link-local one")
	flags.IntVar(&c.Sources, "sources", 1, "number of source addresses, from -source on, that clients use in turn; "+
		"missing ones are added to the interface for the run")
	flags.StringVar(&s.prefix, "prefix", "", "prefix that is routed to this host and gives each client a source "+
		"address of its own; the whole prefix is local during the run")
	flags.IntVar(&c.InFlight, "in-flight", 0,
		"exchanges in flight at the same time (closed loop; default 64 unless -rate is given)")
	flags.Float64Var(&c.Rate, "rate", 0, "exchanges started per second (open loop)")
	flags.BoolVar(&c.Shared, "shared", false, "several servers share the addresses: an offer may be of an address "+
		"that another client has just got, and its REQUEST is then refused")
	flags.BoolVar(&c.Trains, "trains", false,
		"send and receive datagrams in trains instead of one by one: cheaper for both sides than real clients are")
	flags.IntVar(&c.Count, "n", 0, "number of exchanges")
	flags.DurationVar(&c.Duration, "t", 0, "how long the run takes")
	flags.DurationVar(&c.Timeout, "timeout", time.Second, "how long to wait for an answer before it counts as lost")
	flags.IntVar(&c.Clients, "clients", 0, "number of clients, used in turn; by default as many as exchanges")
	flags.IntVar(&c.Stride, "stride", 1, "distance between the numbers of clients that follow each other")
	flags.BoolVar(&c.Shuffle, "shuffle", false, "choose clients at random instead of in turn")
	flags.TextVar(&c.Held, "held", netip.Addr{},
		"address that the first client holds from the beginning; those after it hold the next ones")
	flags.Float64Var(&c.Renew, "renew", 0, "share of exchanges in which a client renews its lease, 0 to 1")
	flags.Float64Var(&c.Inform, "inform", 0,
		"share of exchanges in which a client with an address sends an INFORM, 0 to 1")
	flags.Float64Var(&c.Release, "release", 0, "share of leases that are released at once, 0 to 1")
	flags.Float64Var(&c.Decline, "decline", 0,
		"share of new leases that are declined, 0 to 1; the server must not give these addresses to other clients")
	flags.IntVar(&c.Relays, "relays", 0, "levels of Relay-forward around each query, 0 to 9")
	flags.IntVar(&c.Ports, "ports", 0, "number of different Interface-Ids; by default one per client")
	flags.TextVar(&c.Link, "link", netip.IPv6Unspecified(), "link-address of the innermost relay")
	flags.IntVar(&c.Links, "links", 1,
		"number of different link-addresses: consecutive /64 prefixes from that of -link on")
	flags.StringVar(&s.require, "require", "1",
		"numbers of the DHCPv4 options that every OFFER and ACK must have, separated by commas")
	flags.StringVar(&s.expect, "expect", "", "prefix that every leased address must be in")
	flags.BoolVar(&c.Bare, "bare", false,
		"accept answers without server identifier, lease time and the options of -require")
	flags.Uint64Var(&c.Seed, "seed", 1,
		"what clients and choices are made from; its low octet is in the hardware addresses")
	flags.StringVar(&s.pids, "pid", "", "ids of processes whose CPU time is reported, separated by commas")
	flags.BoolVar(&s.json, "json", false, "print the report as JSON")
	return flags
}

// complete reads the values that are not simple, and sets the default of -in-flight.
func (s *settings) complete() (err error) {
	c := &s.load
	if c.Interface == "" {
		return errors.New("-i is required")
	}
	if c.InFlight == 0 && c.Rate == 0 {
		c.InFlight = 64
	}
	if c.Prefix, err = parsePrefix("-prefix", s.prefix); err != nil {
		return err
	}
	if c.Expect, err = parsePrefix("-expect", s.expect); err != nil {
		return err
	}
	if c.Require, err = parseCodes(s.require); err != nil {
		return err
	}
	if c.Bare {
		c.Require = nil
	}
	return nil
}

func parsePrefix(name, text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func parseCodes(text string) (codes []byte, err error) {
	for s := range strings.SplitSeq(text, ",") {
		if s == "" {
			continue
		}
		n, err := strconv.ParseUint(s, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("-require: %q is no option number", s)
		}
		codes = append(codes, byte(n))
	}
	return codes, nil
}
