package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

const oneSubnet = "DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], match: [{peer: '[::1]:6767'}]}]"

func TestIPC1_LoadDefaults(t *testing.T) {
	c, err := Load([]string{oneSubnet, "PATH=/bin", "DHCP4D_PORT=tcp://10.0.0.1:6768", "DHCP4D_SERVICE_HOST=10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Subnets.ByID(1)
	if c.Name != "dhcp4d" || c.IPCListen.String() != "[::1]:6768" || len(c.IPCPeers) != 1 || c.IPCPeers[0].Name != "[::1]:6767" ||
		c.Store.Dir != "/var/lib/dhcp4d" || c.Settings().MetricsListen != ":9567" || len(c.Hooks) != 0 {
		t.Errorf("%+v", c)
	}
	if s.ServerID != addr("192.0.2.1") || !s.Authoritative || s.Lease.Default != 3600 || s.OfferHold != 60 || s.DeclineTime != 86400 {
		t.Errorf("%+v", s.Policy)
	}
	if len(c.Warnings()) != 0 {
		t.Error(c.Warnings())
	}
}

func TestLoadEverything(t *testing.T) {
	c, err := Load([]string{
		"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], match: [{peer: east}]}]",
		"DHCP4D_IPC_LISTEN=[2001:db8::4]:6768", "DHCP4D_IPC_PEERS=east@[2001:db8::6]:6767, [2001:db8::7]:6767", "DHCP4D_IPC_INSECURE=true",
		"DHCP4D_NAME=four", "DHCP4D_SERVER_ID=192.0.2.9", "DHCP4D_PEER_SERVER_IDS=192.0.2.10", "DHCP4D_AUTHORITATIVE=false",
		"DHCP4D_LEASE_TIME=1d", "DHCP4D_OFFER_HOLD=5", "DHCP4D_DECLINE_TIME=90m", "DHCP4D_STORE=memory:",
		"DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=/var/log/leases", "DHCP4D_METRICS_LISTEN=[::1]:0",
		"DHCP4D_LOG_LEVEL=debug", "DHCP4D_LOG_FORMAT=json", "DHCP4D_DEBUG_LISTEN=",
	})
	if err != nil {
		t.Fatal(err)
	}
	s := c.Subnets.ByID(1)
	if s.ServerID != addr("192.0.2.9") || s.Authoritative || s.Lease.Default != 86400 || s.OfferHold != 5 || s.DeclineTime != 5400 {
		t.Errorf("%+v", s.Policy)
	}
	if s.PoolOf(addr("192.0.2.9")) >= 0 || s.PoolOf(addr("192.0.2.10")) >= 0 || s.PoolOf(addr("192.0.2.1")) < 0 {
		t.Errorf("%+v", s.Pools)
	}
	if c.IPCPeers[0].String() != "east@[2001:db8::6]:6767" || c.IPCPeers[1].String() != "[2001:db8::7]:6767" || len(c.Hooks) != 1 || c.Hooks[0].Name() != "leaselog" {
		t.Errorf("%+v", c)
	}
	if len(c.Warnings()) != 1 {
		t.Error(c.Warnings())
	}
}

func TestLoadMistakes(t *testing.T) {
	for _, c := range []struct{ name, entry, want string }{
		{"no subnets", "DHCP4D_SUBNETS=", "DHCP4D_SUBNETS: not set"},
		{"mistake in the subnets", "DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [], match: [], limit: x}]", `DHCP4D_SUBNETS: line 1, column 61: subnets[0].limit: "x" must be a number`},
		{"unknown variable", "DHCP4D_SUBNET=x", "DHCP4D_SUBNET: unknown variable; did you mean DHCP4D_SUBNETS?"},
		{"D4-6 server identifier 0.0.0.0", "DHCP4D_SERVER_ID=0.0.0.0", "DHCP4D_SERVER_ID: 0.0.0.0 is not the IPv4 address of a host"},
		{"D4-6 server identifier 255.255.255.255", "DHCP4D_SERVER_ID=255.255.255.255", "DHCP4D_SERVER_ID: "},
		{"D4-6 server identifier multicast", "DHCP4D_SERVER_ID=239.0.0.1", "DHCP4D_SERVER_ID: "},
		{"D4-6 server identifier IPv6", "DHCP4D_SERVER_ID=2001:db8::1", "DHCP4D_SERVER_ID: "},
		{"peer's identifier", "DHCP4D_PEER_SERVER_IDS=10.0.0.1,10.0.0.1", "10.0.0.1 is listed twice"},
		{"peer's identifier is the default one", "DHCP4D_PEER_SERVER_IDS=192.0.2.1", "DHCP4D_SUBNETS: line 1, column 2: subnets[0]: the server identifier 192.0.2.1 is a peer's"},
		{"listens beyond this host", "DHCP4D_IPC_LISTEN=[::]:6768", "DHCP4D_IPC_LISTEN: [::]:6768 can be reached from other hosts"},
		{"peer beyond this host", "DHCP4D_IPC_PEERS=[::1]:6767,[2001:db8::1]:6767", "DHCP4D_IPC_PEERS: [2001:db8::1]:6767 is on another host"},
		{"peer twice", "DHCP4D_IPC_PEERS=[::1]:6767,a@[::1]:6767", "[::1]:6767 is listed twice"},
		{"peer's name twice", "DHCP4D_IPC_PEERS=[::1]:6767,a@[::1]:1,a@[::1]:2", "two peers have the name a"},
		{"peer of another family", "DHCP4D_IPC_PEERS=[::1]:6767,127.0.0.1:6767", "127.0.0.1:6767 cannot be reached from [::1]:6768"},
		{"D6-42 peer with a zone", "DHCP4D_IPC_PEERS=[fe80::1%eth0]:6767", `DHCP4D_IPC_PEERS: "[fe80::1%eth0]:6767" has a zone`},
		{"IPC-33 peer by name beyond this host", "DHCP4D_IPC_PEERS=six.example:6767", "DHCP4D_IPC_PEERS: six.example:6767 is on another host"},
		{"IPC-33 peer by name twice", "DHCP4D_IPC_PEERS=localhost:6767,a@LOCALHOST:6767", "localhost:6767 is listed twice"},
		{"IPC-33 peer by an address that lacks an octet", "DHCP4D_IPC_PEERS=192.0.2:6767", `"192.0.2" is neither an address nor the name of a host`},
		{"IPC-33 peer by a name with a blank", "DHCP4D_IPC_PEERS=six example:6767", "has something after its port"},
		{"IPC-33 peer by a name that is none", "DHCP4D_IPC_PEERS=six/example:6767", `"six/example" is neither an address nor the name of a host`},
		{"IPC-33 peer by a name without port", "DHCP4D_IPC_PEERS=six.example", `"six.example" is no host:port`},
		{"IPC-33 peer at every address", "DHCP4D_IPC_PEERS=[::]:6767", `"::" is not the address of a host`},
		{"peer without port", "DHCP4D_IPC_PEERS=::1", "DHCP4D_IPC_PEERS: "},
		{"no store", "DHCP4D_STORE=sqlite:/x", `DHCP4D_STORE: there is no kind of store "sqlite"; give memory:, journal:DIRECTORY, pebble:`},
		{"relative store", "DHCP4D_STORE=pebble:leases", `has no directory that begins with /`},
		{"no time", "DHCP4D_LEASE_TIME=0", "DHCP4D_LEASE_TIME: "},
		{"no hook", "DHCP4D_HOOKS=acl", "there is no hook acl; there are: leaselog, run, rules, outside, packetlog"},
		{"hook twice", "DHCP4D_HOOKS=leaselog,leaselog", "leaselog is listed twice"},
	} {
		t.Run(c.name, func(t *testing.T) {
			environ := append([]string{oneSubnet}, strings.Split(c.entry, "\n")...)
			got, err := Load(environ)
			var mistakes config.Mistakes
			if !errors.As(err, &mistakes) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if len(got.Variables()) < 10 {
				t.Error("the variables are not listed")
			}
		})
	}
}

// A mistake goes into the log. Wherever a password stands in DHCP4D_STORE, the mistake does not
// show it.
func TestMistakesOfTheStoreShowNoPassword(t *testing.T) {
	for _, store := range []string{
		"postgres://u:%s@h/d", "postgres://u:%s@h:99999/d", "postgresql://u:%s%%zz@h/d", "postgres://u@h/d?password=%s",
		"postgres://u@h/d?sslpassword=%s", "postgres://u@h/d?sslpassword=%s&sslmode=x", "Postgres://u:%s@h/d", "postgres:u:%s@h/d",
		" postgres://u:%s@h/d", "host=h password=%s", "mysql://u:%s@h/d",
	} {
		_, err := Load([]string{"DHCP4D_IPC_PEERS=[::1]:6767", "DHCP4D_SUBNETS=[]", "DHCP4D_STORE=" + fmt.Sprintf(store, "hunter2")})
		if err == nil || !strings.Contains(err.Error(), "DHCP4D_STORE: ") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", store, err)
		}
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	subnets, times := filepath.Join(dir, "subnets.yaml"), filepath.Join(dir, "time")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(subnets, small)
	write(times, "1h")
	c, err := Load([]string{"DHCP4D_SUBNETS_FILE=" + subnets, "DHCP4D_LEASE_TIME_FILE=" + times})
	if err != nil || c.Subnets.ByID(1) == nil {
		t.Fatal(err)
	}
	write(subnets, strings.Replace(small, "id: 1", "id: 2", 1))
	if next, err := c.Reload(); err != nil || next.Subnets.ByID(2) == nil || c.Subnets.ByID(1) == nil {
		t.Error(err)
	}
	write(times, "2h")
	if next, err := c.Reload(); err != nil || next.Subnets.ByID(2).Lease.Default != 3600 {
		t.Errorf("what is fixed at the start takes effect in the subnets: %v", err)
	}
	write(subnets, "- {id: 1}")
	if _, err := c.Reload(); err == nil || !strings.Contains(err.Error(), "DHCP4D_SUBNETS: line 1") {
		t.Error(err)
	}
	if err := os.Remove(subnets); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Reload(); err == nil || !strings.Contains(err.Error(), subnets) {
		t.Error(err)
	}
}

func TestAPI(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		listen  string
		wrong   string
	}{
		{"loopback is the default", nil, "[::1]:9568", ""},
		{"off", []string{"DHCP4D_API_LISTEN=off"}, "", ""},
		{"loopback needs no token", []string{"DHCP4D_API_LISTEN=127.0.0.1:80"}, "127.0.0.1:80", ""},
		{"beyond this host without token", []string{"DHCP4D_API_LISTEN=:9568"}, "", "DHCP4D_API_LISTEN: :9568 can be reached from other hosts and nothing authenticates them"},
		{"an address of the host without token", []string{"DHCP4D_API_LISTEN=[2001:db8::1]:9568"}, "", "nothing authenticates them"},
		{"beyond this host with token", []string{"DHCP4D_API_LISTEN=:9568", "DHCP4D_API_TOKEN=0123456789abcdef"}, ":9568", ""},
		{"token with a blank", []string{"DHCP4D_API_TOKEN=let me in"}, "", "DHCP4D_API_TOKEN: holds a character"},
		{"no port", []string{"DHCP4D_API_LISTEN=::1"}, "", "DHCP4D_API_LISTEN: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Load(append([]string{oneSubnet}, c.environ...))
			if c.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "let me in") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || string(got.API.Listen) != c.listen || got.API.Asked != (c.environ != nil) {
				t.Errorf("%+v, %v", got.API, err)
			}
			alone, err := LoadAPI(append([]string{"DHCP4D_SUBNET=typo"}, c.environ...))
			if err != nil || alone.Listen != got.API.Listen || alone.Token != got.API.Token {
				t.Errorf("read alone: %+v, %v", alone, err)
			}
		})
	}
}
