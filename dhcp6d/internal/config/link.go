package config

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// patterns is a list of interface names and patterns.
type patterns []string

// maxName is the longest name of an interface.
const maxName = 15

// UnmarshalText takes a list and checks each entry; at least one of them must
// be no exception.
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
			wrong = append(wrong, fmt.Errorf("%q is longer than the %d characters of an interface name", entry, maxName))
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

// checkLink checks what concerns the clients' side.
func (c *Config) checkLink(l *config.Loader) {
	for _, p := range c.Relays {
		if !p.Addr().Is6() || p.Addr().Is4In6() {
			l.Mistake("RELAYS", p.String()+" is no IPv6 prefix", "DHCPv6 relays have IPv6 addresses")
		}
		if p != p.Masked() {
			l.Mistake("RELAYS", fmt.Sprintf("%v has bits set after its length", p), "did you mean "+p.Masked().String()+"?")
		}
	}
	if c.ServerPort == 0 && l.Variable("SERVER_PORT").Value == "0" { // else it was no number at all
		l.Mistake("SERVER_PORT", "0 is no port", "leave it unset for 547")
	}
	if s := c.Source; s.IsValid() && (!s.Is6() || s.Is4In6() || s.Zone() != "" || s.IsMulticast() || s.IsUnspecified()) {
		l.Mistake("SOURCE", s.String()+" cannot be the source of an answer", "give a unicast IPv6 address of this host, without zone")
	}
}
