package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// -check names what this host lacks.
func TestCheckSaysWhatTheHostLacks(t *testing.T) {
	const subnets = "DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}], reservations: [{hw-address: %s, address: 192.0.2.15}]}]"
	dir := t.TempDir()
	for _, c := range []struct {
		name, mac string
		environ   []string
		want      string
	}{
		{"nothing", "02:00:00:00:00:01", nil, ""},
		{"a MAC with dashes", "02-00-00-00-00-01", nil, ""},
		{"a MAC with dots", "0200.0000.0001", nil, ""},
		{"the place of the store", "02:00:00:00:00:01", []string{"DHCP4D_STORE=journal:" + filepath.Join(dir, "mount", "leases")}, "DHCP4D_STORE: the directory " + filepath.Join(dir, "mount") + " does not exist now"},
		{"a program", "02:00:00:00:00:01", []string{"DHCP4D_HOOKS=run", "DHCP4D_RUN_COMMAND=/no/program"}, "DHCP4D_RUN_COMMAND: there is no program /no/program now"},
		{"a file's directory", "02:00:00:00:00:01", []string{"DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=" + filepath.Join(dir, "logs", "leases.json")}, "DHCP4D_LEASELOG_PATH: the directory " + filepath.Join(dir, "logs") + " does not exist now"},
		{"an address", "02:00:00:00:00:01", []string{"DHCP4D_IPC_LISTEN=[2001:db8::77]:6768", "DHCP4D_IPC_INSECURE=true"}, "DHCP4D_IPC_LISTEN: this host has no address 2001:db8::77"},
		{"a default route", "02:00:00:00:00:01, options: {routers: [192.0.2.1], classless-static-route: [10.0.0.0/8 via 192.0.2.1]}", nil, "DHCP4D_SUBNETS: line 1, column 171: subnets[0].reservations[0].options.classless-static-route: has no default route"},
	} {
		t.Run("OP-2 "+c.name, func(t *testing.T) {
			var out, said strings.Builder
			environ := append([]string{"DHCP4D_API_LISTEN=off", "DHCP4D_STORE=journal:" + filepath.Join(dir, "leases"), strings.Replace(subnets, "%s", c.mac, 1)}, c.environ...)
			if strings.HasPrefix(c.want, "DHCP4D_STORE") {
				environ = append(environ[:1], environ[2:]...)
			}
			if err := run(t.Context(), []string{"-check"}, environ, &out, &said); err != nil {
				t.Fatal(err)
			}
			if text := said.String(); (c.want == "" && text != "") || !strings.Contains(text, c.want) {
				t.Errorf("%q, want %q", text, c.want)
			}
		})
	}
}
