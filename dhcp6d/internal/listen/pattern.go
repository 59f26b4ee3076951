package listen

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Patterns is a parsed list of interface names and patterns.
type Patterns struct {
	names    []string // without a metacharacter: these must exist at start
	patterns []string
	except   []string // names or patterns
}

// ParsePatterns reads a list of names ("eth0"), patterns of shell syntax
// ("eth*", "vlan[0-9]", "*") and exceptions ("!eth0", "!docker*"). Their order
// does not matter: an interface is served when a name or pattern matches and
// no exception does. A pattern never takes a loopback interface, a name does.
// The error holds every mistake.
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
			errs = append(errs, fmt.Errorf("interface pattern %q: no interface has a slash or space in its name", entry))
		case !isPattern(pattern) && len(pattern) > maxName:
			errs = append(errs, fmt.Errorf("interface name %q is longer than %d characters", entry, maxName))
		case except:
			ps.except = append(ps.except, pattern)
		case isPattern(pattern):
			ps.patterns = append(ps.patterns, pattern)
		default:
			ps.names = append(ps.names, pattern)
		}
	}
	if len(errs) == 0 && len(ps.names)+len(ps.patterns) == 0 {
		errs = append(errs, errors.New(`no interface to serve: give a name ("eth0") or a pattern ("eth*")`))
	}
	return ps, errors.Join(errs...)
}

// maxName is IFNAMSIZ less the terminating zero.
const maxName = 15

func isPattern(s string) bool { return strings.ContainsAny(s, `*?[\`) }

// Match tells whether an interface is to be served.
func (ps Patterns) Match(name string, loopback bool) bool {
	for _, e := range ps.except {
		if match(e, name) {
			return false
		}
	}
	if slices.Contains(ps.names, name) {
		return true
	}
	if loopback {
		return false
	}
	for _, p := range ps.patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

func match(pattern, name string) bool {
	ok, _ := path.Match(pattern, name) // checked by ParsePatterns
	return ok
}

// missing is the error about names without an interface.
func (ps Patterns) missing(found []system) error {
	there := names(found)
	var absent []string
	for _, n := range ps.names {
		if !slices.Contains(there, n) {
			absent = append(absent, strconv.Quote(n))
		}
	}
	if len(absent) == 0 {
		return nil
	}
	return fmt.Errorf("interface %s does not exist (there are: %s): correct the name, or use a pattern such as \"eth*\" for interfaces that come later",
		strings.Join(absent, ", "), strings.Join(there, ", "))
}
