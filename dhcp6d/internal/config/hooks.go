package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// aclVariables are the variables of the hook acl.
type aclVariables struct {
	Allow []filter.Rule `env:"ALLOW" kind:"list of prefix=…, interface-id=…, remote-id=enterprise:…; an id is text or 0x and hex" reload:"true" desc:"hook acl: serve only these, and nobody else"`
	Deny  []filter.Rule `env:"DENY" kind:"list as for ALLOW" reload:"true" desc:"hook acl: never serve these, whatever ALLOW says"`
}

// rateLimitVariables are the variables of the hook ratelimit.
type rateLimitVariables struct {
	Rate       uint32 `env:"RATE" envDefault:"10" reload:"true" desc:"hook ratelimit: messages per second that are taken from one attachment point (client and Interface-Id behind a relay, else source address, or its /64 unless link-local); 0 is no limit"`
	Burst      uint32 `env:"BURST" envDefault:"20" reload:"true" desc:"hook ratelimit: messages that one attachment point may send at once"`
	TotalRate  uint32 `env:"TOTAL_RATE" envDefault:"0" reload:"true" desc:"hook ratelimit: messages per second that are taken in all; 0 is no limit"`
	TotalBurst uint32 `env:"TOTAL_BURST" envDefault:"0" reload:"true" desc:"hook ratelimit: messages in all at once; 0 is what TOTAL_RATE gives in a tenth of a second"`
}

// limit is the variables in the hook's terms.
func (v rateLimitVariables) limit() filter.RateLimit {
	if v.TotalBurst == 0 {
		v.TotalBurst = v.TotalRate / 10
	}
	return filter.RateLimit{Rate: int(v.Rate), Burst: int(v.Burst), TotalRate: int(v.TotalRate), TotalBurst: int(v.TotalBurst)}
}

// hooks are those that there are.
var hooks = []string{filter.ACLName, filter.RateLimitName}

// checkHooks checks the list of hooks against what is shipped and what is
// configured for them.
func (c *Config) checkHooks(l *config.Loader) {
	for i, name := range c.Hooks {
		switch {
		case !slices.Contains(hooks, name):
			l.Mistake("HOOKS", "there is no hook "+name, "there are: "+strings.Join(hooks, ", "))
		case slices.Contains(c.Hooks[:i], name):
			l.Mistake("HOOKS", name+" is listed twice", "remove one of them")
		}
	}
	configured := len(c.ACL.Allow)+len(c.ACL.Deny) > 0
	switch listed := slices.Contains(c.Hooks, filter.ACLName); {
	case listed && !configured && l.Variable("ACL_ALLOW").Source == "" && l.Variable("ACL_DENY").Source == "":
		l.Mistake("HOOKS", "the hook acl has nothing to do", "set "+Prefix+"ACL_ALLOW or "+Prefix+"ACL_DENY")
	case !listed && configured:
		l.Mistake("HOOKS", "the hook acl is configured and not listed", "add acl, or unset "+Prefix+"ACL_ALLOW and "+Prefix+"ACL_DENY")
	}
}

// checkRateLimit checks that a configured limit is in force and limits.
func (c *Config) checkRateLimit(l *config.Loader) {
	listed, configured := slices.Contains(c.Hooks, filter.RateLimitName), false
	for _, name := range []string{"RATE", "BURST", "TOTAL_RATE", "TOTAL_BURST"} {
		configured = configured || l.Variable("RATELIMIT_"+name).Source != ""
	}
	r := c.RateLimit
	switch {
	case !listed && configured:
		l.Mistake("HOOKS", "the hook ratelimit is configured and not listed", "add ratelimit, or unset "+Prefix+"RATELIMIT_*")
	case r.Rate > maxRate || r.TotalRate > maxRate:
		l.Mistake("RATELIMIT_RATE", fmt.Sprintf("more than %d per second is no limit", maxRate), "give 0 for none")
	case r.Rate > 0 && r.Burst == 0:
		l.Mistake("RATELIMIT_BURST", "0 lets nobody send anything", "give 2 or more: an exchange is two messages")
	case listed && r.Rate == 0 && r.TotalRate == 0:
		l.Mistake("HOOKS", "the hook ratelimit has nothing to do", "set "+Prefix+"RATELIMIT_RATE or "+Prefix+"RATELIMIT_TOTAL_RATE")
	}
}

// maxRate is a message per microsecond.
const maxRate = 1_000_000

// warn notes what is valid and probably not meant.
func (c *Config) warn() {
	if n, weak := c.IPCKeys.Weak(); weak {
		c.warnings = append(c.warnings, fmt.Sprintf("key %d of "+Prefix+"IPC_KEYS has fewer than 16 octets and may be guessed; make one with: head -c 32 /dev/urandom | base64", n))
	}
	for _, b := range c.Backends {
		if len(c.Backends) > 1 && !b.Kea && !slices.ContainsFunc(c.Ranges, func(r Range) bool { return r.Backend == b.Name }) {
			c.warnings = append(c.warnings, "no range of "+Prefix+"IPC_RANGES is "+b.Name+"'s: a client that comes from or goes to another dhcp4d, also when one is added, loses its lease unless they share a store")
		}
	}
	const effect = "a client that takes the first Reply may end up with none: set " + Prefix + "DNS_SERVERS"
	if c.Options.Any() && len(c.Options.DNSServers) == 0 {
		c.warnings = append(c.warnings, "Information-requests are answered without DNS servers; "+effect)
	}
	for _, l := range c.LinkOptions {
		if l.Options.Any() && len(l.Options.DNSServers) == 0 {
			c.warnings = append(c.warnings, fmt.Sprintf("Information-requests on %s (%sLINK_OPTIONS) are answered without DNS servers; %s, or DNS_SERVERS on that line",
				l.name(), Prefix, effect))
		}
	}
}
