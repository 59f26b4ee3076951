package config

import (
	"fmt"
	"slices"
)

// warn notes what is valid but probably not meant.
func (c *Config) warn() {
	c.warnings = append(c.warnings, c.API.Warnings()...)
	if n, weak := c.IPCKeys.Weak(); weak {
		c.warnings = append(c.warnings,
			fmt.Sprintf("key %d of "+Prefix+"IPC_KEYS has fewer than 16 octets and may be guessed; make one with: "+
				"head -c 32 /dev/urandom | base64", n))
	}
	for _, b := range c.Backends {
		hasRange := slices.ContainsFunc(c.Ranges, func(r Range) bool { return r.Backend == b.Name })
		if len(c.Backends) > 1 && !b.Kea && !hasRange {
			c.warnings = append(c.warnings,
				"no range of "+Prefix+"IPC_RANGES is "+b.Name+"'s: a client that comes from or goes to another "+
					"dhcp4d, also when one is added, loses its lease, unless they share a database")
		}
	}
	const effect = "a client that takes the first Reply may end up with none: set " + Prefix + "DNS_SERVERS"
	if c.Options.Any() && len(c.Options.DNSServers) == 0 {
		c.warnings = append(c.warnings, "Information-requests are answered without DNS servers; "+effect)
	}
	if len(c.Services.List) > 0 && len(c.Options.DNSServers) == 0 {
		c.warnings = append(c.warnings,
			"Information-requests for options of "+Prefix+"LINKS are answered without DNS servers; "+effect)
	}
	for _, l := range c.LinkOptions {
		if l.Options.Any() && len(l.Options.DNSServers) == 0 {
			c.warnings = append(c.warnings,
				fmt.Sprintf("Information-requests on %s (%sLINK_OPTIONS) are answered without DNS servers; %s, or "+
					"DNS_SERVERS on that line", l.name(), Prefix, effect))
		}
	}
}
