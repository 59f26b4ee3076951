package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// patterns is a list of interface names and patterns.
type patterns []string

// maxName is the longest name of an interface: an alternative name may have 127 characters.
const maxName = 127

// UnmarshalText parses a list and checks each entry. At least one entry must not be an exception.
func (p *patterns) UnmarshalText(text []byte) error {
	list := config.Elements(string(text))
	var wrong []error
	included := false
	for _, entry := range list {
		name, except := strings.CutPrefix(entry, "!")
		_, err := path.Match(name, "")
		switch {
		case name == "" || strings.ContainsAny(name, "/! \t"):
			wrong = append(wrong, fmt.Errorf("%q is no name of an interface", entry))
		case err != nil:
			wrong = append(wrong, fmt.Errorf("%q is no pattern: a bracket or backslash lacks its end", entry))
		case !strings.ContainsAny(name, `*?[\`) && len(name) > maxName:
			wrong = append(wrong,
				fmt.Errorf("%q is longer than the %d characters of an interface name", entry, maxName))
		}
		included = included || !except
	}
	if !included {
		wrong = append(wrong, fmt.Errorf("%q takes no interface, it only excepts", text))
	}
	if err := join(wrong); err != nil {
		return err
	}
	*p = list
	return nil
}

// joinSite says whether to join ff05::1:3: true, false or auto.
type joinSite string

const joinAsNeeded joinSite = "auto"

// UnmarshalText parses true, false or auto.
func (j *joinSite) UnmarshalText(text []byte) error {
	switch v := joinSite(text); v {
	case "true", "false", joinAsNeeded:
		*j = v
		return nil
	}
	return fmt.Errorf("%q is none of true, false, auto", text)
}

// with resolves auto: it returns whether to join with these prefixes of relays.
func (j joinSite) with(relays []netip.Prefix) bool {
	return j == "true" || (j == joinAsNeeded && len(relays) > 0)
}

// join makes one line of several errors.
func join(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	lines := make([]string, len(errs))
	for i, err := range errs {
		lines[i] = err.Error()
	}
	return errors.New(strings.Join(lines, ", "))
}

// checkPrefixes checks a list of IPv6 prefixes.
func checkPrefixes(l *config.Loader, name string, prefixes []netip.Prefix) {
	for _, p := range prefixes {
		if !p.Addr().Is6() || p.Addr().Is4In6() {
			l.Mistake(name, p.String()+" is no IPv6 prefix", "DHCPv6 relays have IPv6 addresses")
		}
		switch {
		case config.LinkLocal(p):
			l.Mistake(name, p.String()+" holds link-local addresses only, which name no relay beyond its link",
				"a relay with such an address is taken on the interfaces in "+Prefix+"LDRA_INTERFACES")
		case config.NoHost(p):
			l.Mistake(name, p.String()+" holds no address that a datagram can come from",
				"give the prefixes of the relays' own addresses")
		}
		if p != p.Masked() {
			l.Mistake(name, fmt.Sprintf("%v has bits set after its length", p), "did you mean "+p.Masked().String()+"?")
		}
	}
}

// checkLink checks the variables of the clients' side.
func (c *Config) checkLink(l *config.Loader) {
	checkPrefixes(l, "RELAYS", c.Relays)
	checkPrefixes(l, "LDRA_LINKS", c.LDRALinks)
	if len(c.LDRALinks) > 0 && len(c.Relays) == 0 {
		l.Mistake("LDRA_LINKS", "no relay is listed that could name a link",
			"list the relays in "+Prefix+"RELAYS; for lightweight relay agents on an interface of dhcp6d set "+
				Prefix+"LDRA_INTERFACES")
	}
	if c.ServerPort == 0 && l.Variable("SERVER_PORT").Value == "0" { // else it was no number at all
		l.Mistake("SERVER_PORT", "0 is no port", "leave it unset for 547")
	}
	if s := c.Source; s.IsValid() &&
		(!s.Is6() || s.Is4In6() || s.Zone() != "" || s.IsMulticast() || s.IsUnspecified()) {
		l.Mistake("SOURCE", s.String()+" cannot be the source of an answer",
			"give a unicast IPv6 address of this host, without zone")
	}
}
