// Package config turns the environment and the subnets document into values that need no further
// checks.
//
// It reports every mistake, not only the first. Each report names the variable, for the document
// also line, column and path, and says what to do. The values are of package network and of this
// package. The package opens no socket, and reads only the files that variables name.
package config

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/hooks"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Prefix begins the name of every variable.
const Prefix = "DHCP4D_"

// Config is the configuration of dhcp4d. It never changes; a reload makes another.
type Config struct {
	Name      string // as a backend
	IPCListen netip.AddrPort
	IPCPeers  []Peer // at least one, names and addresses distinct
	// IPCKeys authenticate the datagrams between us and the dhcp6d; nil: nothing is authenticated.
	IPCKeys ipc.Keys
	// IPCOldPeers allows HMAC alone with peers that know no sessions.
	IPCOldPeers bool

	// Subnets is the document as it was at the start.
	Subnets *network.Subnets
	// PeerServerIDs are the identifiers (option 54) of the other dhcp4d.
	PeerServerIDs []netip.Addr

	Store Store
	// Recovery says that leases of the store may be lost. No client gets an address that is new to
	// it before all leases that the store does not know have ended.
	Recovery bool

	API access.Config
	// MetricsSubnets is how many subnets metrics tell apart.
	MetricsSubnets int

	// Hooks are the hooks that run, in order, with their variables.
	Hooks []hook.Configured

	environ   []string
	defaults  Defaults
	settings  daemon.Settings
	variables []config.Variable
}

// Settings returns what package daemon needs.
func (c Config) Settings() daemon.Settings { return c.settings }

// Variables lists every variable with the value in effect.
func (c Config) Variables() []config.Variable { return c.variables }

// Warnings returns what is valid but probably not intended.
func (c Config) Warnings() []string {
	var warnings []string
	if c.Store == (Store{}) {
		warnings = append(warnings, Prefix+"STORE is memory: every lease is forgotten when the process ends")
	}
	warnings = append(warnings, c.API.Warnings()...)
	if id, weak := c.IPCKeys.Weak(); weak {
		warnings = append(warnings, fmt.Sprintf("key %d of "+Prefix+"IPC_KEYS has fewer than 16 octets and may be "+
			"guessed; make one with: head -c 32 /dev/urandom | base64", id))
	}
	if c.Subnets != nil {
		for _, w := range c.Subnets.Warnings {
			warnings = append(warnings, Prefix+"SUBNETS: "+w)
		}
	}
	return warnings
}

// raw holds the variables as they are written.
type raw struct {
	IPCListen   netip.AddrPort `env:"IPC_LISTEN" envDefault:"[::1]:6768" desc:"our end of the link to dhcp6d, UDP"`
	IPCPeers    []Peer         `env:"IPC_PEERS" envDefault:"[::1]:6767" kind:"list of [name@]host:port[ kea]" reload:"true" desc:"the dhcp6d that are listened to; of a name all addresses count; kea marks a kea-dhcp6, which knows no keys"`
	IPCKeys     ipc.Keys       `env:"IPC_KEYS" secret:"true" reload:"true" kind:"list of id:base64" desc:"keys that authenticate the link to dhcp6d; the first signs, all verify; a datagram without a valid signature is dropped"`
	IPCOldPeers bool           `env:"IPC_OLD_PEERS" envDefault:"true" reload:"true" desc:"with keys, also talk to a dhcp6d that knows no sessions, by HMAC-SHA-256 alone, which needs clocks that agree; set it to false once all are upgraded"`
	IPCInsecure bool           `env:"IPC_INSECURE" envDefault:"false" desc:"allow the link to dhcp6d to leave this host without keys; anybody on its way can then take all addresses"`
	Name        string         `env:"NAME" envDefault:"dhcp4d" desc:"our name as a backend of dhcp6d; with keys it must be the name that dhcp6d has for us"`

	Subnets       string         `env:"SUBNETS,required" kind:"a YAML or JSON document, usually in a file that DHCP4D_SUBNETS_FILE names" reload:"true" desc:"subnets, pools, match entries, options and reservations"`
	ServerID      netip.Addr     `env:"SERVER_ID" kind:"an IPv4 address" desc:"server identifier (option 54), also by subnet as server-id; must differ between the servers of a subnet; unset means the first usable address of each subnet"`
	PeerServerIDs []netip.Addr   `env:"PEER_SERVER_IDS" kind:"list of IPv4 addresses" desc:"server identifiers of the other dhcp4d; a client of theirs that ends up here is told to start again"`
	Authoritative bool           `env:"AUTHORITATIVE" envDefault:"true" desc:"refuse clients that ask for an address we do not know them by, and take up leases that we have lost; false leaves them to other servers"`
	LeaseTime     config.Seconds `env:"LEASE_TIME" envDefault:"1h" kind:"a duration such as 90s, 1h or 7d" desc:"lease time of clients that do not ask for one"`
	OfferHold     config.Seconds `env:"OFFER_HOLD" envDefault:"60s" kind:"a duration such as 90s, 1h or 7d" desc:"how long an offered address is held for its client"`
	DeclineTime   config.Seconds `env:"DECLINE_TIME" envDefault:"24h" kind:"a duration such as 90s, 1h or 7d" desc:"how long an address that a client declined is kept back"`

	StoreAt storeVariable

	Recovery bool `env:"RECOVERY" envDefault:"false" desc:"after an old backup was restored: for one lease time from the start, give no client an address that is new to it; unset it again"`

	API apiVariables `envPrefix:"API_"`
}

