package compare

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/bench/baseline"
	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// Each subject has two hosts of its own, so that all of them run at the same time. All are idle but
// the one that is measured.
var (
	serverAddress = netip.MustParsePrefix("2001:db8:a::1/64")
	clientAddress = netip.MustParsePrefix("2001:db8:a::100/64")
	relayedLink   = netip.MustParseAddr("2001:db8:1::1")
)

const keys = "1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=" // of a lab, no secret

// A subject is a pair of daemons and its network.
type subject struct {
	name             string
	dir              string
	clients, servers *netns.Host
	config           servers.Config // of one dhcp4d behind one dhcp6d
	store            string         // the store of dhcp4d; empty for the default
	shared           bool           // the store is a database, which all dhcp4d share
	postmaster       int            // the process of the database, if it runs here; else 0
	six              *netns.Process
	fours            []*netns.Process // only ours can be several
	halves           []*servers.Half  // of ours: all halves, the v6 half first
	empty            float64          // resident memory of the v4 half without leases
	runs             uint64
	owed, atMost     int          // the leases that it must have, and the most that it can have
	answers          func() error // ends the program outside; nil: there is none
	unlimited        func()       // ends the limit of its processor time; nil if there is none
	peak             float64      // the most exchanges per second in this round
	profiled         bool         // one run was sampled
}

func (m *measurement) newSubject(ctx context.Context, name string) (*subject, error) {
	o := m.o
	s := &subject{name: name, dir: filepath.Join(m.dir, name)}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a directory for leases: %w", err)
	}
	var err1, err2 error
	s.clients, err1 = m.lab.Host("clients")
	s.servers, err2 = m.lab.Host("servers")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if o.Confine {
		if err := errors.Join(s.clients.Confine(0), s.servers.Confine(1)); err != nil {
			return nil, err
		}
	}
	if err := s.network(m.lab, o); err != nil {
		return nil, err
	}
	if err := m.up(ctx, s); err != nil {
		return nil, err
	}
	if o.Share > 0 {
		s.unlimited = m.lab.Quota(o.Share, s.processes()...)
	}
	return s, nil
}

// up starts the pair of a subject.
func (m *measurement) up(ctx context.Context, s *subject) error {
	o := m.o
	if moves(s.name) {
		six, four, err := baseline.Start(s.servers, m.bare, serverAddress.Addr(), 547, s.name == BareOffload)
		s.six, s.fours = six, []*netns.Process{four}
		return err
	}
	if err := s.configure(o); err != nil {
		return err
	}
	if as := likeOurs(s.name); as == OursAsked || as == OursKnown {
		s.answers = answer(ctx, s.socket(), as == OursKnown)
	}
	if o.Held > 0 {
		m.say(fmt.Sprintf("%s gets %d leases", s.name, o.Held))
		if err := s.fill(ctx, o); err != nil {
			return err
		}
	}
	return s.start(o)
}

// processes returns the processes of all halves.
func (s *subject) processes() []*netns.Process { return append([]*netns.Process{s.six}, s.fours...) }

// network joins the two hosts. Clients have as many addresses as Options says. The server reaches
// them through the first one, so that they need no neighbour entries.
func (s *subject) network(lab *netns.Lab, o Options) error {
	end := netns.End{Host: s.clients, Name: "eth0", Addresses: []netip.Prefix{clientAddress}, Offload: !o.NoOffload}
	if err := lab.Link(end, netns.End{Host: s.servers, Name: "access", Addresses: []netip.Prefix{serverAddress},
		Offload: !o.NoOffload}); err != nil {
		return err
	}
	a := clientAddress.Addr().Next()
	for range o.Sources - 1 {
		p := netip.PrefixFrom(a, 128)
		if err := errors.Join(s.clients.AddAddress("eth0", p),
			s.servers.AddRoute(p, clientAddress.Addr())); err != nil {
			return err
		}
		a = a.Next()
	}
	return nil
}

