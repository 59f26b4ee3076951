package config

import (
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// apiVariables are the variables of the API.
type apiVariables struct {
	Listen access.Listen `env:"LISTEN" envDefault:"[::1]:9548" kind:"[address]:port or off" desc:"where the API, which follows the packets of a subscriber, is served by HTTP; beyond this host it needs a token"`
	Token  string        `env:"TOKEN" secret:"true" desc:"what a client of the API must show (Authorization: Bearer); unset means the one in the file api-token in STATE_DIR, which is made at the first start"`
	Pages  []access.Page `env:"PAGES" kind:"list of name=URL" desc:"pages that the page of the API links to; unset means that of a dhcp4d on the same host at its default port"`
}

// stateVariable is the variable of the directory, which clients of the API need too.
type stateVariable struct {
	StateDir string `env:"STATE_DIR" envDefault:"/var/lib/dhcp6d" kind:"a directory" desc:"where the server's DUID is kept, and the API's token; it must survive restarts"`
}

// in returns the variables for a dhcp6d with a state directory.
func (v apiVariables) in(dir string) access.Config {
	c := access.Config{Prefix: Prefix, Home: "STATE_DIR", Listen: v.Listen, Token: v.Token, Pages: v.Pages}
	c.In(dir)
	return c
}

// LoadAPI reads only what concerns the API, for a client that may not have the daemon's whole
// configuration.
func LoadAPI(environ []string) (access.Config, error) {
	l := config.New(Prefix, access.Own(environ, Prefix, "STATE_DIR"))
	var r struct {
		State stateVariable
		API   apiVariables `envPrefix:"API_"`
	}
	l.Parse(&r)
	return r.API.in(r.State.StateDir), l.Err()
}
