// Package config turns dhcp6d's environment into checked values.
//
// It owns the variables: their names, defaults and meanings, and every check that needs no socket
// and no file other than those of X_FILE. After Load nothing is checked again. Of the wire format
// it only knows what fits into it.
package config

import (
	"net/netip"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Prefix begins the name of every variable.
const Prefix = "DHCP6D_"

// Config is the checked configuration. It never changes.
type Config struct {
	// Interfaces are names, patterns and, after "!", exceptions.
	Interfaces []string
	// JoinSite also joins ff05::1:3.
	JoinSite bool
	// Relays are the prefixes from which Relay-forward is accepted.
	Relays []netip.Prefix
	// LDRAInterfaces are the names and patterns of the interfaces where Relay-forward from a
	// link-local source is accepted.
	LDRAInterfaces []string
	// LDRALinks are the link-addresses of links behind relays where Relay-forward from a link-local
	// source is believed.
	LDRALinks []netip.Prefix
	// ServerPort is the port that we listen on; the protocol's is 547.
	ServerPort uint16
	// ClientPort is the port that every client is answered on. 0 stands for the protocol's ports.
	ClientPort uint16
	// Source is the source address of answers whose context has none. The zero Addr lets the kernel
	// choose.
	Source netip.Addr

	IPCListen netip.AddrPort
	Backends  []Backend // at least one, names and addresses distinct
	// Ranges are the addresses that only one of the backends can serve. They do not overlap.
	Ranges []Range
	// IPCKeys sign and verify the datagrams between us and backends of ours. Without keys they are
	// not authenticated.
	IPCKeys ipc.Keys
	// IPCOldPeers allows HMAC alone with backends that know no sessions.
	IPCOldPeers bool

	// Options are the options that an Information-request may be answered with.
	Options answer.Options
	// LinkOptions are the same for single links. The first one that fits counts.
	LinkOptions []LinkOptions
	// Services are the ways to get IPv4 that clients are told of beside these options.
	Services Services
	StateDir string

	// DHCPv6Servers are the servers that messages are passed on to, at most 8.
	DHCPv6Servers []DHCPv6Server
	// DHCPv6Links are the link-addresses for these messages. The first one that fits counts.
	DHCPv6Links []LinkAddress
	// DHCPv6Information passes every Information-request on.
	DHCPv6Information bool

	API access.Config

	// Hooks are the hooks to run, in order, with their variables.
	Hooks []hook.Configured

	// MaxWait and DiscoverMaxWait are how long a datagram, and a DISCOVER, may wait in the sockets
	// before it is served. 0 is no limit.
	MaxWait, DiscoverMaxWait time.Duration

	environ   []string
	settings  daemon.Settings
	variables []config.Variable
	warnings  []string
}

// Settings returns the settings of package daemon.
func (c Config) Settings() daemon.Settings { return c.settings }

// Variables returns every variable with the value in effect.
func (c Config) Variables() []config.Variable { return c.variables }

// Warnings returns what is valid but probably not meant.
func (c Config) Warnings() []string { return c.warnings }

// raw holds the variables as they are written.
type raw struct {
	Interfaces     patterns       `env:"INTERFACES,required" kind:"list of names and patterns, such as eth0 or eth*,!eth1" reload:"true" desc:"client-facing interfaces; ff02::1:2 is joined on each"`
	JoinSite       joinSite       `env:"JOIN_SITE" envDefault:"auto" kind:"true, false or auto" reload:"true" desc:"also join ff05::1:3, the site-wide group that relays send to (RFC 9915 section 7.1); auto joins it where RELAYS allows relays"`
	Relays         []netip.Prefix `env:"RELAYS" kind:"list of IPv6 prefixes" reload:"true" desc:"relay agents: sources from which Relay-forward is accepted, from others it is dropped; list the relays behind a relay too, otherwise their levels are not believed"`
	LDRAInterfaces patterns       `env:"LDRA_INTERFACES" kind:"list of names and patterns" reload:"true" desc:"interfaces where Relay-forward from a link-local source, a lightweight relay agent, is taken"`
	LDRALinks      []netip.Prefix `env:"LDRA_LINKS" kind:"list of IPv6 prefixes" reload:"true" desc:"link-addresses of links behind relays where Relay-forward from a link-local source, a lightweight relay agent or a relay that sends by multicast, is believed; elsewhere such a level does not count, because a client can write it"`
	ServerPort     uint16         `env:"SERVER_PORT" envDefault:"547" kind:"a port" desc:"UDP port that clients and relays send to"`
	ClientPort     uint16         `env:"CLIENT_PORT" envDefault:"0" kind:"a port" reload:"true" desc:"answer every client on this port; 0 means the protocol's port 546 (for tests)"`
	Source         netip.Addr     `env:"SOURCE" kind:"an IPv6 address" reload:"true" desc:"source address of answers where the query does not tell to which address it came; unset lets the kernel choose"`

	IPCListen   netip.AddrPort `env:"IPC_LISTEN" envDefault:"[::1]:6767" desc:"our end of the link to dhcp4d, UDP"`
	IPCBackends []Backend      `env:"IPC_BACKENDS" envDefault:"[::1]:6768" kind:"list of [name@]host:port[ kea]" reload:"true" desc:"the DHCPv4 servers; the name is the DHCP4D_NAME of that dhcp4d; kea marks a kea-dhcp4, which knows no keys"`
	IPCRanges   []Range        `env:"IPC_RANGES" kind:"list of name:prefix or name:first-last" reload:"true" desc:"IPv4 addresses that only the backend of that name can serve, for backends with stores of their own"`
	IPCKeys     ipc.Keys       `env:"IPC_KEYS" secret:"true" reload:"true" kind:"list of id:base64" desc:"keys that authenticate the link to dhcp4d; the first signs, all verify; a datagram without a valid signature is dropped"`
	IPCOldPeers bool           `env:"IPC_OLD_PEERS" envDefault:"true" reload:"true" desc:"with keys, also talk to a dhcp4d that knows no sessions, by HMAC-SHA-256 alone, which needs clocks that agree; set it to false once all are upgraded"`
	IPCInsecure bool           `env:"IPC_INSECURE" envDefault:"false" reload:"true" desc:"allow the link to dhcp4d to leave this host without keys; anybody on its way can then give out leases"`

	Options     optionVariables
	LinkOptions linkEntries `env:"LINK_OPTIONS" kind:"lines of a link and VARIABLE=value, with blanks between" reload:"true" desc:"other values of the nine variables above for an Information-request on one link: an interface, for clients whose link no relay names, or the prefix of the address by which relays name the link; the first line that fits counts"`

	Links linksVariable `env:"LINKS" kind:"a YAML or JSON document, usually in a file that DHCP6D_LINKS_FILE names" reload:"true" desc:"DS-Lite, MAP-E, MAP-T, lw4o6 and 4o6 by link, interface, Interface-Id or class, see softwires.md"`

	DHCPv6Servers     []DHCPv6Server `env:"DHCPV6_SERVERS" kind:"list of [address]:port or name:port" reload:"true" desc:"the DHCPv6 servers that get, in a Relay-forward, every message that dhcp6d does not serve or answer itself, such as Solicit; at most 8, and each gets every message; of a name all addresses count; the port is 547 if none is given; unset drops these messages"`
	DHCPv6Links       []LinkAddress  `env:"DHCPV6_LINK_ADDRESSES" kind:"list of interface=address" reload:"true" desc:"the link-address of Relay-forwards for clients on an interface, by which the DHCPv6 servers choose the subnet; unset takes the lowest global address of the interface"`
	DHCPv6Supply      []uint16       `env:"DHCPV6_SUPPLY" kind:"list of option codes" reload:"true" desc:"options of the link's, such as 88, that go with a message to the DHCPv6 servers, if the client asks for them, for the servers to put them into their answers (RFC 6422); they must be offered by the variables above, and the servers must allow each code"`
	DHCPv6Information bool           `env:"DHCPV6_INFORMATION" envDefault:"false" reload:"true" desc:"pass every Information-request on to the DHCPv6 servers, also those that dhcp6d has an answer to"`

	State stateVariable

	API apiVariables `envPrefix:"API_"`
}

// rawRest holds the variables that come after those of the hooks.
type rawRest struct {
	MaxWait         time.Duration `env:"MAX_WAIT" envDefault:"1s" reload:"true" desc:"drop a datagram that has waited in the socket for longer, or would have until its dhcp4d reads it, because its client has given up; 0s is no limit"`
	DiscoverMaxWait time.Duration `env:"DISCOVER_MAX_WAIT" envDefault:"50ms" reload:"true" desc:"the same for a DHCPDISCOVER, once all queries have waited that long for a fifth of a second: under overload, exchanges that have begun come before new ones"`

	MetricsListen config.Listen `env:"METRICS_LISTEN" envDefault:":9566" desc:"where /metrics, /healthz and /readyz are served"`
	Settings      daemon.Settings
}

// Reload loads the configuration again. The environment is unchanged, but the files that its X_FILE
// variables name may have changed.
func (c Config) Reload() (Config, error) { return Load(c.environ) }

// Load reads an environment in the form of os.Environ. The error is a [config.Mistakes] with all
// mistakes. Also then the Config has its list of variables.
func Load(environ []string) (Config, error) {
	l := config.New(Prefix, environ)
	var r raw
	l.Parse(&r)
	l.Hold("LINKS", "RELAYS")
	run := hook.Configure(l, Prefix, hooks.All())
	var rest rawRest
	l.Parse(&rest)
	c := Config{
		environ:         environ,
		Interfaces:      r.Interfaces,
		JoinSite:        r.JoinSite.with(r.Relays),
		Relays:          r.Relays,
		LDRAInterfaces:  r.LDRAInterfaces,
		LDRALinks:       r.LDRALinks,
		ServerPort:      r.ServerPort,
		ClientPort:      r.ClientPort,
		Source:          r.Source,
		IPCListen:       r.IPCListen,
		Backends:        r.IPCBackends,
		Ranges:          r.IPCRanges,
		IPCKeys:         r.IPCKeys,
		IPCOldPeers:     r.IPCOldPeers,
		Options:         r.Options.check(l),
		LinkOptions:     r.LinkOptions.check(l),
		DHCPv6Servers:   r.DHCPv6Servers,
		DHCPv6Links:     r.DHCPv6Links,
		StateDir:        r.State.StateDir,
		API:             r.API.in(r.State.StateDir),
		Hooks:           run,
		MaxWait:         rest.MaxWait,
		DiscoverMaxWait: rest.DiscoverMaxWait,
		settings:        rest.Settings,
		variables:       l.Variables(),
	}
	c.DHCPv6Information = r.DHCPv6Information
	c.Services, c.warnings = r.Links.services(l, func(code uint16) bool {
		return c.Options.Offers(code) ||
			slices.ContainsFunc(c.LinkOptions, func(o LinkOptions) bool { return o.Options.Offers(code) })
	})
	c.settings.MetricsListen = rest.MetricsListen
	c.checkLink(l)
	c.checkIPC(l, r.IPCInsecure)
	c.checkPass(l, r.DHCPv6Supply)
	c.API.Check(l)
	if c.MaxWait < 0 || c.DiscoverMaxWait < 0 {
		l.Mistake("MAX_WAIT", "a time below 0", "give 0s for no limit")
	}
	c.warn()
	return c, l.Err()
}
