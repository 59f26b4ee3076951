package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

const explainAbout = "tell what the CE with an IPv6 prefix gets by DHCP6D_LINKS: address, ports, and the octets of " +
	"the options"

// explainCE is the command explain-ce. It asks no daemon: it reads the document of the environment.
func explainCE(_ context.Context, args, environ []string, stdout, stderr io.Writer) error {
	f := manual.Flags("dhcp6d", manual.Command{Words: "explain-ce", Arguments: "PREFIX", About: explainAbout,
		More: "PREFIX is the CE's end-user prefix, such as 2001:db8:12:3400::/56. Each entry of the document that " +
			"has a rule or binding for it is told of."}, stderr)
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if f.NArg() != 1 {
		return errors.New("explain-ce: give the end-user prefix of the CE, such as 2001:db8:12:3400::/56")
	}
	end, err := netip.ParsePrefix(f.Arg(0))
	switch {
	case err != nil || !end.Addr().Is6() || end.Addr().Is4In6():
		return fmt.Errorf("explain-ce: %q is no IPv6 prefix; give one such as 2001:db8:12:3400::/56", f.Arg(0))
	case end != end.Masked():
		return fmt.Errorf("explain-ce: %v has bits set behind its length; did you mean %v?", end, end.Masked())
	}
	services, err := config.LoadServices(environ)
	if err != nil {
		return err
	}
	var out strings.Builder
	for i, s := range services.List {
		var told strings.Builder
		tellService(&told, s, end)
		if told.Len() > 0 {
			fmt.Fprintf(&out, "links[%d], line %d, for %v\n%s%s", i, s.Line, s, told.String(), octetsOf(s))
		}
	}
	if out.Len() == 0 {
		return exit.NotFound(fmt.Errorf("explain-ce: no rule or binding of DHCP6D_LINKS is for a CE with the prefix "+
			"%v: none has a prefix that it is in, or it lacks EA bits", end))
	}
	_, err = io.WriteString(stdout, out.String())
	return err
}

// tellService tells what a CE gets by each mechanism of a service. It tells nothing if no rule or
// binding is for the CE.
func tellService(b *strings.Builder, s config.Service, end netip.Prefix) {
	for _, m := range s.MAPE {
		if i := softwire.Basic(m.Rules, end); i >= 0 {
			tellRule(b, "MAP-E", m.Rules[i], end)
			tell(b, "border relays", list(m.BorderRelays))
		}
	}
	if m := s.MAPT; m != nil {
		if i := softwire.Basic(m.Rules, end); i >= 0 {
			tellRule(b, "MAP-T", m.Rules[i], end)
			tell(b, "default prefix", m.Default.String())
		}
	}
	if l := s.LW4o6; l != nil && l.Binding != nil && l.Binding.IPv6.Overlaps(end) {
		if l.Binding.IPv6.Bits() > end.Bits() {
			end = l.Binding.IPv6
		}
		fmt.Fprintf(b, "  lw4o6, bound to %v\n", l.Binding.IPv6)
		tellCE(b, l.Binding.CE(end))
		tell(b, "border relays", list(l.BorderRelays))
	}
	if w := s.Softwire; w != nil && w.Bind.IsValid() && w.Bind.Overlaps(end) {
		fmt.Fprintf(b, "  softwire for 4o6, bound to %v\n", w.Bind)
		tell(b, "IPv4 address", "by 4o6")
		tell(b, "border relays", list(w.BorderRelays))
	}
}

func tellRule(b *strings.Builder, name string, r softwire.Rule, end netip.Prefix) {
	fmt.Fprintf(b, "  %s, rule %v to %v with %d EA bits\n", name, r.IPv6, r.IPv4, r.EABits)
	tellCE(b, r.CE(end))
}

func tellCE(b *strings.Builder, ce softwire.CE) {
	if ce.IPv4.Bits() < 32 {
		tell(b, "IPv4 prefix", ce.IPv4.String())
	} else {
		tell(b, "IPv4 address", ce.IPv4.Addr().String())
	}
	if p := ce.Ports; p.Length > 0 {
		tell(b, "PSID", fmt.Sprintf("%#x, %d bits behind %d, one of %d CEs", p.PSID, p.Length, p.Offset, 1<<p.Length))
		var ports int
		var ranges []string
		for _, r := range p.Ranges() {
			ports += int(r.Last-r.First) + 1
			ranges = append(ranges, fmt.Sprintf("%d-%d", r.First, r.Last))
		}
		tell(b, "ports", fmt.Sprintf("%d in %d ranges", ports, len(ranges)))
		for len(ranges) > 0 {
			n := min(6, len(ranges))
			tell(b, "", strings.Join(ranges[:n], " "))
			ranges = ranges[n:]
		}
	} else {
		tell(b, "ports", "all")
	}
	tell(b, "IPv6 address", ce.Address.String())
}

func tell(b *strings.Builder, what, value string) { fmt.Fprintf(b, "    %-15s %s\n", what, value) }

func list(addresses []netip.Addr) string {
	var all []string
	for _, a := range addresses {
		all = append(all, a.String())
	}
	return strings.Join(all, ", ")
}

// octetsOf tells the options of a service as they are sent.
func octetsOf(s config.Service) string {
	var b strings.Builder
	for _, o := range s.Options() {
		rest := dhcp6.AppendOption(nil, dhcp6.Code(o.Code), o.Data)
		fmt.Fprintf(&b, "  option %d, %d octets\n", o.Code, len(rest))
		for len(rest) > 0 {
			n := min(16, len(rest))
			fmt.Fprintf(&b, "    % x\n", rest[:n])
			rest = rest[n:]
		}
	}
	return b.String()
}
