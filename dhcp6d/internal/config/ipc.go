package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Backend is a DHCPv4 server behind dhcp6d.
type Backend struct {
	// Name is the backend's name in metrics and logs, and in the hash that chooses a backend.
	// Without a configured name it is host:port.
	Name string
	// Host is an address or a name to resolve.
	Host string
	Port uint16
	// Kea marks a kea-dhcp4.
	Kea bool
}

// maxBackends limits the values of a metric label.
const maxBackends = 64

// String returns the backend as it is written in the environment.
func (b Backend) String() string {
	s := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	if b.Name != s {
		s = b.Name + "@" + s
	}
	if b.Kea {
		s += " kea"
	}
	return s
}

// Daemon returns the name that the backend has for itself, which signatures cover. That is its name
// here. Without one it is the default name of a dhcp4d.
func (b Backend) Daemon() string {
	if b.Name == net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))) {
		return "dhcp4d"
	}
	return b.Name
}

// UnmarshalText parses "[name@]host:port[ kea]".
func (b *Backend) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	kea := len(fields) == 2 && fields[1] == "kea"
	if len(fields) != 1 && !kea {
		return fmt.Errorf("%q has something after its port that is not kea", text)
	}
	name, at, named := strings.Cut(fields[0], "@")
	if !named {
		at = fields[0]
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil || host == "" {
		return fmt.Errorf("%q is no host:port (IPv6 addresses need brackets)", at)
	}
	if a, err := netip.ParseAddr(host); err == nil && (a.IsUnspecified() || a.IsMulticast() || a.Zone() != "") {
		return fmt.Errorf("%q is no unicast address without zone", host)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return fmt.Errorf("%q has no port from 1 to 65535", at)
	}
	if !named {
		name = net.JoinHostPort(host, strconv.FormatUint(number, 10))
	}
	if name == "" || strings.ContainsAny(name, `"\`) {
		return fmt.Errorf("%q has no usable name before its @", text)
	}
	*b = Backend{Name: name, Host: host, Port: uint16(number), Kea: kea}
	return nil
}

// loopback reports whether datagrams to the backend stay on this host.
func (b Backend) loopback() bool {
	if b.Host == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(b.Host)
	return err == nil && a.IsLoopback()
}

// checkIPC checks the link to dhcp4d.
func (c *Config) checkIPC(l *config.Loader, insecure bool) {
	if len(c.Backends) > maxBackends {
		l.Mistake("IPC_BACKENDS", fmt.Sprintf("%d backends", len(c.Backends)),
			fmt.Sprintf("give at most %d", maxBackends))
	}
	names, addresses := map[string]bool{}, map[string]bool{}
	for _, b := range c.Backends {
		address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		switch {
		case names[b.Name]:
			l.Mistake("IPC_BACKENDS", "two backends have the name "+b.Name, "names must differ")
		case addresses[address]:
			l.Mistake("IPC_BACKENDS", address+" is listed twice", "remove one of them")
		}
		names[b.Name], addresses[address] = true, true

		host, err := netip.ParseAddr(b.Host)
		if err == nil && c.IPCListen.IsValid() && !reaches(c.IPCListen.Addr(), host) {
			l.Mistake("IPC_BACKENDS",
				fmt.Sprintf("%s cannot be reached from %v, where IPC_LISTEN binds", address, c.IPCListen),
				"give both the same address family")
		}
		if err == nil && host.IsLinkLocalUnicast() && c.IPCListen.IsValid() && c.IPCListen.Addr().Zone() == "" {
			l.Mistake("IPC_BACKENDS", fmt.Sprintf("%s is on some link, and nothing says on which", address),
				"give an address beyond the link, or the link with "+Prefix+"IPC_LISTEN=[address%interface]:port")
		}
	}
	c.checkRanges(l)
	c.checkKeys(l, insecure)
}

// checkKeys checks that no unauthenticated datagram leaves the host by mistake, and that each
// signature says for which backend it is.
func (c *Config) checkKeys(l *config.Loader, insecure bool) {
	keys := len(c.IPCKeys) > 0
	daemons := map[string]bool{}
	for _, b := range c.Backends {
		if !keys || b.Kea {
			continue
		}
		if daemons[b.Daemon()] {
			l.Mistake("IPC_BACKENDS", "with keys, two backends would both be the dhcp4d of the name "+b.Daemon(),
				"write each as name@host:port, with the DHCP4D_NAME that it has")
		}
		daemons[b.Daemon()] = true
	}
	if insecure {
		return
	}
	const alone = "keep it on the loopback interface, or set " + Prefix +
		"IPC_INSECURE=true if the network between is yours alone"
	const remedy = "keep it on the loopback interface, set " + Prefix + "IPC_KEYS, or set " + Prefix +
		"IPC_INSECURE=true if the network between is yours alone"
	if c.IPCListen.IsValid() && !c.IPCListen.Addr().IsLoopback() && !keys {
		l.Mistake("IPC_LISTEN",
			fmt.Sprintf("%v can be reached from other hosts and nothing authenticates them", c.IPCListen), remedy)
	}
	for _, b := range c.Backends {
		switch {
		case b.loopback():
		case keys && b.Kea:
			l.Mistake("IPC_BACKENDS", fmt.Sprintf("%s is a Kea on another host, and Kea knows no keys", b.Host), alone)
		case !keys:
			l.Mistake("IPC_BACKENDS", fmt.Sprintf("%s is on another host and nothing authenticates it", b.Host), remedy)
		}
	}
}

// Range is a range of addresses that only one backend can serve.
type Range struct {
	Backend     string
	First, Last netip.Addr // IPv4, First is not above Last
}

// String returns the range as it is written in the environment.
func (r Range) String() string { return fmt.Sprintf("%s:%v-%v", r.Backend, r.First, r.Last) }

// UnmarshalText parses "name:prefix", "name:first-last" or "name:address". The name may contain
// colons.
func (r *Range) UnmarshalText(text []byte) error {
	s := string(text)
	at := strings.LastIndexByte(s, ':')
	if at <= 0 {
		return fmt.Errorf("%q has no name of a backend and colon before its addresses", s)
	}
	name, addresses := s[:at], s[at+1:]
	first, last, isRange := strings.Cut(addresses, "-")
	if p, err := netip.ParsePrefix(addresses); err == nil {
		if p != p.Masked() {
			return fmt.Errorf("%q has bits set after its length (%v?)", addresses, p.Masked())
		}
		if !p.Addr().Is4() {
			return fmt.Errorf("%q is no IPv4 prefix", addresses)
		}
		*r = Range{name, p.Addr(), lastOf(p)}
		return nil
	}
	if !isRange {
		last = first
	}
	a, err := netip.ParseAddr(strings.TrimSpace(first))
	b, err2 := netip.ParseAddr(strings.TrimSpace(last))
	if err != nil || err2 != nil || !a.Is4() || !b.Is4() || b.Less(a) {
		return fmt.Errorf("%q is neither an IPv4 prefix nor a range of IPv4 addresses", addresses)
	}
	*r = Range{name, a, b}
	return nil
}

// lastOf returns the last address of an IPv4 prefix.
func lastOf(p netip.Prefix) netip.Addr {
	a := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		a[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(a)
}

// checkRanges checks that each range has exactly one owner, which exists, and sorts the ranges.
func (c *Config) checkRanges(l *config.Loader) {
	c.Ranges = slices.Clone(c.Ranges)
	slices.SortFunc(c.Ranges, func(a, b Range) int { return a.First.Compare(b.First) })
	for i, r := range c.Ranges {
		if !slices.ContainsFunc(c.Backends, func(b Backend) bool { return b.Name == r.Backend }) {
			l.Mistake("IPC_RANGES", "no backend has the name "+r.Backend, "use the names in "+Prefix+"IPC_BACKENDS")
		}
		if i > 0 && !c.Ranges[i-1].Last.Less(r.First) {
			l.Mistake("IPC_RANGES", fmt.Sprintf("%v and %v overlap", c.Ranges[i-1], r), "an address has one owner")
		}
	}
}

// reaches reports whether a socket bound to local can send to remote.
func reaches(local, remote netip.Addr) bool {
	if local == netip.IPv6Unspecified() {
		return true
	}
	return local.Unmap().Is4() == remote.Unmap().Is4()
}
