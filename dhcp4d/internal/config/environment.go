package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Peer is a dhcp6d that we listen to.
type Peer struct {
	Name string // what metrics, logs and match entries call it; address:port where none was given
	Addr netip.AddrPort
	Kea  bool // a kea-dhcp6, which signs nothing
}

// String is the peer as it is written in the environment.
func (p Peer) String() string {
	s := p.Addr.String()
	if p.Name != s {
		s = p.Name + "@" + s
	}
	if p.Kea {
		s += " kea"
	}
	return s
}

// UnmarshalText takes "[name@]address:port[ kea]".
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
	addr, err := netip.ParseAddrPort(at)
	if err != nil || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() {
		return fmt.Errorf("%q is no address:port (IPv6 addresses need brackets)", at)
	}
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !named {
		name = addr.String()
	}
	if name == "" || len(name) > MaxOctets || strings.ContainsFunc(name, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return fmt.Errorf("%q has no usable name before its @", text)
	}
	*p = Peer{Name: name, Addr: addr, Kea: kea}
	return nil
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
			case other.Addr == p.Addr:
				l.Mistake("IPC_PEERS", p.Addr.String()+" is listed twice", "remove one of them")
			case other.Name == p.Name:
				l.Mistake("IPC_PEERS", "two peers have the name "+p.Name, "names must differ")
			}
		}
		if listen := c.IPCListen.Addr(); listen.IsValid() && listen != netip.IPv6Unspecified() && listen.Unmap().Is4() != p.Addr.Addr().Is4() {
			l.Mistake("IPC_PEERS", fmt.Sprintf("%v cannot be reached from %v, where IPC_LISTEN binds", p.Addr, c.IPCListen), "give both the same address family")
		}
	}
	if insecure {
		return
	}
	const remedy = "keep it on the loopback interface, set " + Prefix + "IPC_KEYS, or set " + Prefix + "IPC_INSECURE=true if the network between is yours alone"
	keys := len(c.IPCKeys) > 0
	if c.IPCListen.IsValid() && !c.IPCListen.Addr().IsLoopback() && !keys {
		l.Mistake("IPC_LISTEN", fmt.Sprintf("%v can be reached from other hosts and nothing authenticates them", c.IPCListen), remedy)
	}
	for _, p := range c.IPCPeers {
		switch remote := !p.Addr.Addr().IsLoopback(); {
		case remote && p.Kea && keys:
			l.Mistake("IPC_PEERS", fmt.Sprintf("%v is a Kea on another host, and Kea knows no keys", p.Addr),
				"keep it on the loopback interface, or set "+Prefix+"IPC_INSECURE=true if the network between is yours alone")
		case remote && !keys:
			l.Mistake("IPC_PEERS", fmt.Sprintf("%v is on another host and nothing authenticates it", p.Addr), remedy)
		}
	}
}

// Store says where leases are kept.
type Store struct {
	Kind string // journal or pebble; empty: in memory only
	Dir  string
}

// UnmarshalText takes "memory:", "journal:DIRECTORY" or "pebble:DIRECTORY".
func (s *Store) UnmarshalText(text []byte) error {
	kind, dir, _ := strings.Cut(string(text), ":")
	onDisk := kind == "journal" || kind == "pebble"
	switch {
	case string(text) == "memory:":
		*s = Store{}
	case onDisk && filepath.IsAbs(dir):
		*s = Store{Kind: kind, Dir: filepath.Clean(dir)}
	case onDisk:
		return fmt.Errorf("%q has no directory that begins with /", text)
	default:
		return fmt.Errorf("%q is no store", text)
	}
	return nil
}

// URL is the store as package store names it.
func (s Store) URL() string { return cmp.Or(s.Kind, "memory") + ":" + s.Dir }

// LeaseLogName is the name of the lease log among the hooks.
const LeaseLogName = "leaselog"

// LeaseLog is what the lease log hook runs by.
type LeaseLog struct {
	Path string `env:"PATH" envDefault:"stdout" kind:"stdout, stderr or the path of a file" desc:"hook leaselog: where one line of JSON per change of a lease goes; a file is appended to"`
}

// RunName is the name of the hook that runs a program.
const RunName = "run"

// Run is what the hook run runs by.
type Run struct {
	Command string  `env:"COMMAND" kind:"path of a program" desc:"hook run: the program that is run for every change of a lease, with the hook point as its argument and the facts in its environment, named as Kea's run_script hook names them"`
	Timeout seconds `env:"TIMEOUT" envDefault:"10s" kind:"a duration such as 90s, 1h or 7d" desc:"hook run: how long a program may run before it is killed with everything that it started"`
	Workers uint16  `env:"WORKERS" envDefault:"4" desc:"hook run: how many programs run at the same time"`
	Queue   uint32  `env:"QUEUE" envDefault:"1024" desc:"hook run: how many changes may wait for a program; more are lost and counted"`
}

// checkRun checks the hook run.
func (c *Config) checkRun(l *config.Loader) {
	listed := slices.Contains(c.Hooks, RunName)
	for _, name := range []string{"RUN_COMMAND", "RUN_TIMEOUT", "RUN_WORKERS", "RUN_QUEUE"} {
		if l.Variable(name).Source != "" && !listed {
			l.Mistake("HOOKS", "the hook run is configured and not listed", "add run, or unset "+Prefix+name)
			break
		}
	}
	if !listed {
		return
	}
	if !filepath.IsAbs(c.Run.Command) {
		l.Mistake("RUN_COMMAND", fmt.Sprintf("%q is no path that begins with /", c.Run.Command), "name the program that the hook run is to run")
	}
	if c.Run.Timeout == 0 {
		l.Mistake("RUN_TIMEOUT", "no program ends in no time", "give at least 1s")
	}
	if c.Run.Workers == 0 || c.Run.Workers > 256 {
		l.Mistake("RUN_WORKERS", fmt.Sprintf("%d programs at the same time", c.Run.Workers), "give 1 to 256")
	}
	if c.Run.Queue == 0 || c.Run.Queue > 1<<20 {
		l.Mistake("RUN_QUEUE", fmt.Sprintf("%d changes", c.Run.Queue), "give 1 to 1048576")
	}
}

// Duration is the time that it stands for.
func (s seconds) Duration() time.Duration { return time.Duration(s) * time.Second }

// checkHooks checks the list of hooks against what is shipped.
func (c *Config) checkHooks(l *config.Loader) {
	for i, name := range c.Hooks {
		switch {
		case name != LeaseLogName && name != RunName:
			l.Mistake("HOOKS", "there is no hook "+name, "there are: "+LeaseLogName+", "+RunName)
		case slices.Contains(c.Hooks[:i], name):
			l.Mistake("HOOKS", name+" is listed twice", "remove one of them")
		}
	}
	if l.Variable("LEASELOG_PATH").Source != "" && !slices.Contains(c.Hooks, LeaseLogName) {
		l.Mistake("HOOKS", "the hook leaselog is configured and not listed", "add leaselog, or unset "+Prefix+"LEASELOG_PATH")
	}
}

// seconds is a duration in whole seconds.
type seconds uint32

// UnmarshalText takes what the durations of the subnets document are written
// like.
func (s *seconds) UnmarshalText(text []byte) error {
	n, ok := parseSeconds(string(text))
	if !ok {
		return fmt.Errorf("%q is not %s", text, durationKind)
	}
	*s = seconds(n)
	return nil
}
