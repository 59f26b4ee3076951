package config

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// LinkOptions are the options for an Information-request on one link. Exactly one of the first two
// fields is set.
type LinkOptions struct {
	// Interface is a name or pattern.
	Interface string
	// Link is the prefix of the address by which a relay names the link.
	Link    netip.Prefix
	Options answer.Options
}

// linkEntry is a line as it is written: a link, and variables with their values.
type linkEntry struct {
	link     LinkOptions
	settings []string // in the form of os.Environ
}

// linkEntries are all lines.
type linkEntries []linkEntry

// UnmarshalText parses lines, or entries separated by semicolons. Each is a link and
// "VARIABLE=value", with blanks between them.
func (e *linkEntries) UnmarshalText(text []byte) error {
	var entries linkEntries
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == ';' }) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		entry := linkEntry{settings: fields[1:]}
		p, err := netip.ParsePrefix(fields[0])
		switch {
		case err == nil && (config.LinkLocal(p) || config.NoHost(p)):
			return fmt.Errorf("%q names no link, because no relay names one by such an address; "+
				"for clients whose link no relay names give the interface", fields[0])
		case err == nil && p.Addr().Is6() && !p.Addr().Is4In6() && p == p.Masked():
			entry.link.Link = p
		case strings.Contains(fields[0], "/"):
			return fmt.Errorf("%q is no IPv6 prefix", fields[0])
		default:
			if _, err := path.Match(fields[0], ""); err != nil || strings.ContainsAny(fields[0], "=!") {
				return fmt.Errorf("%q begins with neither an interface nor the prefix of a link", line)
			}
			entry.link.Interface = fields[0]
		}
		for _, s := range entry.settings {
			if !strings.Contains(s, "=") {
				return fmt.Errorf("%q is no VARIABLE=value", s)
			}
		}
		entries = append(entries, entry)
	}
	*e = entries
	return nil
}

// optionNames are the variables that an entry may hold.
var optionNames = []string{"4O6_SERVERS", "DNS_SERVERS", "DOMAIN_SEARCH", "NTP_SERVERS",
	"INFORMATION_REFRESH_TIME", "SOL_MAX_RT", "INF_MAX_RT", "OPTIONS"}

// check makes wire values of the entries. Variables that an entry does not mention have their
// general values.
func (e linkEntries) check(l *config.Loader) []LinkOptions {
	var all []string
	for _, name := range optionNames {
		if v := l.Variable(name).Value; v != "" {
			all = append(all, name+"="+v)
		}
	}
	var links []LinkOptions
	for _, entry := range e {
		one := config.New("", slices.Concat(all, entry.settings))
		var v optionVariables
		one.Parse(&v)
		link := entry.link
		link.Options = v.check(one)
		if mistakes, ok := errors.AsType[config.Mistakes](one.Err()); ok {
			for _, m := range mistakes {
				l.Mistake("LINK_OPTIONS", link.name()+": "+m.Error(), "")
			}
		}
		links = append(links, link)
	}
	return links
}

func (o LinkOptions) name() string {
	if o.Link.IsValid() {
		return o.Link.String()
	}
	return o.Interface
}
