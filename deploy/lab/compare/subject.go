package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/bare"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/load"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
)

// The subjects that can be measured.
const (
	Ours        = "ours"
	OursKeys    = "ours+keys"    // with the IPC authenticated
	Before      = "before"       // ours too, from the directory Options.Before
	Kea         = "kea"          // memfile, logging at WARN
	Bare        = "bare"         // moves datagrams and does nothing else
	BareOffload = "bare+offload" // likewise, with segmentation offload between its halves
)

// Each subject has two hosts of its own, so that all of them can be up at the
// same time, idle but for the one that is measured.
var (
	serverAddress = netip.MustParsePrefix("2001:db8:a::1/64")
	clientAddress = netip.MustParsePrefix("2001:db8:a::100/64")
	relayedLink   = netip.MustParseAddr("2001:db8:1::1")
)

const keys = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // of a lab, no secret

// A subject is a pair of daemons with a network of its own.
type subject struct {
	name             string
	dir              string
	clients, servers *netlab.Host
	config           pair.Config
	six, four        *netlab.Process
	half             *pair.Half // dhcp4d, where it is ours
	seed             uint64     // of the last run
	owed, atMost     int        // leases that it must have and can have
}

func newSubject(lab *netlab.Lab, name, dir string, o Options, program string) (*subject, error) {
	s := &subject{name: name, dir: filepath.Join(dir, name)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for leases: %w", err)
	}
	var err1, err2 error
	s.clients, err1 = lab.Host("clients")
	s.servers, err2 = lab.Host("servers")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := s.network(lab, o.Sources); err != nil {
		return nil, err
	}
	if name == Bare || name == BareOffload {
		var err error
		s.six, s.four, err = bare.Start(s.servers, program, serverAddress.Addr(), 547, name == BareOffload)
		return s, err
	}
	return s, s.start(o)
}

// network joins the two hosts. Clients have so many addresses, which the
// server finds behind the first, so that none needs a neighbour entry.
func (s *subject) network(lab *netlab.Lab, sources int) error {
	end := netlab.End{Host: s.clients, Name: "eth0", Addresses: []netip.Prefix{clientAddress}}
	if err := lab.Link(end, netlab.End{Host: s.servers, Name: "access", Addresses: []netip.Prefix{serverAddress}}); err != nil {
		return err
	}
	a := clientAddress.Addr().Next()
	for range sources - 1 {
		p := netip.PrefixFrom(a, 128)
		if err := errors.Join(s.clients.AddAddress("eth0", p), s.servers.AddRoute(p, clientAddress.Addr())); err != nil {
			return err
		}
		a = a.Next()
	}
	return nil
}

// start starts a pair that leases addresses.
func (s *subject) start(o Options) error {
	s.config = pair.Config{
		Dir: s.dir, Interfaces: []string{"access"}, Relays: []netip.Prefix{serverAddress.Masked()},
		Unicast: []string{"access/" + serverAddress.Addr().String()}, Subnets: subnets(o.Subnets), Quiet: true,
	}
	for _, s6 := range s.config.Subnets[len(s.config.Subnets)-1:] {
		// Kea takes its server identifier from there.
		if err := s.servers.AddAddress("access", netip.PrefixFrom(s6.Server(), s6.Prefix.Bits())); err != nil {
			return err
		}
	}
	if s.name == OursKeys {
		s.config.Env = []string{"DHCP6D_IPC_KEYS=" + keys, "DHCP4D_IPC_KEYS=" + keys}
	}
	if s.name == Before {
		s.config.Bin = o.Before
	}
	s.config.Env = append(s.config.Env, o.Env...)
	kind := pair.Ours
	if s.name == Kea {
		kind = pair.Kea
	}
	six, four, err := pair.Start(s.servers, kind, kind, s.config)
	if err != nil {
		return err
	}
	s.six, s.four = six.Process, four.Process
	if kind == pair.Ours {
		s.half = four
	}
	return nil
}

