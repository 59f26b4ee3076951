// Dhcp4d-radius asks RADIUS servers whether clients of dhcp4d are served and what they get, keeps
// accounts of their leases, and disconnects clients when a server says so. dhcp4d connects to it by
// the hook outside. docs/radius.md has the settings.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/radius"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

// version is set by the linker.
var version = "devel"

func main() {
	// There is nothing to reload, and nobody may be there to read the log. To systemd an end by
	// these signals would be a good one, after which it does not restart.
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr)
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "dhcp4d-radius:", err)
		os.Exit(1)
	}
}

// description is what the manual says.
func description(f *flag.FlagSet) manual.Program {
	p := manual.Program{
		Name: "dhcp4d-radius", Section: 8, About: "RADIUS for clients of dhcp4d",
		Description: []string{
			"It asks RADIUS servers whether clients are served and what they get, keeps accounts of their leases, " +
				"and disconnects clients when a server says so. dhcp4d connects to it by the hook outside.",
			"It is configured by variables of the environment. X_FILE names a file that holds the value of X.",
		},
		Statuses: []manual.Status{{Code: 0, About: "Success"}, {Code: 1, About: "Any error"}},
	}
	var flags []manual.Flag
	f.VisitAll(func(x *flag.Flag) { flags = append(flags, manual.Flag{Name: x.Name, About: x.Usage}) })
	p.Commands = []manual.Command{{Arguments: "[flags]", Flags: flags}}
	for _, v := range radius.Variables() {
		p.Variables = append(p.Variables,
			manual.Variable{Name: v.Name, Kind: v.Kind, Default: v.Default, About: v.Meaning})
	}
	return p
}

func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("dhcp4d-radius", flag.ContinueOnError)
	f.SetOutput(stderr)
	check := f.Bool("check", false, "check the configuration and exit")
	tell := f.Bool("version", false, "tell the version and exit")
	if len(args) > 0 && args[0] == manual.Word {
		p := description(f)
		return p.Write(stdout, args[1:])
	}
	manual.Brief(f, "[flags]")
	if err := f.Parse(args); err != nil {
		return err
	}
	if *tell {
		_, err := fmt.Fprintln(stdout, "dhcp4d-radius", version)
		return err
	}
	c, err := radius.Load(environ)
	if err != nil || *check {
		return err
	}
	api, err := access.Config{Prefix: radius.Prefix, Token: c.APIToken, Home: "API_TOKEN"}.Client(c.API)
	if err != nil {
		return err
	}
	end := func(ctx context.Context, a netip.Addr) error {
		body, err := api.Do(ctx, "DELETE", "/v1/leases/"+a.String(), nil, nil)
		if err != nil {
			return err
		}
		return body.Close()
	}
	return radius.New(ctx, c, daemon.NewLogger(stderr, daemon.Text, slog.LevelInfo), end).Run()
}
