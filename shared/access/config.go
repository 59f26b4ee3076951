// Package access decides who may use the API of a daemon.
//
// It owns the variables of the API, the token and its file, the listener, and a client. The daemon
// decides what the API shows.
package access

import (
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Config is where the API of a daemon listens, and who may use it.
type Config struct {
	// Prefix begins the names of the variables: DHCP4D_.
	Prefix string
	Listen Listen
	// Token is the token that a client must send. If it is empty, the token is in the file
	// TokenPath.
	Token string
	// TokenPath is empty if there is no directory for the file.
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

// UnmarshalText takes off or an address to listen at.
func (a *Listen) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = ""
		return nil
	}
	return (*config.Listen)(a).UnmarshalText(text)
}

// In sets the directory of the token's file, if the token is not given.
func (c *Config) In(dir string) {
	if dir != "" && c.Token == "" {
		c.TokenPath = filepath.Join(dir, "api-token")
	}
}

// Check reports mistakes in who can reach the API.
func (c *Config) Check(l *config.Loader) {
	c.Asked = l.Variable("API_LISTEN").Source != ""
	if strings.ContainsFunc(c.Token, unsendable) {
		l.Mistake("API_TOKEN", "holds a character that no HTTP header can carry (the value is secret and not shown)",
			"use letters, digits and -._~+/=")
	}
	if c.Listen != "" && c.Token == "" && !c.local() {
		l.Mistake("API_LISTEN",
			fmt.Sprintf("%s can be reached from other hosts and nothing authenticates them", c.Listen),
			"keep it on the loopback interface, or set "+c.Prefix+"API_TOKEN")
	}
}

// Warnings returns what is valid but probably not meant.
func (c *Config) Warnings() []string {
	if c.Token != "" && len(c.Token) < leastToken {
		return []string{c.Prefix + "API_TOKEN has fewer than 16 characters and may be guessed; make one with: " +
			"head -c 32 /dev/urandom | base64"}
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
