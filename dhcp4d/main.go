// Dhcp4d is the DHCPv4 server behind dhcp6d. It leases IPv4 addresses to clients whose messages
// come in DHCPv6 (RFC 7341).
package main

import (
	"context"
	"io"
	"path/filepath"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/command"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	shared "github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// version is set by the linker.
var version = "devel"

func main() { daemon.Main(run) }

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	machine, err := clock.NewMachine()
	if err != nil {
		return err
	}
	return runOn(ctx, machine, args, environ, stdout, stderr)
}

// runOn is run on a machine with the given clocks.
func runOn(ctx context.Context, sys clock.System, args, environ []string, stdout, stderr io.Writer) error {
	return daemon.Program[config.Config]{
		Daemon:  drop.DHCP4D,
		Version: version,
		About:   "the address half of DHCPv4 over DHCPv6",
		Load:    config.Load,
		Host:    func(c config.Config) []string { return append(missing(c), command.Unrenewed(sys)(c)...) },
		Serve: func(ctx context.Context, rt *daemon.Runtime, c config.Config) error {
			return serve(ctx, rt, c, clock.New(sys))
		},
		Switches: []daemon.Switch{{
			Flag: "-recovery", Variable: config.Prefix + "RECOVERY=true",
			About: "after an old backup was restored: for one lease time no client gets an address that is new to it",
		}},
		Commands: append(command.All(sys), resetClock(sys), hookTest(sys)),
	}.Run(ctx, args, environ, stdout, stderr)
}

// missing returns warnings about what this host lacks of what a configuration needs.
func missing(c config.Config) (warnings []string) {
	for _, w := range []string{
		daemon.HasAddress(config.Prefix+"IPC_LISTEN", c.IPCListen.Addr()),
		daemon.Listens(config.Prefix+"API_LISTEN", shared.Listen(c.API.Listen)),
	} {
		if w != "" {
			warnings = append(warnings, w)
		}
	}
	if c.Store.Dir != "" { // the store makes only the last element of the path
		if w := shared.MissingDirectory(filepath.Dir(c.Store.Dir)); w != "" {
			warnings = append(warnings, config.Prefix+"STORE: "+w)
		}
	}
	return append(warnings, hook.Missing(config.Prefix, c.Hooks)...)
}
