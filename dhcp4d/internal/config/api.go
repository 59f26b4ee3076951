package config

import (
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// apiVariables are the variables of the API.
type apiVariables struct {
	Listen access.Listen `env:"LISTEN" envDefault:"[::1]:9568" kind:"[address]:port or off" desc:"where the API over leases is served, by HTTP; beyond this host it needs a token"`
	Token  string        `env:"TOKEN" secret:"true" desc:"what a client of the API must show (Authorization: Bearer); unset means the one in the file api-token in the directory of the store, which is made at the first start"`
	Pages  []access.Page `env:"PAGES" kind:"list of name=URL" desc:"pages that the page of the API links to; unset means that of a dhcp6d on the same host at its default port"`
}

// in returns the variables, completed for a dhcp4d with a store.
func (v apiVariables) in(s Store) access.Config {
	c := access.Config{Prefix: Prefix, Home: "STORE", Listen: v.Listen, Token: v.Token, Pages: v.Pages}
	c.In(s.Dir)
	return c
}

// LoadAPI reads only the variables of the API, for a client that may not have the daemon's whole
// configuration.
func LoadAPI(environ []string) (access.Config, error) {
	l := config.New(Prefix, access.Own(environ, Prefix, "STORE"))
	var r struct {
		API     apiVariables `envPrefix:"API_"`
		StoreAt storeVariable
	}
	l.Parse(&r)
	return r.API.in(r.StoreAt.Store), l.Err()
}

// LoadStore reads only the variable of the store.
func LoadStore(environ []string) (Store, error) {
	l := config.New(Prefix, access.Own(environ, Prefix, "STORE"))
	var r struct {
		API     apiVariables `envPrefix:"API_"` // not used, but known, so that they are no mistakes
		StoreAt storeVariable
	}
	l.Parse(&r)
	return r.StoreAt.Store, l.Err()
}

// LoadLeaseLog reads only the variables of the hook leaselog.
func LoadLeaseLog(environ []string) (path string, err error) {
	var own []string
	for _, e := range environ {
		if strings.HasPrefix(e, Prefix+"LEASELOG_PATH=") || strings.HasPrefix(e, Prefix+"LEASELOG_PATH_FILE=") {
			own = append(own, e)
		}
	}
	l := config.New(Prefix, own)
	var r struct {
		Path string `env:"LEASELOG_PATH" envDefault:"stdout"`
	}
	l.Parse(&r)
	return r.Path, l.Err()
}

// LeaseLog returns the path of the file that the hook leaselog writes, empty if it writes none.
func (c Config) LeaseLog() string {
	for _, v := range c.variables {
		if v.Name == Prefix+"LEASELOG_PATH" && v.Value != "stdout" && v.Value != "stderr" {
			return v.Value
		}
	}
	return ""
}
