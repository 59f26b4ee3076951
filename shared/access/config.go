// Package access lets people and programs into the API of a daemon, and nobody else.
//
// It owns the variables that say where the API listens and who may come in, the token and its file,
// the listener, and a client. What the API shows, the daemon says.
package access

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Config is where the API of a daemon is, and who may come in.
type Config struct {
	// Prefix begins the names of the variables: DHCP4D_.
	Prefix string
	Listen Listen
	// Token is what a client must show. If it is empty, the one in the file TokenPath counts.
	Token string
	// TokenPath is empty if there is no place for a file.
	TokenPath string
	// Asked is set if the variable of Listen was given.
	Asked bool
	// Pages are other pages that ours link to.
	Pages []Page
	// Home is the variable that names the directory of TokenPath, without its prefix.
	Home string
}

// Listen is a config.Listen that may be off, which is the empty value.
type Listen config.Listen

// UnmarshalText takes off or a place to listen at.
func (a *Listen) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = ""
		return nil
	}
	return (*config.Listen)(a).UnmarshalText(text)
}

// In has the file of the token in a directory, if the token is not given.
func (c *Config) In(dir string) {
	if dir != "" && c.Token == "" {
		c.TokenPath = filepath.Join(dir, "api-token")
	}
}

// Check checks who can reach the API, and whether that is meant.
func (c *Config) Check(l *config.Loader) {
	c.Asked = l.Variable("API_LISTEN").Source != ""
	if strings.ContainsFunc(c.Token, unsendable) {
		l.Mistake("API_TOKEN", "holds a character that no HTTP header can carry (the value is secret and not shown)", "use letters, digits and -._~+/=")
	}
	if c.Listen != "" && c.Token == "" && !c.local() {
		l.Mistake("API_LISTEN", fmt.Sprintf("%s can be reached from other hosts and nothing authenticates them", c.Listen),
			"keep it on the loopback interface, or set "+c.Prefix+"API_TOKEN")
	}
}

// Warnings returns what is valid and probably not meant.
func (c *Config) Warnings() []string {
	if c.Token != "" && len(c.Token) < 16 {
		return []string{c.Prefix + "API_TOKEN has fewer than 16 characters and may be guessed; make one with: head -c 32 /dev/urandom | base64"}
	}
	return nil
}

// local reports whether only this host can reach the API.
func (c *Config) local() bool {
	host, _, err := net.SplitHostPort(string(c.Listen))
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

// Own returns those variables of an environment that a client of the API needs: all that begin with
// API_, and those of the directory that holds the token. The daemon's others may be missing or
// wrong.
func Own(environ []string, prefix, home string) (own []string) {
	for _, e := range environ {
		if strings.HasPrefix(e, prefix+"API_") || strings.HasPrefix(e, prefix+home) {
			own = append(own, e)
		}
	}
	return own
}
