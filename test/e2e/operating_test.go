package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/docs"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// TestCommandsOfOperating types the commands of docs/operating.md as they stand, about a dhcp4d
// that runs, and about its store when it is stopped. Each ends as the document says.
func TestCommandsOfOperating(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, moved := filepath.Join(dir, "store"), filepath.Join(dir, "moved")
	d := converse(t, `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.99],
		match: [{interface: access}, {link-address: "2001:db8:7::/48"}]}]`,
		"DHCP4D_STORE=journal:"+store, "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH="+filepath.Join(dir, "lease.log"))
	d.bind(d.client(topology.Multicast, 1, client.Options{}), "192.0.2.10")
	path, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", d.four.PID()))
	if err != nil {
		t.Fatal(err)
	}
	env := append(strings.Split(strings.TrimSuffix(string(environ), "\x00"), "\x00"),
		"PATH="+filepath.Dir(path)+":"+os.Getenv("PATH"))
	run := func(line string) (output string, status int) {
		t.Helper()
		line = strings.ReplaceAll(line, "/var/lib/dhcp4d/", store+"/")
		p, err := d.Server.Start(env, "bash", "-c", "cd "+dir+"; "+line)
		if err != nil {
			t.Fatal(err)
		}
		if status, err = p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		return p.Output(), status
	}
	typed := func(line string, want int, says string) {
		t.Helper()
		if output, status := run(line); status != want || !strings.Contains(output, says) {
			t.Errorf("$ %s\n%s\nstatus %d, want %d and %q", line, output, status, want, says)
		}
	}
	commands := func(section string) (lines []string) {
		t.Helper()
		script, err := docs.ScriptOf("../../docs/operating.md", section)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(script) {
			line, comment, _ := strings.Cut(strings.TrimSpace(line), "#")
			if line == "" {
				line = "#" + comment
			}
			lines = append(lines, strings.TrimSpace(line))
		}
		return lines
	}
	// What each command says of the client at 192.0.2.10. Those that are not here say nothing.
	says := map[string]string{
		"dhcp4d subnets": "192.0.2.10-192.0.2.99", "dhcp4d leases show 192.0.2.10": "bound",
		"dhcp4d leases release 192.0.2.10":                               "released",
		"dhcp4d leases reserve -client-id ff:00:01 -time 24h 192.0.2.20": "bound",
		"dhcp4d explain -relay 2001:db8:7::1 -interface-id port-7":       "result: subnet 1",
	}
	tried := 0
	for _, line := range commands("Looking inside") {
		switch {
		case strings.HasPrefix(line, "dhcp4d leases history "): // the log begins after the time that is asked for
			typed(line, 4, "the log begins at")
		case slices.Contains([]string{"dhcp4d", "curl", "source"}, strings.Fields(line + " -")[0]):
			typed(line, 0, says[line])
			delete(says, line)
		default:
			continue // another program's
		}
		tried++
	}
	if tried < 12 || len(says) > 0 {
		t.Errorf("%d commands were typed, and not %v", tried, says)
	}
	csv, err := os.ReadFile(filepath.Join(dir, "leases.csv"))
	if err != nil || !strings.Contains(string(csv), "192.0.2.20,1,bound,ff:00:01") {
		t.Errorf("%v, %s", err, csv)
	}
	typed("dhcp4d leases show 192.0.2.77", 3, "nothing is known")
	typed("dhcp4d leases history 192.0.2.10", 0, "released")
	typed("DHCP4D_API_TOKEN=another-token-of-sixteen dhcp4d leases show 192.0.2.20", 4, "token")
	for _, command := range []string{"store repair", "store repair -accept-loss", "reset-clock",
		"leases export -store"} {
		typed("dhcp4d "+command, 1, "is in use by process")
	}
	stop := func() {
		t.Helper()
		if err := d.four.Stop(20 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	typed("dhcp4d leases show 192.0.2.20", 4, "is dhcp4d running")
	typed("dhcp4d store repair", 0, "the store is sound: 2 leases")
	typed("dhcp4d store repair -accept-loss", 0, "the store is sound: 2 leases")
	typed("dhcp4d reset-clock", 0, "0 leases of the future")
	for _, line := range commands("The kinds of store") {
		switch {
		case strings.HasPrefix(line, "# set DHCP4D_STORE"):
			env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, "DHCP4D_STORE=") })
			env = append(env, "DHCP4D_STORE=pebble:"+moved)
		case strings.HasPrefix(line, "# start"):
			d.config.Env = append(d.config.Env, "DHCP4D_STORE=pebble:"+moved)
			d.start4()
			typed("dhcp4d leases show 192.0.2.20", 0, "ff:00:01")
			stop()
		default:
			typed(line, 0, "")
		}
	}
	typed("DHCP4D_STORE=journal:"+moved+" dhcp4d store repair", 1, "another kind")
	// A journal whose only segment is damaged, repaired as the document says.
	env = append(env, "DHCP4D_STORE=journal:"+store)
	d.config.Env = append(d.config.Env, "DHCP4D_STORE=journal:"+store)
	segments, err := filepath.Glob(filepath.Join(store, "segment-*"))
	if err != nil || len(segments) == 0 {
		t.Fatalf("%v, %v", segments, err)
	}
	for _, segment := range segments {
		if err := os.WriteFile(segment, make([]byte, 4<<20), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	typed("dhcp4d store repair", 0, "nothing was changed")
	typed("timeout 10 dhcp4d", 1, "is damaged")
	typed("dhcp4d store repair -accept-loss", 0, "repaired")
	for range 2 { // each start recovers anew
		d.start4()
		typed("curl -s -H \"Authorization: Bearer $(cat "+store+"/api-token)\" http://[::1]:9568/v1/subnets", 0,
			`"state":"recovery"`)
		if said := d.four.Output(); !strings.Contains(said, `"until"`) {
			t.Errorf("the log does not say until when: %s", said)
		}
		stop()
	}
	d.start4()
}
