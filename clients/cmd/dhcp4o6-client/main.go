// Dhcp4o6-client is a DHCPv4-over-DHCPv6 client (RFC 7341) for labs. It does what a CPE does: it
// learns the servers from option 88 and asks for it again in time, obtains a lease, renews and
// rebinds it, and starts again when it is refused. At the end it gives the lease back. It prints a
// line of text or JSON for each change. With -configure it also configures an interface.
//
//	dhcp4o6-client -i eth0                    runs until SIGINT or SIGTERM
//	dhcp4o6-client -i eth0 -once -json        one lease, kept
//	dhcp4o6-client -i eth0 -state lease.json  asks for its former address after a restart
//	dhcp4o6-client -i eth0 -configure eth0    and uses it there
//	dhcp4o6-client -i eth0 -relays 2 -source 2001:db8::9 -link 2001:db8:1::1
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/program"
)

func main() {
	program.Main("dhcp4o6-client", func(ctx context.Context, args []string) error { return run(ctx, args, os.Stdout) })
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s := settings{report: reporter{out: out}}
	if done, err := s.parse(args); done {
		return err
	}
	o, err := s.options()
	if err != nil {
		return err
	}
	session, r := &s.session, &s.report
	if s.configure != "" {
		if r.configurer, err = newConfigurer(s.configure, int(s.metric)); err != nil {
			return err
		}
	}
	if session.Former, err = r.load(); err != nil {
		return err
	}
	socket, err := client.Listen(s.name, s.local())
	if err != nil {
		return err
	}
	defer socket.Close()
	if session.Client, err = client.New(socket, o); err != nil {
		return err
	}
	r.client, session.Changed = session.Client, r.changed
	if s.prefix {
		if err := r.delegated(ctx); err != nil {
			return err
		}
	}
	err = session.Run(ctx)
	if r.configurer != nil && !session.Once {
		err = errors.Join(err, r.configurer.remove())
	}
	return err
}
