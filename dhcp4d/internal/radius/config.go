package radius

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Prefix begins the names of the variables.
const Prefix = "RADIUS_"

// Config is the configuration of the program.
type Config struct {
	Socket               string         `env:"SOCKET,required" kind:"path of a UNIX socket" desc:"where dhcp4d asks, the same as DHCP4D_OUTSIDE_SOCKET"`
	Servers              []string       `env:"SERVERS" kind:"list of host:port" desc:"RADIUS servers for access; one that does not answer is asked last for 30s"`
	AccountingServers    []string       `env:"ACCOUNTING_SERVERS" kind:"list of host:port" desc:"RADIUS servers for accounting; without any, there is no accounting"`
	Secret               string         `env:"SECRET,required" secret:"true" kind:"text" desc:"secret that we share with the servers"`
	NASIdentifier        string         `env:"NAS_IDENTIFIER" kind:"text" desc:"NAS-Identifier; the name of the host if not given"`
	UserName             string         `env:"USER_NAME" envDefault:"interface-id" kind:"interface-id, remote-id, mac or client-id" desc:"what the User-Name of a client is"`
	Password             string         `env:"PASSWORD" secret:"true" kind:"text" desc:"User-Password of all clients; without one, none is sent"`
	Timeout              time.Duration  `env:"TIMEOUT" envDefault:"1s" desc:"how long a server may take for an answer"`
	Workers              uint16         `env:"WORKERS" envDefault:"64" desc:"how many clients the servers are asked about at once"`
	Keep                 config.Seconds `env:"KEEP" envDefault:"5m" kind:"a duration in whole seconds" desc:"how long an Access-Accept holds, and a shorter Session-Timeout as long as it says"`
	RejectKeep           config.Seconds `env:"REJECT_KEEP" envDefault:"30s" kind:"a duration in whole seconds" desc:"how long an Access-Reject holds"`
	RejectReason         string         `env:"REJECT_REASON" envDefault:"rejected" kind:"one of DHCP4D_OUTSIDE_REASONS" desc:"what rejected clients are counted under"`
	MessageAuthenticator bool           `env:"MESSAGE_AUTHENTICATOR" envDefault:"true" desc:"refuse an answer about access that has no Message-Authenticator, because it could be forged"`
	Cursor               string         `env:"CURSOR" kind:"path of a file" desc:"keeps how far accounting has come; needed for accounting"`
	DisconnectListen     access.Listen  `env:"DISCONNECT_LISTEN" envDefault:"off" kind:"host:port, or off" desc:"UDP socket for Disconnect-Requests (RFC 5176), such as :3799"`
	DisconnectFrom       []netip.Prefix `env:"DISCONNECT_FROM" desc:"prefixes of those who may disconnect clients"`
	API                  string         `env:"API" envDefault:"http://[::1]:9568" kind:"URL" desc:"API of dhcp4d, which ends the leases of disconnected clients"`
	APIToken             string         `env:"API_TOKEN" secret:"true" kind:"text" desc:"token of that API"`
}

// userNames are what a User-Name may be.
var userNames = []string{"interface-id", "remote-id", "mac", "client-id"}

// Load reads the configuration. The error has all mistakes.
func Load(environ []string) (Config, error) {
	c, l := load(environ)
	return c, l.Err()
}

// Variables are the variables, for help.
func Variables() []config.Variable {
	_, l := load(nil)
	return l.Variables()
}

func load(environ []string) (Config, *config.Loader) {
	var c Config
	l := config.New(Prefix, environ)
	l.Parse(&c)
	for variable, servers := range map[string][]string{"SERVERS": c.Servers,
		"ACCOUNTING_SERVERS": c.AccountingServers} {
		for _, s := range servers {
			if _, port, err := net.SplitHostPort(s); err != nil || port == "" {
				l.Mistake(variable, fmt.Sprintf("%q is no host:port", s),
					"give it as 192.0.2.1:1812 or [2001:db8::1]:1812")
			}
		}
	}
	if len(c.Servers)+len(c.AccountingServers) == 0 {
		l.Mistake("SERVERS", "there is nothing to do", "set RADIUS_SERVERS, RADIUS_ACCOUNTING_SERVERS or both")
	}
	if !slices.Contains(userNames, c.UserName) {
		l.Mistake("USER_NAME", fmt.Sprintf("%q is not known", c.UserName), "give "+strings.Join(userNames, ", "))
	}
	if c.Socket != "" && !filepath.IsAbs(c.Socket) {
		l.Mistake("SOCKET", fmt.Sprintf("%q does not begin with /", c.Socket),
			"give the path that DHCP4D_OUTSIDE_SOCKET has")
	}
	if c.Timeout < 10*time.Millisecond || c.Timeout > time.Minute {
		l.Mistake("TIMEOUT", c.Timeout.String()+" is not between 10ms and 1m", "give a time in which a server answers")
	}
	if c.Workers == 0 {
		l.Mistake("WORKERS", "nobody would be asked about", "give 1 or more")
	}
	if len(c.AccountingServers) > 0 && c.Cursor == "" {
		l.Mistake("CURSOR", "is not set", "name a file, so that no record of accounting is missing after a pause")
	}
	if c.DisconnectListen != "" && len(c.DisconnectFrom) == 0 {
		l.Mistake("DISCONNECT_FROM", "nobody may disconnect clients", "give the addresses of the servers that may")
	}
	if c.NASIdentifier == "" {
		c.NASIdentifier, _ = os.Hostname()
	}
	return c, l
}