// configure describes a pair that leases addresses.
func (s *subject) configure(o Options) error {
	s.config = servers.Config{
		Dir: s.dir, Interfaces: []string{"access"}, Relays: []netip.Prefix{serverAddress.Masked()},
		Unicast: []string{"access/" + serverAddress.Addr().String()}, Subnets: subnets(o.Subnets), Quiet: true,
		Patience: 15*time.Second + time.Duration(o.Held)*50*time.Microsecond, Bin: o.Bin,
	}
	if o.Held > 0 {
		s.config.LeaseTime = heldFor
	}
	for _, s6 := range s.config.Subnets[len(s.config.Subnets)-1:] {
		// Kea takes its server identifier from this address.
		if err := s.servers.AddAddress("access", netip.PrefixFrom(s6.Server(), s6.Prefix.Bits())); err != nil {
			return err
		}
	}
	s.store = o.Store
	if onPostgres(s.name) {
		s.postmaster = o.PostgresPID
	}
	if s.name != likeOurs(s.name) {
		s.config.Bin = o.Before
	}
	switch likeOurs(s.name) {
	case OursKeys:
		s.config.Env = []string{"DHCP6D_IPC_KEYS=" + keys, "DHCP4D_IPC_KEYS=" + keys}
	case OursJournal, OursPebble:
		s.store = strings.TrimPrefix(s.name, Ours+"+")
	case OursPostgres, OursPostgres2:
		s.config.Env = []string{"DHCP4D_STORE=" + database(o, s.name)}
		s.store, s.shared = "", true
	case OursAsked, OursKnown:
		s.config.Env = s.outside()
	case OursRules:
		s.config.Env = rules
	case KeaPostgres:
		var err error
		if s.config.KeaDatabase, err = keaDatabase(database(o, s.name)); err != nil {
			return err
		}
	case KeaOther:
		s.config.KeaBin = o.KeaOther
	}
	if s.store != "" {
		s.config.Env = append(s.config.Env, "DHCP4D_STORE="+s.store+":"+filepath.Join(s.dir, s.store))
	}
	s.config.Env = append(s.config.Env, o.Env...)
	return nil
}

// database returns the URL of a subject's database.
func database(o Options, name string) string {
	return strings.ReplaceAll(o.Postgres, "{}", strings.ReplaceAll(strings.TrimPrefix(name, Ours+"+"), "+", ""))
}

// keaDatabase is a database in Kea's configuration.
func keaDatabase(text string) (map[string]any, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the URL of Kea's database: %w", err)
	}
	host := u.Query().Get("host") // the directory of a socket
	if host == "" {
		host = u.Hostname()
	}
	return map[string]any{"type": "postgresql", "name": strings.TrimPrefix(u.Path, "/"), "user": u.User.Username(),
		"host": host}, nil
}

// start starts the pair.
func (s *subject) start(o Options) error {
	kind := servers.Kea
	if ours(s.name) {
		kind = servers.Ours
	}
	s.fours, s.halves = nil, nil
	backends := s.backends(o)
	var fours []*servers.Half
	for i := range backends {
		if err := os.MkdirAll(s.backend(i, backends).Dir, 0o700); err != nil {
			return fmt.Errorf("making a directory for leases: %w", err)
		}
		four, err := servers.StartV4(s.servers, kind, s.backend(i, backends))
		if err != nil {
			return err
		}
		fours, s.fours = append(fours, four), append(s.fours, four.Process)
	}
	config := s.config
	config.V4, config.V6 = kind, kind
	if backends > 1 {
		config.Env = slices.Concat(config.Env, behind(backends, s.shared))
	}
	six, err := servers.StartV6(s.servers, kind, config, false)
	if err != nil {
		return err
	}
	s.six = six.Process
	if kind == servers.Ours {
		s.halves = slices.Insert(fours, 0, six)
	}
	return nil
}

// backends returns the number of dhcp4d, or of Kea's v4 halves.
func (s *subject) backends(o Options) int {
	switch {
	case s.name == OursPostgres2:
		return 2
	case s.shared, !ours(s.name):
		return 1
	}
	return max(o.Backends, 1)
}

// stop ends all halves. They have no exchange in progress.
func (s *subject) stop() error {
	var errs []error
	for _, p := range s.processes() {
		errs = append(errs, p.Stop(time.Minute))
	}
	return errors.Join(errs...)
}

