package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/api"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

const now lease.Time = 1_800_000_000

// running is a dhcp4d with two leases.
type running struct{ ordered []string }

func (d *running) leases() []lease.Binding {
	return []lease.Binding{
		{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.10")}, Subnet: 1, State: lease.Bound, Client: []byte{0, 0xff, 1}, HWType: 1, Expires: now + 60, Source: netip.MustParseAddr("2001:db8::1"),
			RemoteID: []byte("\x00\x00\x0d\xe9line 7"),
			Point:    (&attachment.Parts{Kind: attachment.Direct, Address: netip.MustParseAddr("2001:db8::"), Name: []byte("eth0"), Server: []byte("east")}).Append(nil)},
		{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.11")}, Subnet: 1, State: lease.Bound, Client: []byte{1, 1, 2, 3}, HWType: 1, HWAddr: []byte{2, 3}, Expires: lease.Never},
	}
}

func (d *running) Now() lease.Time { return now }
func (d *running) Get(a netip.Addr, into *lease.Batch) {
	for _, b := range d.leases() {
		if b.Addr == a {
			into.Add(&b)
		}
	}
}
func (d *running) Scan(_ leases.ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (leases.ScanPosition, error) {
	for _, b := range d.leases() {
		if match(&b) {
			into.Add(&b)
		}
	}
	return 0, nil
}
func (d *running) OfClient([]byte, *lease.Batch) {}
func (d *running) Subnets() []leases.Usage {
	some := func(first, last string, size, free uint32) leases.PoolUsage {
		return leases.PoolUsage{Ranges: []network.Range{{First: netip.MustParseAddr(first), Last: netip.MustParseAddr(last)}}, Size: size, Free: free}
	}
	return []leases.Usage{
		{ID: 1, Name: "north", Prefix: netip.MustParsePrefix("192.0.2.0/24"), State: "active", Size: 10, Free: 9, Bound: 1, Pools: []leases.PoolUsage{some("192.0.2.10", "192.0.2.19", 10, 9)}},
		{ID: 2, Prefix: netip.MustParsePrefix("198.51.100.0/24"), State: "active"},
		{ID: 3, Name: "south", Prefix: netip.MustParsePrefix("203.0.113.0/24"), State: "drain", Size: 2000, Free: 1, Bound: 1999,
			Pools: []leases.PoolUsage{some("203.0.113.10", "203.0.113.19", 10, 0), some("203.0.113.30", "203.0.113.30", 1990, 1)}},
	}
}

func (d *running) Subnet(a netip.Addr) (string, bool) {
	return "north", a != netip.MustParseAddr("192.0.2.11")
}
func (d *running) SubnetNamed(name string) (uint32, bool) { return 1, name == "north" }
func (d *running) Release(_ context.Context, id lease.ID, _ string) (lease.Binding, error) {
	d.ordered = append(d.ordered, "release "+id.Addr.String())
	return lease.Binding{ID: id, State: lease.Released}, nil
}
func (d *running) Reserve(_ context.Context, r *leases.Assignment, _ string) (lease.Binding, error) {
	if r.Address == netip.MustParseAddr("192.0.2.10") {
		return lease.Binding{}, fmt.Errorf("%w: it is leased to another client", leases.ErrConflict)
	}
	d.ordered = append(d.ordered, fmt.Sprintf("reserve %v for %x, %d s", r.Address, r.Client, r.Time))
	return lease.Binding{ID: lease.ID{Addr: r.Address}, State: lease.Bound, Client: r.Client, Expires: lease.Never}, nil
}

// clocks are those of every command. They stand, so that what one command writes and another one
// reads does not depend on how long the commands take.
var clocks = clocktest.NewMachine(time.Now())

// run runs a command line.
func run(t *testing.T, environ []string, args ...string) (string, error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	for _, c := range All(clocks) {
		if c.Name == args[0] {
			err := c.Run(t.Context(), args[1:], environ, &stdout, &stderr)
			return stdout.String() + stderr.String(), err
		}
	}
	t.Fatalf("no command %s", args[0])
	return "", nil
}

// handler is the API of a dhcp4d, with its token.
func handler(d *running) http.Handler {
	reg, log := prometheus.NewRegistry(), slog.New(slog.DiscardHandler)
	return access.NewGuard("s3cret-s3cret-s3cret", access.NewRefused(reg, "dhcp4d", log), api.NewHandler(api.Options{
		Leases: d, Orders: d, Trace: new(trace.Hub), Registry: reg, Log: log}))
}

func TestLeasesOfARunningDaemon(t *testing.T) {
	d := &running{}
	s := httptest.NewServer(handler(d))
	defer s.Close()
	secret := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("s3cret-s3cret-s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"DHCP4D_API_LISTEN=" + s.Listener.Addr().String(), "DHCP4D_API_TOKEN_FILE=" + secret, "DHCP4D_SUBNETS=not a document"}
	for _, c := range []struct{ line, want, err string }{
		{"list", "192.0.2.10  1 (north)    bound  2027-01-15T08:01:00Z  2001:db8::1  ff:01     3561:line 7  direct eth0 of east at 2001:db8::\n" +
			"192.0.2.11  none, was 1  bound  never                 -            hw 02:03  -            not known yet\n", ""},
		{"list -json -address 192.0.2.10", `{"address":"192.0.2.10","subnet":1,"state":"bound","client_id":"ff:01"`, ""},
		{"list -state declined", "ADDRESS", ""},
		{"list -state free", "", `-state: "free" is none of`},
		{"list 192.0.2.10", "", "filters are flags"},
		{"list -hw-address 2-3 -json", `"address":"192.0.2.11"`, ""},
		{"list -subnet north -state bound -json", `"subnet_name":"north"`, ""},
		{"list -subnet nowhere", "", `-subnet: "nowhere" is neither a number nor the name of a subnet`},
		{"list -link-address router", "", `-link-address: "router" is neither an address nor a prefix`},
		{"list -remote-id line", "", "must be the enterprise number and the identifier"},
		{"list -json -remote-id 3561:0x6c696e652037", `"address":"192.0.2.10"`, ""},
		{"list -json -remote-id 0x00000de96c696e652037", `"remote_id":"3561:line 7"`, ""},
		{"show 192.0.2.10", "attachment point  direct eth0 of east at 2001:db8::\nRemote-Id         3561:line 7\n", ""},
		{"show 192.0.2.11", "Remote-Id         none\n", ""},
		{"show 192.0.2.11", "client id         none\nhardware address  02:03 (type 1)\n", ""},
		{"export -remote-id 3561:0x6c696e652037", ",east,,3561:line 7\n", ""},
		{"show -json 192.0.2.11", `"expires": null`, ""},
		{"show 192.0.2.12", "", "192.0.2.12: nothing is known of the address"},
		{"list -json -remote-id 00:00:0d:e9:6c:69:6e:65:20:37", `"remote_id":"3561:line 7"`, ""},
		{"list -client-id zz", "", `-client-id: "zz" is not hexadecimal`},
		{"list -limit x", "", `-limit: "x" is not a number`},
		{"reserve -hw-address zz 192.0.2.20", "", `192.0.2.20: -hw-address: "zz" must be hex`},
		{"show", "", "leases show: want one address"},
		{"show 192.0.2.300", "", `leases show: "192.0.2.300" is no IPv4 address`},
		{"release ::1", "", `leases release: "::1" is no IPv4 address`},
		{"reserve -client-id ff:07 here", "", `leases reserve: "here" is no IPv4 address`},
		{"release 192.0.2.10", "state             released", ""},
		{"reserve -client-id ff:07 -time 90s 192.0.2.20", "client id         ff:07\nhardware address  none\n", ""},
		{"reserve -hw-address 02:07 -time 0 192.0.2.21", "expires           never", ""},
		{"reserve -client-id ff:07 192.0.2.10", "", "it is leased to another client"},
		{"reserve 192.0.2.20", "", "give -client-id, or -hw-address"},
		{"reserve -time 1ms -client-id ff:01 192.0.2.20", "", "-time 1ms is not between"},
		{"export", "192.0.2.11,1,bound,,1,02:03,,,,,,", ""},
		{"export -format json -state bound", `[{"address":"192.0.2.10"`, ""},
		{"export -format xml", "", "is none of json, ndjson, csv"},
		{"-h", "dhcp4d leases release", ""},
		{"list -h", "-hw-address", ""},
		{"", "", "say what to do"},
		{"delete", "", `"delete" is not understood; say what to do`},
		{"lists", "", `"lists" is not understood, did you mean list?`},
	} {
		t.Run(c.line, func(t *testing.T) {
			got, err := run(t, environ, append([]string{"leases"}, strings.Fields(c.line)...)...)
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) || !strings.Contains(got, c.want) {
				t.Errorf("error %v, want %q; wrote\n%s\nwant\n%s", err, c.err, got, c.want)
			}
		})
	}
	if got, want := strings.Join(d.ordered, "; "), "release 192.0.2.10; reserve 192.0.2.20 for 00ff07, 90 s; reserve 192.0.2.21 for 01010207, 4294967295 s"; got != want {
		t.Errorf("ordered %s, want %s", got, want)
	}
	t.Run("without the token", func(t *testing.T) {
		if _, err := run(t, environ[:1], "leases", "list"); err == nil || !strings.Contains(err.Error(), "set DHCP4D_API_TOKEN") {
			t.Error(err)
		}
	})
	t.Run("with the token beside the store", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "api-token"), []byte("s3cret-s3cret-s3cret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := run(t, append(environ[:1:1], "DHCP4D_STORE=journal:"+dir), "leases", "list"); err != nil {
			t.Error(err)
		}
	})
	t.Run("where the API is off", func(t *testing.T) {
		if _, err := run(t, []string{"DHCP4D_API_LISTEN=off"}, "leases", "list"); err == nil || !strings.Contains(err.Error(), "-api URL") {
			t.Error(err)
		}
		if _, err := run(t, environ[1:], "leases", "list", "-api", s.URL); err != nil {
			t.Error(err)
		}
	})
}

