package listen

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Patterns is a parsed list of interface names and patterns.
type Patterns struct {
	names    []string // without a metacharacter
	patterns []string
	// Indexes of the same, and of the exceptions. Which index an entry has does not matter.
	named, matched, except Index
}

// ParsePatterns reads a list of names ("eth0"), shell patterns ("eth*", "vlan[0-9]", "*") and
// exceptions ("!eth0", "!docker*"). An interface is served when a name or pattern matches and no
// exception does, in whatever order they are. Only a name matches a loopback interface. The error
// holds every mistake.
func ParsePatterns(list []string) (Patterns, error) {
	var ps Patterns
	var errs []error
	for _, entry := range list {
		pattern, except := strings.CutPrefix(entry, "!")
		switch _, err := path.Match(pattern, ""); {
		case pattern == "":
			errs = append(errs, fmt.Errorf("interface pattern %q is empty", entry))
		case err != nil:
			errs = append(errs, fmt.Errorf("interface pattern %q: bracket or backslash without its end", entry))
		case strings.ContainsAny(pattern, "/ \t\n"):
			errs = append(errs,
				fmt.Errorf("interface pattern %q: no interface has a slash or space in its name", entry))
		case !isPattern(pattern) && len(pattern) > maxName:
			errs = append(errs, fmt.Errorf("interface name %q is longer than %d characters", entry, maxName))
		case except:
			ps.except.Add(pattern, 0)
		case isPattern(pattern):
			ps.patterns = append(ps.patterns, pattern)
			ps.matched.Add(pattern, 0)
		default:
			ps.names = append(ps.names, pattern)
			ps.named.Add(pattern, 0)
		}
	}
	if len(errs) == 0 && len(ps.names)+len(ps.patterns) == 0 {
		errs = append(errs, errors.New(`no interface to serve: give a name ("eth0") or a pattern ("eth*")`))
	}
	return ps, errors.Join(errs...)
}

// maxName is ALTIFNAMSIZ less the terminating zero: the alternative names of an interface may be
// longer than its name.
const maxName = 127

// metacharacters are those of patterns.
const metacharacters = `*?[\`

func isPattern(s string) bool { return strings.ContainsAny(s, metacharacters) }

// Match reports whether an interface with these names ([Interface].Names) is to be served.
func (ps *Patterns) Match(loopback bool, names ...string) bool {
	if _, except := ps.except.First(names...); except {
		return false
	}
	if _, named := ps.named.First(names...); named {
		return true
	}
	_, matched := ps.matched.First(names...)
	return matched && !loopback
}

func match(pattern, name string) bool {
	ok, _ := path.Match(pattern, name) // checked by ParsePatterns
	return ok
}

// missing returns the names that no interface has.
func (ps *Patterns) missing(found []device) (absent []string) {
	there := map[string]bool{}
	for i := range found {
		for _, name := range found[i].Names {
			there[name] = true
		}
	}
	for _, n := range ps.names {
		if !there[n] {
			absent = append(absent, n)
		}
	}
	return absent
}

// MissingNames returns the names in a list that no interface of this host has now, and the names of
// the interfaces that there are. A pattern that fits no interface is not missing, unless nothing in
// the list fits any.
func MissingNames(list []string) (missing, there []string, err error) {
	ps, err := ParsePatterns(list)
	if err != nil {
		return nil, nil, err
	}
	found, err := interfaces()
	if err != nil {
		return nil, nil, err
	}
	missing = ps.missing(found)
	if !slices.ContainsFunc(found, func(s device) bool { return ps.Match(s.loopback, s.Names...) }) {
		missing = append(missing, ps.patterns...)
	}
	return missing, names(found), nil
}