// subnets are n, of which clients belong to the last.
func subnets(n int) []pair.Subnet {
	var all []pair.Subnet
	for i := range n - 1 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i>>12), byte(i >> 4), byte(i << 4)}), 28)
		first := p.Addr().Next().Next()
		all = append(all, pair.Subnet{ID: i + 1, Prefix: p, First: first, Last: first.Next().Next(),
			Sources: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xff, 0xff, byte(i >> 8), byte(i)}), 64)}})
	}
	return append(all, pair.Subnet{ID: n, Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		First: netip.MustParseAddr("10.0.1.0"), Last: netip.MustParseAddr("10.191.255.255"), Interface: "access",
		Sources: []netip.Prefix{serverAddress.Masked()}, Links: []netip.Prefix{netip.PrefixFrom(relayedLink, 64).Masked()}})
}

// run makes one run of the load generator.
func (s *subject) run(ctx context.Context, perf string, o Options, l Load) (Run, error) {
	args := []string{perf, "-json", "-i", "eth0", "-server", serverAddress.Addr().String(), "-source", clientAddress.Addr().String(),
		"-sources", strconv.Itoa(o.Sources), "-relays", strconv.Itoa(o.Relays), "-link", relayedLink.String(),
		"-renew", fmt.Sprint(o.Renew)}
	if l.Fill == 0 && o.Held == 0 {
		s.seed++
	}
	args = append(args, "-seed", strconv.FormatUint(s.seed, 10))
	n := o.Exchanges
	if s.name == Kea {
		n /= 4
	}
	switch {
	case l.Fill > 0:
		args = append(args, "-n", strconv.Itoa(l.Fill), "-clients", strconv.Itoa(l.Fill), "-in-flight", "256")
	case l.Rate > 0:
		args = append(args, "-rate", strconv.Itoa(l.Rate), "-t", o.OpenFor.String())
	default:
		args = append(args, "-n", strconv.Itoa(n), "-in-flight", strconv.Itoa(l.InFlight))
	}
	if l.Fill == 0 && o.Held > 0 {
		args = append(args, "-clients", strconv.Itoa(o.Held), "-stride", "7919")
	}
	if o.Renew > 0 {
		args = append(args, "-clients", strconv.Itoa(max(n/10, l.InFlight)))
	}
	if s.name == Bare || s.name == BareOffload {
		args = append(args, "-bare")
	}
	before, err := s.account()
	if err != nil {
		return Run{}, err
	}
	p, err := s.clients.Start(nil, args...)
	if err != nil {
		return Run{}, err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return Run{}, err
	}
	after, err := s.account()
	if err != nil {
		return Run{}, err
	}
	var report load.Report
	if err := json.Unmarshal([]byte(p.Output()), &report); err != nil || report.Completed == 0 {
		return Run{}, fmt.Errorf("%s, %v: the load generator ended with status %d and said %s; the pair said %s%s",
			s.name, l, status, p.Output(), s.six.Output(), s.four.Output())
	}
	if report.Failed() {
		return Run{}, fmt.Errorf("%s, %v: wrong answers: %v", s.name, l, report.Faults)
	}
	if l.Fill > 0 || o.Held == 0 {
		s.owed += report.Addresses
		s.atMost += int(report.Started)
	}
	return newRun(s.name, l, report, before, after), nil
}

// account is what both halves have used, and what dhcp4d has counted.
type account struct {
	six, four       usage
	commits, writes float64
}

func (s *subject) account() (a account, err error) {
	if s.half != nil {
		m, err := s.half.Metrics()
		if err != nil {
			return a, err
		}
		a.commits = m["dhcp4d_store_commit_seconds_count"]
		a.writes = m["dhcp4d_store_wal_records_total"]
	}
	var err1, err2 error
	a.six, err1 = use(s.six.PID())
	a.four, err2 = use(s.four.PID())
	return a, errors.Join(err1, err2)
}

// readBack kills dhcp4d the hard way, starts it again and holds what it then
// has to what clients were told.
func (s *subject) readBack() (leases int, err error) {
	s.half.Kill()
	half, err := pair.StartV4(s.servers, pair.Ours, s.config)
	if err != nil {
		return 0, err
	}
	s.half, s.four = half, half.Process
	m, err := half.Metrics()
	if err != nil {
		return 0, err
	}
	for series, v := range m {
		if state(series, "active") {
			leases += int(v)
		}
	}
	if leases < s.owed || leases > s.atMost {
		return leases, fmt.Errorf("%s: after kill -9 dhcp4d has %d leases; clients were told of %d and had asked for %d", s.name, leases, s.owed, s.atMost)
	}
	return leases, nil
}