// subnets returns n subnets. The clients are in the last one.
func subnets(n int) []servers.Subnet {
	var all []servers.Subnet
	for i := range n - 1 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16 + byte(i>>12), byte(i >> 4), byte(i << 4)}), 28)
		first := p.Addr().Next().Next()
		all = append(all, servers.Subnet{ID: i + 1, Prefix: p, First: first, Last: first.Next().Next(),
			Sources: []netip.Prefix{netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0xff, 0xff,
				byte(i >> 8), byte(i)}), 64)}})
	}
	return append(all, servers.Subnet{ID: n, Prefix: netip.MustParsePrefix("10.0.0.0/8"),
		First: heldFirst, Last: poolLast, Interface: "access",
		Sources: []netip.Prefix{serverAddress.Masked()},
		Links:   []netip.Prefix{netip.PrefixFrom(relayedLink, 64).Masked()}})
}

// The ports of several backends: dhcp6d has firstPort, dhcp4d i has the ith port after it.
const firstPort, firstMetrics = 6767, 9600

// backend is the configuration of dhcp4d i of n. Each has its own store and a part of the last
// subnet's pool.
func (s *subject) backend(i, n int) servers.Config {
	c := s.config
	if n == 1 {
		return c
	}
	c.Dir = filepath.Join(s.dir, strconv.Itoa(i))
	c.Port = firstPort + uint16(i)
	c.Subnets = slices.Clone(c.Subnets)
	if !s.shared {
		last := &c.Subnets[len(c.Subnets)-1]
		last.First, last.Last = part(i, n)
	}
	c.Env = append(slices.Clone(c.Env), "DHCP4D_NAME="+backendName(i),
		fmt.Sprintf("DHCP4D_IPC_PEERS=[::1]:%d", firstPort),
		fmt.Sprintf("DHCP4D_METRICS_LISTEN=[::1]:%d", firstMetrics+i))
	if s.store != "" {
		c.Env = append(c.Env, "DHCP4D_STORE="+s.store+":"+filepath.Join(c.Dir, s.store))
	}
	return c
}

// backendName is the name of dhcp4d i, for itself and for dhcp6d.
func backendName(i int) string { return fmt.Sprintf("dhcp4d-%d", i) }

// part returns part i of n of the addresses for clients.
func part(i, n int) (first, last netip.Addr) {
	at := func(i int) netip.Addr {
		a := heldFirst.As4()
		first := binary.BigEndian.Uint32(a[:])
		a = poolLast.As4()
		size := uint64(binary.BigEndian.Uint32(a[:]) - first + 1)
		binary.BigEndian.PutUint32(a[:], first+uint32(size*uint64(i)/uint64(n)))
		return netip.AddrFrom4(a)
	}
	return at(i), at(i + 1).Prev()
}

// behind tells dhcp6d about n dhcp4d, and which addresses belong to which unless they share all.
func behind(n int, shared bool) []string {
	var backends, ranges []string
	for i := range n {
		first, last := part(i, n)
		backends = append(backends, fmt.Sprintf("%s@[::1]:%d", backendName(i), firstPort+i+1))
		ranges = append(ranges, fmt.Sprintf("%s:%v-%v", backendName(i), first, last))
	}
	env := []string{"DHCP6D_IPC_BACKENDS=" + strings.Join(backends, ",")}
	if !shared {
		env = append(env, "DHCP6D_IPC_RANGES="+strings.Join(ranges, ","))
	}
	return env
}

