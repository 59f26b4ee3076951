// Package config turns dhcp6d's environment into checked values.
//
// It owns the variables: name, default, meaning and every check that needs no
// socket or file but those behind X_FILE. After Load nothing validates again.
// It knows the wire only as far as a value must fit it.
package config

import (
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Prefix begins the name of every variable.
const Prefix = "DHCP6D_"

// Config is what dhcp6d runs by. It is never changed.
type Config struct {
	// Interfaces are names, patterns and, behind "!", exceptions; checked.
	Interfaces []string
	// JoinSite joins ff05::1:3 too.
	JoinSite bool
	// Relays are the prefixes from which Relay-forward is taken.
	Relays []netip.Prefix
	// LDRAInterfaces are the names and patterns of the interfaces where
	// Relay-forward from a link-local source is taken.
	LDRAInterfaces []string
	// ServerPort is where we listen, 547 by protocol.
	ServerPort uint16
	// ClientPort is where every client is answered; 0 stands for the
	// protocol's ports.
	ClientPort uint16
	// Source is the source address of answers for which the context has none;
	// the zero Addr lets the kernel choose.
	Source netip.Addr

	IPCListen netip.AddrPort
	Backends  []Backend // at least one, names and addresses distinct
	// Ranges are the addresses that only one of the backends can serve; they
	// do not overlap.
	Ranges []Range
	// IPCKeys sign and verify what goes between us and backends of ours; none
	// leaves it as it is.
	IPCKeys ipc.Keys

	// Options are what an Information-request may be answered with.
	Options answer.Options
	// LinkOptions are the same for single links; the first that fits counts.
	LinkOptions []LinkOptions
	StateDir    string

	// Hooks are the names of the hooks to run, in order, all of them known.
	Hooks     []string
	ACL       filter.ACL
	RateLimit filter.RateLimit

	// MaxWait and DiscoverMaxWait are how long a datagram, and a DISCOVER, may
	// wait in the sockets to be served; 0 is for ever.
	MaxWait, DiscoverMaxWait time.Duration

	environ   []string
	settings  daemon.Settings
	variables []config.Variable
	warnings  []string
}

// Settings is what the frame needs.
func (c Config) Settings() daemon.Settings { return c.settings }

// Variables lists every variable with the value in effect.
func (c Config) Variables() []config.Variable { return c.variables }

// Warnings says what is valid and yet probably not meant.
func (c Config) Warnings() []string { return c.warnings }

// raw is the variables as written.
type raw struct {
	Interfaces     patterns       `env:"INTERFACES,required" kind:"list of names and patterns, such as eth0 or eth*,!eth1" reload:"true" desc:"client-facing interfaces; ff02::1:2 is joined on each"`
	JoinSite       bool           `env:"JOIN_SITE" envDefault:"false" reload:"true" desc:"also join ff05::1:3, for relays that send to this site-wide group"`
	Relays         []netip.Prefix `env:"RELAYS" kind:"list of IPv6 prefixes" reload:"true" desc:"sources from which Relay-forward is taken; from others it is dropped"`
	LDRAInterfaces patterns       `env:"LDRA_INTERFACES" kind:"list of names and patterns" reload:"true" desc:"interfaces where Relay-forward from a link-local source, a lightweight relay agent, is taken"`
	ServerPort     uint16         `env:"SERVER_PORT" envDefault:"547" kind:"a port" desc:"UDP port that clients and relays send to"`
	ClientPort     uint16         `env:"CLIENT_PORT" envDefault:"0" kind:"a port" reload:"true" desc:"answer every client on this port; 0 means the protocol's port 546 (for tests)"`
	Source         netip.Addr     `env:"SOURCE" kind:"an IPv6 address" reload:"true" desc:"source address of answers where the query does not tell to which address it came; unset lets the kernel choose"`

	IPCListen   netip.AddrPort `env:"IPC_LISTEN" envDefault:"[::1]:6767" desc:"our end of the link to dhcp4d, UDP"`
	IPCBackends []Backend      `env:"IPC_BACKENDS" envDefault:"[::1]:6768" kind:"list of [name@]host:port[ kea]" reload:"true" desc:"the DHCPv4 servers; the name is the DHCP4D_NAME of that dhcp4d; kea marks a kea-dhcp4, which knows no keys"`
	IPCRanges   []Range        `env:"IPC_RANGES" kind:"list of name:prefix or name:first-last" reload:"true" desc:"IPv4 addresses that only the backend of that name can serve, for backends with stores of their own"`
	IPCKeys     ipc.Keys       `env:"IPC_KEYS" secret:"true" reload:"true" kind:"list of id:base64" desc:"keys that authenticate the link to dhcp4d; the first signs, all verify; a datagram without a valid signature is dropped"`
	IPCInsecure bool           `env:"IPC_INSECURE" envDefault:"false" reload:"true" desc:"allow the link to dhcp4d to leave this host without keys; anybody on its way can then give out leases"`

	Options     optionVariables
	LinkOptions linkEntries `env:"LINK_OPTIONS" kind:"lines of a link and VARIABLE=value, with blanks between" reload:"true" desc:"other values of the eight variables above for an Information-request on one link: an interface, for clients whose link no relay names, or the prefix of the address by which relays name the link; the first line that fits counts"`

	StateDir string       `env:"STATE_DIR" envDefault:"/var/lib/dhcp6d" kind:"a directory" desc:"where the server's DUID is kept; it must survive restarts"`
	Hooks    []string     `env:"HOOKS" kind:"list of hooks: acl, ratelimit" reload:"true" desc:"hooks to run, in this order"`
	ACL      aclVariables `envPrefix:"ACL_"`

	RateLimit rateLimitVariables `envPrefix:"RATELIMIT_"`

	MaxWait         time.Duration `env:"MAX_WAIT" envDefault:"1s" reload:"true" desc:"drop a datagram that waited in the socket for longer, or would until its dhcp4d comes to it, as its client has given up on it; 0s never does"`
	DiscoverMaxWait time.Duration `env:"DISCOVER_MAX_WAIT" envDefault:"50ms" reload:"true" desc:"the same for a DHCPDISCOVER, once everything has waited that long for a fifth of a second: under overload new exchanges give way to those that have begun"`

	MetricsListen config.Listen `env:"METRICS_LISTEN" envDefault:":9547" desc:"where /metrics, /healthz and /readyz are served"`
	Settings      daemon.Settings
}

// Reload reads again what can be read again: the environment is as it was, the
// files that its X_FILE variables name may have changed.
func (c Config) Reload() (Config, error) { return Load(c.environ) }

// Load reads the environment, in the form of os.Environ. The error is a
// [config.Mistakes] with everything that is wrong; the Config has its list of
// variables also then.
func Load(environ []string) (Config, error) {
	l := config.New(Prefix, environ)
	var r raw
	l.Parse(&r)
	c := Config{
		environ:         environ,
		Interfaces:      r.Interfaces,
		JoinSite:        r.JoinSite,
		Relays:          r.Relays,
		LDRAInterfaces:  r.LDRAInterfaces,
		ServerPort:      r.ServerPort,
		ClientPort:      r.ClientPort,
		Source:          r.Source,
		IPCListen:       r.IPCListen,
		Backends:        r.IPCBackends,
		Ranges:          r.IPCRanges,
		IPCKeys:         r.IPCKeys,
		Options:         r.Options.check(l),
		LinkOptions:     r.LinkOptions.check(l),
		StateDir:        r.StateDir,
		Hooks:           r.Hooks,
		ACL:             filter.ACL(r.ACL),
		RateLimit:       r.RateLimit.limit(),
		MaxWait:         r.MaxWait,
		DiscoverMaxWait: r.DiscoverMaxWait,
		settings:        r.Settings,
		variables:       l.Variables(),
	}
	c.settings.MetricsListen = r.MetricsListen
	c.checkLink(l)
	c.checkIPC(l, r.IPCInsecure)
	c.checkHooks(l)
	c.checkRateLimit(l)
	if c.MaxWait < 0 || c.DiscoverMaxWait < 0 {
		l.Mistake("MAX_WAIT", "a time below 0", "give 0s for no limit")
	}
	c.warn()
	return c, l.Err()
}
