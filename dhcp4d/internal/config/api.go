package config

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// API is where leases can be looked at and changed over HTTP, and who may.
type API struct {
	Listen APIListen `env:"LISTEN" envDefault:"[::1]:9568" kind:"[address]:port or off" desc:"where the API over leases is served, by HTTP; beyond this host it needs a token"`
	Token  string    `env:"TOKEN" secret:"true" desc:"what a client of the API must show (Authorization: Bearer); unset lets everybody on this host in"`

	// Asked is set when Listen was given and is not the default.
	Asked bool
}

// APIListen is a config.Listen that may be off, which is the empty value.
type APIListen config.Listen

// UnmarshalText takes off or a place to listen at.
func (a *APIListen) UnmarshalText(text []byte) error {
	if string(text) == "off" {
		*a = ""
		return nil
	}
	return (*config.Listen)(a).UnmarshalText(text)
}

// LoadAPI reads of an environment only what concerns the API: what a client of
// it needs who has not the daemon's whole configuration.
func LoadAPI(environ []string) (API, error) {
	var own []string
	for _, e := range environ {
		if strings.HasPrefix(e, Prefix+"API_") {
			own = append(own, e)
		}
	}
	l := config.New(Prefix, own)
	var r struct {
		API API `envPrefix:"API_"`
	}
	l.Parse(&r)
	return r.API, l.Err()
}

// check checks who can reach the API, and whether that is meant.
func (a *API) check(l *config.Loader) {
	a.Asked = l.Variable("API_LISTEN").Source != ""
	if strings.ContainsFunc(a.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		l.Mistake("API_TOKEN", "holds a character that no HTTP header can carry (the value is secret and not shown)", "use letters, digits and -._~+/=")
	}
	if a.Listen != "" && a.Token == "" && !a.local() {
		l.Mistake("API_LISTEN", fmt.Sprintf("%s can be reached from other hosts and nothing authenticates them", a.Listen),
			"keep it on the loopback interface, or set "+Prefix+"API_TOKEN")
	}
}

// local tells whether only this host can reach the API.
func (a *API) local() bool {
	host, _, err := net.SplitHostPort(string(a.Listen))
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (a *API) weak() bool { return a.Token != "" && len(a.Token) < 16 }