func TestImportAndExportOfAStoppedStore(t *testing.T) {
	dir := t.TempDir()
	expire := time.Now().Unix() + 3600
	file := filepath.Join(dir, "kea-leases4.csv")
	text := "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
	for i := range 5 {
		text += fmt.Sprintf("192.0.2.%d,02:00:00:00:00:01,ff:0%d,7200,%d,1,0,0,,0,\n", 20+i, i, expire)
		text += fmt.Sprintf("10.0.0.%d,02:00:00:00:00:01,ff:0%d,7200,%d,1,0,0,,0,\n", 20+i, i, expire)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := func(name string) []string {
		return []string{"DHCP4D_STORE=pebble:" + filepath.Join(dir, name), "DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.20-192.0.2.22], match: [{interface: eth0}]}]"}
	}
	got, err := run(t, environ("one"), "leases", "import", file)
	want := "10 lines read from 1 files, 5 leases imported\n" +
		"skipped: 5 leases of addresses in no subnet of DHCP4D_SUBNETS\n" +
		fmt.Sprintf("    %[1]s line 3: 10.0.0.20\n    %[1]s line 5: 10.0.0.21\n    %[1]s line 7: 10.0.0.22\n    and 2 more\n", file) +
		"of which: 2 leases outside the pools: kept until they end, and not renewed\n" +
		fmt.Sprintf("    %[1]s line 8: 192.0.2.23\n    %[1]s line 10: 192.0.2.24\n", file)
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	first, err := run(t, environ("one"), "leases", "export", "-store")
	if err != nil || strings.Count(first, "\n") != 6 {
		t.Fatalf("%v\n%s", err, first)
	}
	moved := filepath.Join(dir, "moved.csv")
	if err := os.WriteFile(moved, []byte(first), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := run(t, environ("two"), "leases", "import", "-by-id", moved); err != nil || !strings.Contains(got, "5 leases imported") {
		t.Errorf("%v\n%s", err, got)
	}
	if second, err := run(t, environ("two"), "leases", "export", "-store"); err != nil || second != first {
		t.Errorf("%v\n%s\nwas\n%s", err, second, first)
	}
	for name, c := range map[string]struct {
		environ, args []string
		want          string
	}{
		"no file":             {environ("one"), []string{"import"}, "name at least one file"},
		"no such file":        {environ("one"), []string{"import", filepath.Join(dir, "none")}, "none"},
		"a store in memory":   {append(environ("one"), "DHCP4D_STORE=memory:"), []string{"import", file}, "holds nothing while no dhcp4d runs"},
		"a bad configuration": {[]string{"DHCP4D_STORE=x"}, []string{"import", file}, "DHCP4D_SUBNETS: not set"},
		"filters of a store":  {environ("one"), []string{"export", "-store", "-subnet", "1"}, "takes no filters"},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := run(t, c.environ, append([]string{"leases"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s\n%s", err, c.want, got)
			}
		})
	}
}

// checked is what -check warns of, of a configuration in the terms of an environment.
func checked(t *testing.T, environ ...string) string {
	t.Helper()
	c, err := config.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(Unrenewed(clocks)(c), "\n")
}

func TestLeasesThatWouldNotBeRenewed(t *testing.T) {
	const match = "match: [{interface: eth0}]"
	in := func(subnets string) string { return "DHCP4D_SUBNETS=[" + subnets + "]" }
	dir := t.TempDir()
	expire := time.Now().Unix() + 3600
	kea := "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
	for i := range 5 {
		kea += fmt.Sprintf("192.0.2.%d,02:00:00:00:00:01,ff:0%d,7200,%d,1,0,0,,0,\n", 20+i, i, expire)
	}
	file := filepath.Join(dir, "kea-leases4.csv")
	if err := os.WriteFile(file, []byte(kea), 0o600); err != nil {
		t.Fatal(err)
	}
	const kept = "; they will be kept until they end, and not renewed; add a "
	documents := map[string]struct{ document, want string }{
		"all have a place":   {in("{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], " + match + "}"), ""},
		"under another id":   {in("{id: 7, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], " + match + "}"), ""},
		"in a larger subnet": {in("{id: 1, subnet: 192.0.0.0/16, server-id: 192.0.0.1, pools: [192.0.2.0/24], " + match + "}"), ""},
		"the subnet is gone": {in("{id: 1, subnet: 10.0.0.0/24, pools: [10.0.0.0/24], " + match + "}"),
			"leases in no subnet of DHCP4D_SUBNETS: 5 (192.0.2.20, 192.0.2.21, 192.0.2.22, …)" + kept + "subnet that has their addresses to renew them"},
		"half of the subnet is gone": {in("{id: 1, subnet: 192.0.2.16/29, server-id: 192.0.2.17, pools: [192.0.2.18-192.0.2.22], " + match + "}"),
			"leases in no subnet of DHCP4D_SUBNETS: 1 (192.0.2.24)" + kept + "subnet that has their addresses to renew them\n" +
				"leases in a subnet of DHCP4D_SUBNETS and in none of its pools: 1 (192.0.2.23)" + kept + "pool that has their addresses to renew them"},
		"a pool is smaller, and one address reserved": {in("{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.22-192.0.2.250], " + match + `, reservations: [{hw-address: "02:00:00:00:00:01", address: 192.0.2.20}]}`),
			"leases in a subnet of DHCP4D_SUBNETS and in none of its pools: 1 (192.0.2.21)" + kept + "pool that has their addresses to renew them"},
	}
	for _, kind := range []string{"journal", "pebble"} {
		place := "DHCP4D_STORE=" + kind + ":" + filepath.Join(dir, kind)
		api := "DHCP4D_API_LISTEN=127.0.0.1:1" // where nobody listens
		if got := checked(t, place, api, documents["the subnet is gone"].document); got != "" {
			t.Errorf("without a store: %s", got)
		}
		if _, err := run(t, []string{place, documents["all have a place"].document}, "leases", "import", file); err != nil {
			t.Fatal(err)
		}
		for name, d := range documents {
			t.Run("D4-79 "+kind+" of a stopped dhcp4d: "+name, func(t *testing.T) {
				if got := checked(t, place, api, d.document); got != d.want {
					t.Errorf("%s\nwant\n%s", got, d.want)
				}
			})
		}
		if _, err := run(t, []string{place, documents["all have a place"].document}, "leases", "export", "-store"); err != nil {
			t.Errorf("the store afterwards: %v", err)
		}
	}
	t.Run("D4-79 of a running dhcp4d", func(t *testing.T) {
		s := httptest.NewServer(handler(&running{}))
		defer s.Close()
		at := "DHCP4D_API_LISTEN=" + strings.TrimPrefix(s.URL, "http://")
		got := checked(t, "DHCP4D_STORE=memory:", at, "DHCP4D_API_TOKEN=s3cret-s3cret-s3cret", documents["the subnet is gone"].document)
		if !strings.HasPrefix(got, "leases in no subnet of DHCP4D_SUBNETS: 2 (192.0.2.10, 192.0.2.11);") {
			t.Error(got)
		}
		got = checked(t, "DHCP4D_STORE=memory:", at, "DHCP4D_API_TOKEN=another", documents["the subnet is gone"].document)
		if !strings.Contains(got, "the leases were not compared with DHCP4D_SUBNETS: the API refused our token") {
			t.Error(got)
		}
	})
}

func TestExplain(t *testing.T) {
	environ := []string{`DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], match: [{link-address: "2001:db8:7::/64", interface-id: port-7}], reservations: [{interface-id: port-7, link-address: "2001:db8:7::1", address: 192.0.2.99}]},
 {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.0/24], match: [{prefix: "2001:db8:1::/64"}], state: drain, reservations: [{client-id: "ff:01", address: 198.51.100.7}]},
 {id: 3, name: old, subnet: 203.0.113.0/25, network: home, pools: [203.0.113.0/25], match: [{interface: eth5}]},
 {id: 4, subnet: 203.0.113.128/25, network: home, pools: [203.0.113.128/25], reservations: [{client-id: "ff:02", address: 203.0.113.200}]}]`}
	for _, c := range []struct{ line, want, err string }{
		{"-relay :: -relay 2001:db8:7::1 -interface-id port-7", "result: subnet 1, 192.0.2.0/24, by link-address or peer with an identifier\nreservation: 192.0.2.99 is kept for the attachment point\n", ""},
		{"-relay 2001:db8:7::1 -relay :: -interface-id 0x706f72742d37", "result: subnet 1,", ""},
		{"-relay 2001:db8:7::1 -relay fe80::250:56ff:feaa:bb70 -interface-id port-7", "result: subnet 1,", ""}, // RL-20
		{"-relay 2001:db8:7::1,fe80::9 -relay 2001:db8:9::1 -interface-id port-7", "link-address 2001:db8:9::1, interface-id port-7", ""},
		{"-relay 2001:db8:7::1,fe80::9 -relay 2001:db8:9::1 -interface-id port-7 -believed 1", "query: relayed, link-address 2001:db8:7::1\n", ""}, // RL-22
		{"-relay 2001:db8:7::1 -interface-id port-7", "attachment point: interface-id port-7 at 2001:db8:7::1\n", ""},
		{"-source fe80::9 -interface eth1 -peer east", "attachment point: direct eth1 of east at fe80::9\n", ""},
		{"-source 2001:db8:c::1 -peer east -interface eth0 -relay :: -interface-id port-7", "attachment point: interface-id port-7 at 2001:db8:c::1\n", ""},
		{"-source fe80::9 -peer east -interface eth1 -relay ::,fe80::9 -interface-id port-7", "attachment point: interface-id port-7 at :: within direct eth1 of east at ::\n", ""},
		{"-relay 192.0.2.1", "", "not IPv6"},
		{"-relay 2001:db8:7::1 -interface-id port-8", "the query's interface-id is another", ""},
		{"-source 2001:db8:1::9 -client-id ff01", "it only renews leases (state: drain)\nreservation: 198.51.100.7 is kept for the client\n", ""},
		{"-interface eth3", "result: no subnet; no match entry claims the query\n", ""},
		{"-interface eth5", "network home: subnet 3 (old), then subnet 4; the first with a free address for a new client", ""},
		{"-interface eth5 -client-id ff02", "reservation: 203.0.113.200 is kept for the client\n", ""},
		{"-interface-id port-7", "", "needs a -relay"},
		{"-source eth0", "", "invalid value"},
		{"eth0", "", `"eth0" is not understood`},
		{"-h", "-link-selection", ""},
	} {
		t.Run(c.line, func(t *testing.T) {
			got, err := run(t, environ, append([]string{"explain"}, strings.Fields(c.line)...)...)
			if none := strings.Contains(got, "result: no subnet"); none != errors.Is(err, errNoSubnet) {
				t.Errorf("no subnet: %v, error %v", none, err)
			} else if none {
				err = nil
			}
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) || !strings.Contains(got, c.want) {
				t.Errorf("error %v, want %q; wrote\n%s\nwant\n%s", err, c.err, got, c.want)
			}
		})
	}
}

func TestExplainRunsTheRules(t *testing.T) {
	environ := []string{`DHCP4D_SUBNETS={classes: [{name: phones, marked: true}],
 subnets: [{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/25, {name: guests, range: 192.0.2.200-192.0.2.209}], match: [{interface: eth0}]}]}`,
		"DHCP4D_HOOKS=rules", "DHCP4D_RULES_REASONS=banned", `DHCP4D_RULES_LINES=
pkt4_receive: option[60].hex == 'banned' -> drop banned
pkt4_receive: option[60].hex == 'phone' -> class phones
subnet4_select: member('phones') -> pool guests
lease4_select: unknown -> lease-time 5m
lease4_renew: unknown -> lease-time 5m
buffer4_send: pkt.hex == 0x00 -> drop banned
`}
	asks := append(slices.Clone(environ), "DHCP4D_OUTSIDE_SOCKET=/nonexistent", "DHCP4D_OUTSIDE_KEY=pkt4.mac")
	asks[1] = "DHCP4D_HOOKS=rules,outside"
	for _, c := range []struct{ line, want, err string }{
		{"-interface eth0 -option 60=phone", "pkt4_receive: the rule in line 3 is true of it: class phones\n", ""},
		{"-interface eth0 -option 60=phone", "subnet4_select: the rule in line 4 is true of it: pool guests\n", ""},
		{"-interface eth0 -option 60=phone", "classes: the query is in phones\nlease4_select: the rule in line 5 is true of it: lease-time 5m\n", ""},
		{"-interface eth0 -option 60=banned", "pkt4_receive: the rule in line 2 is true of it: drop banned\n", "(hook): hook rules at pkt4_receive (banned) does not let it pass"},
	} {
		got, err := run(t, environ, append([]string{"explain"}, strings.Fields(c.line)...)...)
		if (err == nil) != (c.err == "") || (err != nil && !strings.HasSuffix(err.Error(), c.err)) || !strings.Contains(got, c.want) {
			t.Errorf("%s: %v, wrote\n%s\nwant\n%s", c.line, err, got, c.want)
		}
	}
	for _, c := range []struct {
		environ    []string
		line, want string
	}{
		{environ, "-interface eth0", "left out here: the rules at buffer4_send; see dhcp4d hook test\n"},
		{asks, "-interface eth0 -message request", "left out here: the rules at lease4_select, lease4_renew, buffer4_send, and the program outside; see dhcp4d hook test\n"},
	} {
		if got, err := run(t, c.environ, append([]string{"explain"}, strings.Fields(c.line)...)...); err != nil ||
			!strings.Contains(got, c.want) {
			t.Errorf("%s: %v, wrote\n%s\nwant\n%s", c.line, err, got, c.want)
		}
	}
}

func TestExplainTellsWhoIsRefused(t *testing.T) {
	environ := []string{`DHCP4D_SUBNETS={classes: [{name: banned, test: "option[60].hex == 'banned'", refuse: silent}, {name: moved, test: "option[60].hex == 'moved'", refuse: nak}],
 subnets: [{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/25], match: [{interface: eth0}]}]}`}
	for line, want := range map[string]string{
		"-interface eth0 -option 60=banned": "refused: the query gets no answer (class_refused)\n",
		"-interface eth0 -option 60=moved":  "refused: a REQUEST gets a NAK, other messages no answer (class_refused)\n",
		"-interface eth0 -option 60=other":  "classes: the query is in none of 2 classes\n",
	} {
		got, err := run(t, environ, append([]string{"explain"}, strings.Fields(line)...)...)
		if err != nil || !strings.HasSuffix(got, want) {
			t.Errorf("%s: %v, wrote\n%s\nwant\n%s", line, err, got, want)
		}
	}
}

func TestSubnetsByUse(t *testing.T) {
	s := httptest.NewServer(handler(&running{}))
	defer s.Close()
	environ := []string{"DHCP4D_API_LISTEN=" + s.Listener.Addr().String(), "DHCP4D_API_TOKEN=s3cret-s3cret-s3cret"}
	for _, c := range []struct {
		line, want, err string
		code            int
	}{
		{"", `SUBNET  NAME   PREFIX           STATE   USED   FREE  ADDRESSES  BOUND  OFFERED  DECLINED  FORMER  POOLS
3       south  203.0.113.0/24   drain   99.9%  1     2000       1999   0        0         0       2 pools:
                 pool 0                 100%   0     10                                           203.0.113.10-203.0.113.19
                 pool 1                 99.9%  1     1990                                         203.0.113.30-203.0.113.30
1       north  192.0.2.0/24     active  10.0%  9     10         1      0        0         0       192.0.2.10-192.0.2.19
2       -      198.51.100.0/24  active  -      0     0          0      0        0         0       none
`, "", 0},
		{"-json -subnet north", `{"id":1,"name":"north","prefix":"192.0.2.0/24","network":"","state":"active","pool_addresses":10,"free_addresses":9,"bound":1,"offered":0,"declined":0,"former":0,"pools":[{"ranges":["192.0.2.10-192.0.2.19"],"pool_addresses":10,"free_addresses":9}]}` + "\n", "", 0},
		{"-json -subnet 2", `"id":2`, "", 0},
		{"-subnet west", "", `"west" is neither the id nor the name of a subnet`, exit.StatusNotFound},
		{"north", "", "-subnet chooses one", exit.Failed},
		{"-api http://127.0.0.1:1", "", "no answer from the API", exit.StatusCannotAsk},
		{"-h", "usage: dhcp4d subnets [-subnet ID|NAME] [-json]", "", 0},
	} {
		t.Run(c.line, func(t *testing.T) {
			got, err := run(t, environ, append([]string{"subnets"}, strings.Fields(c.line)...)...)
			if exit.Code(err) != c.code || (err != nil && !strings.Contains(err.Error(), c.err)) || !strings.Contains(trimmed(got), c.want) {
				t.Errorf("error %v (%d), want %q; wrote\n%s\nwant\n%s", err, exit.Code(err), c.err, got, c.want)
			}
		})
	}
}

// trimmed is a text without blanks at the ends of lines.
func trimmed(s string) string {
	var lines []string
	for l := range strings.Lines(s) {
		lines = append(lines, strings.TrimRight(l, " \n"))
	}
	return strings.Join(lines, "\n") + "\n"
}