// arguments returns the arguments of the load generator for the next run. Each run has its own
// clients, or among clients with leases its own random order.
func (s *subject) arguments(o Options, l Load) []string {
	s.runs++
	server := serverAddress.Addr().String()
	if s.name == KeaOther {
		server = relay.AllAgentsAndServers.String() // Kea 3 drops queries by unicast
	}
	args := []string{"-json", "-i", "eth0", "-server", server, "-source", clientAddress.Addr().String(),
		"-sources", strconv.Itoa(o.Sources), "-relays", strconv.Itoa(o.Relays), "-link", relayedLink.String(),
		"-renew", fmt.Sprint(o.Renew), fmt.Sprintf("-trains=%t", o.Trains)}
	// With so few in flight, this takes a second or more.
	n := min(o.Exchanges, 2000*max(l.InFlight, 1))
	if keas(s.name) {
		n /= 4
	}
	switch {
	case l.Times > 0:
		args = append(args, "-rate", fmt.Sprint(l.Times*s.peak), "-t", o.OpenFor.String())
	case l.Rate > 0:
		args = append(args, "-rate", strconv.Itoa(l.Rate), "-t", o.OpenFor.String())
	default:
		args = append(args, "-n", strconv.Itoa(n), "-in-flight", strconv.Itoa(l.InFlight))
	}
	if moves(s.name) {
		args = append(args, "-bare")
	}
	if s.shared {
		args = append(args, "-shared")
	}
	switch {
	case o.Held > 0:
		first := heldFirst
		if moves(s.name) {
			first = bareFirst
		}
		return append(args, "-seed", strconv.FormatUint(heldSeed+s.runs<<8, 10), "-clients", strconv.Itoa(o.Held),
			"-shuffle", "-held", first.String())
	case o.Renew > 0:
		args = append(args, "-clients", strconv.Itoa(max(n/10, l.InFlight)))
	}
	return append(args, "-seed", strconv.FormatUint(s.runs, 10))
}

// run makes one run of the load generator.
func (s *subject) run(ctx context.Context, perf string, o Options, l Load) (Run, error) {
	args := s.arguments(o, l)
	before, err := s.accountBefore()
	if err != nil {
		return Run{}, err
	}
	var sampled *profile
	if o.Profile != "" && s.name == Ours && !s.profiled {
		s.profiled = true
		if sampled, err = startProfile(s); err != nil {
			return Run{}, err
		}
		defer sampled.close()
	}
	p, err := s.clients.Start(nil, append([]string{perf}, args...)...)
	if err != nil {
		return Run{}, err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return Run{}, err
	}
	after, err := s.accountAfter()
	if err != nil {
		return Run{}, err
	}
	if sampled != nil {
		if err := sampled.draw(s, l, o.Profile); err != nil {
			return Run{}, err
		}
	}
	var report load.Report
	if err := json.Unmarshal([]byte(p.Output()), &report); err != nil || report.Completed == 0 {
		return Run{}, fmt.Errorf("%s, %v: the load generator ended with status %d and said %s; the pair said %s%s",
			s.name, l, status, p.Output(), s.six.Output(), s.fours[0].Output())
	}
	if keas(s.name) {
		delete(report.Faults, "flags_set") // Kea's answers to renewals keep the query's flags
	}
	if s.shared {
		delete(report.Faults, "refused") // another client got the address after the OFFER
	}
	if report.Failed() {
		return Run{}, fmt.Errorf("%s, %v: wrong answers: %v", s.name, l, report.Faults)
	}
	if o.Held == 0 {
		s.owed += report.Addresses
		s.atMost += int(report.Started)
	}
	r := newRun(s.name, l, report, before, after)
	if o.Held > 0 && !moves(s.name) {
		r.PerLease = max(0, after.four.resident-s.empty) / float64(o.Held)
	}
	if l.Times > 0 {
		r.OfPeak = r.Goodput / s.peak
	}
	s.peak = max(s.peak, r.Goodput)
	return r, nil
}

// readBack kills dhcp4d with SIGKILL, starts it again, and compares its leases with what clients
// were told.
func (s *subject) readBack() (leases int, err error) {
	if s.unlimited != nil {
		s.unlimited()
	}
	for i, four := range s.fours {
		four.Kill()
		half, err := servers.StartV4(s.servers, servers.Ours, s.backend(i, len(s.fours)))
		if err != nil {
			return 0, err
		}
		s.halves[1+i], s.fours[i] = half, half.Process
		m, err := half.Metrics()
		if err != nil {
			return 0, err
		}
		for series, v := range m {
			if state(series, "bound") {
				leases += int(v)
			}
		}
		if s.shared { // each has all of them
			break
		}
	}
	if leases < s.owed || leases > s.atMost {
		return leases, fmt.Errorf("%s: after kill -9 dhcp4d has %d leases; clients were told of %d and had asked for %d",
			s.name, leases, s.owed, s.atMost)
	}
	return leases, nil
}