// rawRest holds the variables that the documentation lists after those of the hooks.
type rawRest struct {
	MetricsListen  config.Listen `env:"METRICS_LISTEN" envDefault:":9567" desc:"where /metrics, /healthz and /readyz are served"`
	MetricsSubnets uint32        `env:"METRICS_SUBNETS" envDefault:"1024" desc:"how many subnets metrics tell apart; those after them in the document are summed as other, but for the 32 fullest of their pools"`
	Settings       daemon.Settings
}

// Reload loads the configuration again. The environment of a process never changes, but the files
// that its X_FILE variables name may have changed. Values that only a restart can change stay, also
// where the subnets document uses them.
func (c Config) Reload() (Config, error) {
	next, err := Load(c.environ)
	if err != nil {
		return next, err
	}
	next.Recovery, next.PeerServerIDs = c.Recovery, c.PeerServerIDs
	fixed := c.defaults
	fixed.Peers = next.defaults.Peers
	if reflect.DeepEqual(fixed, next.defaults) {
		return next, nil
	}
	next.defaults = fixed
	next.Subnets, err = ParseSubnets([]byte(next.document()), fixed)
	return next, err
}

// document returns the text of the subnets document.
func (c Config) document() string {
	for _, v := range c.variables {
		if v.Name == Prefix+"SUBNETS" {
			return v.Value
		}
	}
	return ""
}

// Load reads the environment, in the form of os.Environ, and the subnets
// document. The error is a [config.Mistakes] with everything that is wrong;
// the Config has its list of variables also then.
func Load(environ []string) (Config, error) {
	l := config.New(Prefix, environ)
	var r raw
	l.Parse(&r)
	run := hook.Configure(l, Prefix, hooks.All())
	var rest rawRest
	l.Parse(&rest)
	c := Config{
		environ:       environ,
		Name:          r.Name,
		IPCListen:     r.IPCListen,
		IPCPeers:      r.IPCPeers,
		IPCKeys:       r.IPCKeys,
		IPCOldPeers:   r.IPCOldPeers,
		PeerServerIDs: r.PeerServerIDs,
		Store:         r.StoreAt.Store,
		Recovery:      r.Recovery,
		API:           r.API.in(r.StoreAt.Store),
		Hooks:         run,
		defaults: Defaults{
			ServerID:      r.ServerID,
			PeerServerIDs: r.PeerServerIDs,
			Authoritative: r.Authoritative,
			LeaseTime:     uint32(r.LeaseTime),
			OfferHold:     uint32(r.OfferHold),
			DeclineTime:   uint32(r.DeclineTime),
			Peers:         peerNames(r.IPCPeers),
		},
		settings:  rest.Settings,
		variables: l.Variables(),
	}
	c.MetricsSubnets = int(rest.MetricsSubnets)
	c.settings.MetricsListen = rest.MetricsListen
	c.checkIPC(l, r.IPCInsecure)
	c.checkServerIDs(l)
	c.API.Check(l)
	if r.Subnets != "" {
		var err error
		c.Subnets, err = ParseSubnets([]byte(r.Subnets), c.defaults)
		if mistakes, ok := errors.AsType[document.Mistakes](err); ok {
			for _, m := range mistakes {
				l.Mistake("SUBNETS", m.Error(), "")
			}
		}
		if c.Subnets != nil {
			hook.Complete(l, Prefix, run, c.Subnets)
		}
	}
	return c, l.Err()
}

// CheckRules checks lines of the hook rules against a document that has been read.
func CheckRules(subnets *network.Subnets, lines string) error {
	l := config.New(Prefix, []string{Prefix + "HOOKS=rules", Prefix + "RULES_LINES=" + lines})
	run := hook.Configure(l, Prefix, hooks.All())
	hook.Complete(l, Prefix, run, subnets)
	return l.Err()
}

// checkServerIDs checks the identifiers of RFC 2131 section 4.3.1.
func (c *Config) checkServerIDs(l *config.Loader) {
	if id := c.defaults.ServerID; id.IsValid() && !network.IsHost(id) {
		l.Mistake("SERVER_ID", id.String()+" is not the IPv4 address of a host",
			"give an address that clients can be routed to")
	}
	for i, id := range c.PeerServerIDs {
		switch {
		case !network.IsHost(id):
			l.Mistake("PEER_SERVER_IDS", id.String()+" is not the IPv4 address of a host",
				"give what the peer has as its server identifier")
		case slices.Contains(c.PeerServerIDs[:i], id):
			l.Mistake("PEER_SERVER_IDS", id.String()+" is listed twice", "remove one of them")
		case id == c.defaults.ServerID:
			l.Mistake("PEER_SERVER_IDS", id.String()+" is our own SERVER_ID", "servers of a subnet must differ in it")
		}
	}
	// Mistakes are reported above. The document is checked against the identifiers that are valid.
	if !network.IsHost(c.defaults.ServerID) {
		c.defaults.ServerID = netip.Addr{}
	}
	c.defaults.PeerServerIDs = slices.DeleteFunc(slices.Clone(c.PeerServerIDs), func(id netip.Addr) bool {
		return !network.IsHost(id) || id == c.defaults.ServerID
	})
}
