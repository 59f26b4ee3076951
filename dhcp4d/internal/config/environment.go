package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/database"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Peer is a dhcp6d that we listen to.
type Peer struct {
	Name string // what metrics, logs and match entries call it; host:port where none was given
	Host string // an address, or a name that stands for one or more addresses
	Port uint16
	Kea  bool // a kea-dhcp6, which signs nothing
}

// Addr returns the address of the host. It is invalid if the host is a name.
func (p Peer) Addr() netip.Addr {
	a, _ := netip.ParseAddr(p.Host)
	return a
}

// address returns host:port.
func (p Peer) address() string { return net.JoinHostPort(p.Host, strconv.Itoa(int(p.Port))) }

// loopback reports whether datagrams of the peer come from this host.
func (p Peer) loopback() bool { return p.Host == "localhost" || p.Addr().IsLoopback() }

// String is the peer as it is written in the environment.
func (p Peer) String() string {
	s := p.address()
	if p.Name != s {
		s = p.Name + "@" + s
	}
	if p.Kea {
		s += " kea"
	}
	return s
}

// UnmarshalText takes "[name@]host:port[ kea]".
func (p *Peer) UnmarshalText(text []byte) error {
	fields := strings.Fields(string(text))
	kea := len(fields) == 2 && fields[1] == "kea"
	if len(fields) != 1 && !kea {
		return fmt.Errorf("%q has something after its port that is not kea", text)
	}
	name, at, named := strings.Cut(fields[0], "@")
	if !named {
		name, at = "", name
	}
	host, port, err := net.SplitHostPort(at)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || number == 0 {
		return fmt.Errorf("%q is no host:port (IPv6 addresses need brackets)", at)
	}
	switch addr, err := netip.ParseAddr(host); {
	case err != nil && !isHostName(host):
		return fmt.Errorf("%q is neither an address nor the name of a host", host)
	case err != nil:
		host = strings.ToLower(host)
	case addr.IsUnspecified() || addr.IsMulticast():
		return fmt.Errorf("%q is not the address of a host", host)
	case addr.Zone() != "":
		return fmt.Errorf("%q has a zone, which no datagram can be compared with; give the peer an address beyond "+
			"its link", at)
	default:
		host = addr.Unmap().String()
	}
	peer := Peer{Name: name, Host: host, Port: uint16(number), Kea: kea}
	if !named {
		peer.Name = peer.address()
	}
	unusual := func(r rune) bool { return r < 0x21 || r > 0x7e }
	if name := peer.Name; name == "" || len(name) > octets.Max || strings.ContainsFunc(name, unusual) {
		return fmt.Errorf("%q has no usable name before its @", text)
	}
	*p = peer
	return nil
}

// isHostName reports whether s can be the name of a host. A text whose last part is a number is
// meant to be an address.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	last := s[strings.LastIndexByte(s, '.')+1:]
	numeric := !strings.ContainsFunc(last, func(r rune) bool { return r < '0' || r > '9' })
	return !numeric && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > 0x7e || !(r == '-' || r == '.' || r == '_' || (r >= '0' && r <= '9') ||
			(r|0x20 >= 'a' && r|0x20 <= 'z'))
	})
}

func peerNames(peers []Peer) []string {
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = p.Name
	}
	return names
}

// checkIPC checks the link to dhcp6d.
func (c *Config) checkIPC(l *config.Loader, insecure bool) {
	for i, p := range c.IPCPeers {
		for _, other := range c.IPCPeers[:i] {
			switch {
			case other.address() == p.address():
				l.Mistake("IPC_PEERS", p.address()+" is listed twice", "remove one of them")
			case other.Name == p.Name:
				l.Mistake("IPC_PEERS", "two peers have the name "+p.Name, "names must differ")
			}
		}
		if listen, a := c.IPCListen.Addr(), p.Addr(); a.IsValid() && listen.IsValid() &&
			listen != netip.IPv6Unspecified() && listen.Unmap().Is4() != a.Is4() {
			l.Mistake("IPC_PEERS", fmt.Sprintf("%s cannot be reached from %v, where IPC_LISTEN binds", p.address(),
				c.IPCListen), "give both the same address family")
		}
	}
	if insecure {
		return
	}
	const remedy = "keep it on the loopback interface, set " + Prefix + "IPC_KEYS, or set " + Prefix +
		"IPC_INSECURE=true if the network between is yours alone"
	keys := len(c.IPCKeys) > 0
	if c.IPCListen.IsValid() && !c.IPCListen.Addr().IsLoopback() && !keys {
		l.Mistake("IPC_LISTEN",
			fmt.Sprintf("%v can be reached from other hosts and nothing authenticates them", c.IPCListen), remedy)
	}
	for _, p := range c.IPCPeers {
		switch remote := !p.loopback(); {
		case remote && p.Kea && keys:
			l.Mistake("IPC_PEERS", fmt.Sprintf("%s is a Kea on another host, and Kea knows no keys", p.address()),
				"keep it on the loopback interface, or set "+Prefix+"IPC_INSECURE=true if the network between is "+
					"yours alone")
		case remote && !keys:
			l.Mistake("IPC_PEERS", fmt.Sprintf("%s is on another host and nothing authenticates it", p.address()), remedy)
		}
	}
}

// Store says where leases are kept.
type Store struct {
	Kind     string // journal or pebble; empty for a database, and for memory
	Dir      string
	Database string // the URL of a PostgreSQL database
}

// storeVariable is the variable of the store, which the API's clients need too.
type storeVariable struct {
	Store Store `env:"STORE" envDefault:"journal:/var/lib/dhcp4d" kind:"memory:, journal:DIRECTORY, pebble:DIRECTORY or postgres://USER@HOST/DATABASE" desc:"where leases are kept; memory: forgets them when the process ends; for a PostgreSQL database see database.md"`
}

// UnmarshalText takes "memory:", "journal:DIRECTORY", "pebble:DIRECTORY", or the URL of a
// PostgreSQL database.
func (s *Store) UnmarshalText(text []byte) error {
	kind, dir, named := strings.Cut(string(text), ":")
	onDisk := kind == "journal" || kind == "pebble"
	switch {
	case string(text) == "memory:":
		*s = Store{}
	case database.IsURL(string(text)):
		if _, err := database.Parse(string(text)); err != nil {
			return storeError{err}
		}
		*s = Store{Database: string(text)}
	case onDisk && filepath.IsAbs(dir):
		*s = Store{Kind: kind, Dir: filepath.Clean(dir)}
	case !named:
		return storeError{errors.New("there is no colon behind the kind of the store")}
	case onDisk:
		return fmt.Errorf("%q has no directory that begins with /", text)
	default:
		return storeError{fmt.Errorf("there is no kind of store %q", kind)}
	}
	return nil
}

// storeError quotes nothing behind the kind of a store: the URL of a database may hold a password.
type storeError struct{ error }

// QuotesNothing marks the error as one beside which the value is not shown.
func (storeError) QuotesNothing() {}

// URL is the store as package engine names it.
func (s Store) URL() string {
	if s.Database != "" {
		return s.Database
	}
	return cmp.Or(s.Kind, "memory") + ":" + s.Dir
}
