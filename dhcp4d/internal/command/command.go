// Package command has what dhcp4d does beside serving: its commands, which [All] lists.
//
// Of dhcp4d leases, the actions list, show, release, reserve and export ask a running dhcp4d by its
// API. history reads the lease log. import, and export -store, open the store of a stopped dhcp4d.
// Each command reads the environment of the daemon, and only the variables that it needs.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/follow"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// All are the commands, on a machine with those clocks.
func All(clocks clock.System) []daemon.Command {
	type command func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error
	of := func(run func(c *call, args []string) error) command {
		return func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			return helped(run(&call{ctx, clocks, environ, stdout, stderr}, args))
		}
	}
	return []daemon.Command{
		{Name: "subnets", About: descriptionOf("subnets").About, Run: of((*call).subnets)},
		{Name: "leases", About: "look at, release, reserve, export and import leases",
			Actions: names(actions()), Run: of(leasesCommand)},
		{Name: "store", About: "check the store of a stopped dhcp4d, and repair it if it is damaged",
			Actions: names(storeActions()), Run: of(stores)},
		{Name: "trace", About: follow.About + " a running dhcp4d", Run: followTrace},
		{Name: "explain", About: descriptionOf("explain").About, Run: explain},
		{Name: "import-config", About: descriptionOf("import-config").About, Run: of((*call).importConfig)},
		{Name: "schema", About: descriptionOf("schema").About, Run: of((*call).schema)},
	}
}

func followTrace(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	return follow.Command(ctx, args, func() (access.Config, error) { return config.LoadAPI(environ) }, stdout, stderr)
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

// action is what leases or store does.
type action struct {
	name, arguments, about string
	more                   string // of its help, may be empty
	run                    func(c *call, args []string) error
}

func names(all []action) (names []string) {
	for _, a := range all {
		names = append(names, a.name)
	}
	return names
}

func actions() []action {
	return []action{
		{"list", "[filters] [-json]", "list leases", "", (*call).list},
		{"show", "[-json] ADDRESS", "show what is known of an address", "", (*call).show},
		{"history", "[-json] [-zone ZONE] [-log PATH] ADDRESS [TIME]",
			"tell from the lease log who had an address, from when to when; with TIME, at that time",
			`TIME has a time zone, as in 2026-11-29T08:00:00Z, "2026-11-29 08:00 +01:00" or ` +
				`"2026-11-29 08:00 Europe/Vienna".`, (*call).history},
		{"release", "[-json] ADDRESS", "end a lease, as if its client had given it back, or a quarantine", "", (*call).release},
		{"reserve", "-client-id ID | -hw-address ADDR [-time T] ADDRESS",
			"lease an address to a client that has not asked for it yet", "", (*call).reserve},
		{"export", "[filters] [-format csv|ndjson|json] [-store]",
			"write leases as a file; -store reads the store of a stopped dhcp4d", "", (*call).export},
		{"import", "[-dry-run] [-by-id] FILE...", "take leases of Kea (kea-leases4.csv) or of an export into the " +
			"store of a stopped dhcp4d", "", (*call).importFiles},
	}
}

// descriptionOf is the description of a command by its words.
func descriptionOf(words string) manual.Command {
	first, second, _ := strings.Cut(words, " ")
	var all []action
	switch first {
	case "leases":
		all = actions()
	case "store":
		all = storeActions()
	default:
		second, all = first, []action{
			{"subnets", "[-subnet ID|NAME] [-json]", "list subnets and pools by use, the fullest first", "", nil},
			{"explain", "[flags that describe the query]", "tell which subnet a query would get, and why", "", nil},
			{"import-config", "[-dir DIRECTORY] FILE", "write the subnets document that a configuration of Kea's " +
				"DHCPv4 server becomes, and say line by line what was taken, changed and left", "", nil},
			{"schema", "[-reservations-file]", "print the JSON Schema of the subnets document, with which editors complete and check it", "", nil},
		}
	}
	for _, a := range all {
		if a.name == second {
			return manual.Command{Words: words, Arguments: a.arguments, About: a.about, More: a.more}
		}
	}
	panic("command: no description of " + words)
}

// usageOf lists the actions of a command.
func usageOf(command string, all []action) string {
	var b strings.Builder
	for _, a := range all {
		fmt.Fprintf(&b, "  dhcp4d %s %s\n      %s\n", command, strings.TrimSpace(a.name+" "+a.arguments), a.about)
	}
	return b.String()
}

// act runs the action that the first argument names. help is what is said behind the list of them.
func (c *call) act(command string, all []action, args []string, help string) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	for _, a := range all {
		if a.name == name {
			return a.run(c, args[1:])
		}
	}
	if !strings.HasPrefix(name, "-") || (strings.TrimLeft(name, "-") != "h" && strings.TrimLeft(name, "-") != "help") {
		problem := "say what to do"
		if name != "" {
			problem = fmt.Sprintf("%q is not understood; say what to do", name)
			if near := spelling.Nearest(name, names(all), 2); near != "" {
				problem = fmt.Sprintf("%q is not understood, did you mean %s? There are", name, near)
			}
		}
		return fmt.Errorf("%s: %s:\n%s", command, problem, usageOf(command, all))
	}
	_, err := io.WriteString(c.stdout, usageOf(command, all)+help)
	return err
}

func leasesCommand(c *call, args []string) error {
	return c.act("leases", actions(), args, "\nEach explains its flags with -h. The daemon is found by "+
		"DHCP4D_API_LISTEN, or -api URL, and shown DHCP4D_API_TOKEN.\n"+
		"The status is 3 if there is no such lease, 4 if the answer is not known, 1 after any other error.\n")
}

// flags makes the flags of a command with some words.
func (c *call) flags(words string) *flag.FlagSet {
	return manual.Flags("dhcp4d", descriptionOf(words), c.stderr)
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
		return "", fmt.Errorf("%s: want one %s after the flags, got %d", strings.TrimPrefix(f.Name(), "dhcp4d "), what,
			f.NArg())
	}
	return f.Arg(0), nil
}

// oneAddress is one that is an IPv4 address.
func oneAddress(f *flag.FlagSet) (netip.Addr, error) {
	text, err := one(f, "address")
	if err != nil {
		return netip.Addr{}, err
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() {
		return a, fmt.Errorf("%s: %q is no IPv4 address", strings.TrimPrefix(f.Name(), "dhcp4d "), text)
	}
	return a, nil
}
