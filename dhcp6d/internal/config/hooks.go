package config

import (
	"fmt"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/filter"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// aclVariables are the variables of the hook acl.
type aclVariables struct {
	Allow []filter.Rule `env:"ALLOW" kind:"list of prefix=…, interface-id=…, remote-id=enterprise:…; an id is text or 0x and hex" reload:"true" desc:"hook acl: serve only these, and nobody else"`
	Deny  []filter.Rule `env:"DENY" kind:"list as for ALLOW" reload:"true" desc:"hook acl: never serve these, whatever ALLOW says"`
}

// checkHooks checks the list of hooks against what is shipped and what is
// configured for them.
func (c *Config) checkHooks(l *config.Loader) {
	for i, name := range c.Hooks {
		switch {
		case name != filter.ACLName:
			l.Mistake("HOOKS", "there is no hook "+name, "there is: "+filter.ACLName)
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

// warn notes what is valid and probably not meant.
func (c *Config) warn() {
	if n, weak := c.IPCKeys.Weak(); weak {
		c.warnings = append(c.warnings, fmt.Sprintf("key %d of "+Prefix+"IPC_KEYS has fewer than 16 octets and may be guessed; make one with: head -c 32 /dev/urandom | base64", n))
	}
	if c.Options.Any() && len(c.Options.DNSServers) == 0 {
		c.warnings = append(c.warnings, "Information-requests are answered without DNS servers; a client that takes the first Reply may end up with none: set "+Prefix+"DNS_SERVERS")
	}
}
