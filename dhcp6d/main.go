// Dhcp6d serves DHCPv4 over DHCPv6 (RFC 7341) on a link. It sends the DHCPV4-QUERY messages of
// clients and relays to a DHCPv4 server behind it, and brings back the DHCPV4-RESPONSEs.
package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/follow"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// version is set by the linker.
var version = "devel"

func main() { daemon.Main(run) }

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[config.Config]{
		Daemon:  drop.DHCP6D,
		Version: version,
		About:   "the link's half of DHCPv4 over DHCPv6",
		Load:    config.Load,
		Serve:   serve,
		Host:    host,
		Commands: []daemon.Command{
			hookTest(),
			{Name: "explain-ce", About: explainAbout, Run: explainCE},
			{Name: "trace", About: follow.About + " a running dhcp6d", Run: followTrace},
		},
	}.Run(ctx, args, environ, stdout, stderr)
}

func followTrace(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return follow.Command(ctx, args, func() (access.Config, error) { return config.LoadAPI(environ) }, stdout, stderr)
}

// host returns warnings about what this host lacks of what a configuration needs.
func host(c config.Config) (warnings []string) {
	named := map[string][]string{"INTERFACES": c.Interfaces, "LDRA_INTERFACES": c.LDRAInterfaces}
	for _, l := range c.LinkOptions {
		if l.Interface != "" {
			named["LINK_OPTIONS"] = append(named["LINK_OPTIONS"], l.Interface)
		}
	}
	for _, s := range c.Services.List {
		if s.Interface != "" {
			named["LINKS"] = append(named["LINKS"], s.Interface)
		}
	}
	for _, l := range c.DHCPv6Links {
		named["DHCPV6_LINK_ADDRESSES"] = append(named["DHCPV6_LINK_ADDRESSES"], l.Interface)
	}
	for _, variable := range slices.Sorted(maps.Keys(named)) {
		if len(named[variable]) == 0 {
			continue
		}
		missing, there, err := listen.MissingNames(named[variable])
		if err == nil && len(missing) > 0 {
			warnings = append(warnings, fmt.Sprintf("%s%s: %s fits no interface now (there are: %s); correct the "+
				"name, or dhcp6d serves it as soon as it exists",
				config.Prefix, variable, strings.Join(missing, ", "), strings.Join(there, ", ")))
		}
	}
	for _, w := range []string{
		daemon.HasAddress(config.Prefix+"SOURCE", c.Source),
		daemon.HasAddress(config.Prefix+"IPC_LISTEN", c.IPCListen.Addr()),
		daemon.Listens(config.Prefix+"API_LISTEN", shared.Listen(c.API.Listen)),
	} {
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	return append(warnings, hook.Missing(config.Prefix, c.Hooks)...)
}
