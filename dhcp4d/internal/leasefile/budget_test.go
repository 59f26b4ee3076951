//go:build budget

package leasefile

import (
	"bytes"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// A lease file costs at most two units for each octet, whatever its lines are, in each of the forms
// that an import reads.
func TestBudgetOfLeaseFiles(t *testing.T) {
	const (
		head  = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context\n"
		lease = "192.0.2.10,02:00:00:00:00:01,ff:00:00:00:01,3600,1900000000,1,0,0,h,0,\n"
	)
	own := strings.Join(columns, ",") + "\n"
	line := "192.0.2.10,1,bound,ff:00:01,1,02:00:00:00:00:01,fe80::1,interface-id,2001:db8::1,port-7,,2026-01-01T00:00:00Z,2026-01-01T00:00:00Z,never,,\n"
	object := `{"address":"192.0.2.10","subnet":1,"state":"bound","client_id":"ff:00:01","hw_type":1,"hw_address":"02:00:00:00:00:01",` +
		`"ipv6_source":"fe80::1","attachment_point":{"kind":"interface-id","address":"2001:db8::1","id":"port-7"},"expires":null}` + "\n"
	taken := 0
	take := func(_ int, l *Lease, err error) error {
		if err == nil {
			if _, err := l.Binding(); err == nil {
				taken++
			}
		}
		return nil
	}
	for _, c := range []struct {
		name  string
		seeds []string
		read  func(b []byte)
	}{
		{"kea", []string{
			head + strings.Repeat(lease, 3), head + strings.Repeat("192.0.2.10,"+strings.Repeat("1:", 300)+"1,,1,1,1,,,,0,\n", 2),
			head + strings.Repeat(",", 500), head + strings.Repeat("\n", 300), strings.Repeat("address,hwaddr,", 100),
		},
			func(b []byte) {
				_ = readKea(bytes.NewReader(b), func(_ int, l *keaLease, err error) error {
					if err == nil {
						if _, err := l.binding(); err == nil {
							taken++
						}
					}
					return nil
				})
			}},
		{"csv", []string{
			own + strings.Repeat(line, 3), own + strings.Repeat(`"`, 300), own + `"` + strings.Repeat(line, 3),
			own + strings.Repeat(",", 500), strings.Repeat("\n", 300),
		},
			func(b []byte) { _ = Read(bytes.NewReader(b), CSV, take) }},
		{"ndjson", []string{
			strings.Repeat(object, 3), strings.Repeat("{}\n", 100), strings.Repeat("[", 300), strings.Repeat("\n", 300),
			`{"client_id":"` + strings.Repeat("a:", 300) + `"}`,
		},
			func(b []byte) { _ = Read(bytes.NewReader(b), NDJSON, take) }},
	} {
		var seeds [][]byte
		for _, s := range c.seeds {
			seeds = append(seeds, []byte(s))
		}
		taken = 0
		if budgettest.Hold(t, c.name, 2, seeds, c.read); taken < 3 { // of the first seed
			t.Errorf("%s: only %d leases were taken", c.name, taken)
		}
	}
}
