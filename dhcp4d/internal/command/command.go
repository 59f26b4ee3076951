// Package command is what the program does beside serving: dhcp4d leases,
// dhcp4d store and dhcp4d explain.
//
// list, show, release, reserve and export ask a running dhcp4d by its API; history reads the lease
// log;
// import, and export -store, open the store of one that is stopped. All of
// them take the environment of the daemon, and of it only what they need.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/follow"
)

// All are the commands, on a machine with those clocks.
func All(clocks clock.System) []daemon.Command {
	return []daemon.Command{
		{Name: "leases", About: "look at, release, reserve, export and import leases", Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			return leasesCommand(&call{ctx, clocks, environ, stdout, stderr}, args)
		}},
		{Name: "store", About: "check the store of a stopped dhcp4d, and repair it if it is damaged", Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			return stores(&call{ctx, clocks, environ, stdout, stderr}, args)
		}},
		{Name: "trace", About: "follow the packets of one subscriber through a running dhcp4d", Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			return follow.Command(ctx, args, func() (access.Config, error) { return config.LoadAPI(environ) }, stdout, stderr)
		}},
		{Name: "explain", About: "tell which subnet a query would get, and why", Run: explain},
	}
}

// call is one run of a command.
type call struct {
	ctx            context.Context // of the program
	clocks         clock.System
	environ        []string
	stdout, stderr io.Writer
}

// clientFlag is the flag that names the daemon.
func clientFlag(f *flag.FlagSet) *string {
	return f.String("api", "", "`URL` of the API (default http:// and DHCP4D_API_LISTEN)")
}

func (c *call) client(base string) (*access.Client, error) {
	own, err := config.LoadAPI(c.environ)
	if err != nil {
		return nil, err
	}
	return own.Client(base)
}

// action is what leases does.
type action struct {
	name, arguments, about string
	run                    func(c *call, args []string) error
}

func actions() []action {
	return []action{
		{"list", "[filters] [-json]", "list leases", (*call).list},
		{"show", "[-json] ADDRESS", "show what is known of an address", (*call).show},
		{"history", "[-json] [-zone ZONE] [-log PATH] ADDRESS [TIME]", "tell from the lease log who had an address, from when to when; with TIME, at that time", (*call).history},
		{"release", "[-json] ADDRESS", "end a lease, as if its client had given it back, or a quarantine", (*call).release},
		{"reserve", "-client-id ID | -hw-address ADDR [-time T] ADDRESS", "lease an address to a client that has not asked for it yet", (*call).reserve},
		{"export", "[filters] [-format csv|ndjson|json] [-store]", "write leases as a file; -store reads the store of a stopped dhcp4d", (*call).export},
		{"import", "[-dry-run] [-by-id] FILE...", "take leases of Kea (kea-leases4.csv) or of an export into the store of a stopped dhcp4d", (*call).importFiles},
	}
}

func leasesCommand(c *call, args []string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	for _, a := range actions() {
		if a.name == name {
			return helped(a.run(c, args[1:]))
		}
	}
	var b strings.Builder
	for _, a := range actions() {
		fmt.Fprintf(&b, "  dhcp4d leases %s %s\n      %s\n", a.name, a.arguments, a.about)
	}
	if strings.TrimLeft(name, "-") != "h" && name != "-help" && name != "--help" {
		return fmt.Errorf("leases: say what to do:\n%s", b.String())
	}
	_, err := io.WriteString(c.stdout, b.String()+"\nEach explains its flags with -h. The daemon is found by DHCP4D_API_LISTEN, or -api URL, and shown DHCP4D_API_TOKEN.\nThe status is 3 if there is no such lease, 4 if the answer is not known, 1 after any other error.\n")
	return err
}

// flags makes the flags of an action.
func (c *call) flags(name, arguments string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(c.stderr)
	f.Usage = func() {
		_, _ = fmt.Fprintf(c.stderr, "usage: dhcp4d %s %s\n", name, arguments) // there is no other place to say it
		f.PrintDefaults()
	}
	return f
}

// helped takes -h for what it is.
func helped(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// one is the only argument after the flags.
func one(f *flag.FlagSet, what string) (string, error) {
	if f.NArg() != 1 {
		return "", fmt.Errorf("want one %s after the flags, got %d", what, f.NArg())
	}
	return f.Arg(0), nil
}
