package config

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Backend is a DHCPv4 server behind dhcp6d.
type Backend struct {
	// Name is what metrics and logs call it and what the choice among
	// backends hashes; host:port where none was given.
	Name string
	// Host is an address or a name to resolve.
	Host string
	Port uint16
	// Kea says that it is a kea-dhcp4.
	Kea bool
}

// maxBackends bounds a label of metrics.
const maxBackends = 64

// String is the backend as it is written in the environment.
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

// UnmarshalText takes "[name@]host:port[ kea]".
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

// loopback tells whether datagrams to the backend stay on this host.
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
		l.Mistake("IPC_BACKENDS", fmt.Sprintf("%d backends", len(c.Backends)), fmt.Sprintf("give at most %d", maxBackends))
	}
	names, places := map[string]bool{}, map[string]bool{}
	for _, b := range c.Backends {
		place := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		switch {
		case names[b.Name]:
			l.Mistake("IPC_BACKENDS", "two backends have the name "+b.Name, "names must differ")
		case places[place]:
			l.Mistake("IPC_BACKENDS", place+" is listed twice", "remove one of them")
		}
		names[b.Name], places[place] = true, true

		host, err := netip.ParseAddr(b.Host)
		if err == nil && c.IPCListen.IsValid() && !reaches(c.IPCListen.Addr(), host) {
			l.Mistake("IPC_BACKENDS", fmt.Sprintf("%s cannot be reached from %v, where IPC_LISTEN binds", place, c.IPCListen),
				"give both the same address family")
		}
	}
	if insecure {
		return
	}
	const remedy = "keep it on the loopback interface, or set " + Prefix + "IPC_INSECURE=true if the network between is yours alone"
	if c.IPCListen.IsValid() && !c.IPCListen.Addr().IsLoopback() {
		l.Mistake("IPC_LISTEN", fmt.Sprintf("%v can be reached from other hosts and nothing authenticates them", c.IPCListen), remedy)
	}
	for _, b := range c.Backends {
		if !b.loopback() {
			l.Mistake("IPC_BACKENDS", fmt.Sprintf("%s is on another host and nothing authenticates it", b.Host), remedy)
		}
	}
}

// reaches tells whether a socket bound to local can send to remote.
func reaches(local, remote netip.Addr) bool {
	if local == netip.IPv6Unspecified() {
		return true
	}
	return local.Unmap().Is4() == remote.Unmap().Is4()
}
