package command

import (
	"strings"
	"testing"
)

// TestSubnetsOfALinkAreListed: the column of networks is there if some subnet has one.
func TestSubnetsOfALinkAreListed(t *testing.T) {
	for _, c := range []struct {
		name string
		all  []usage
		want []string
	}{
		{"none", []usage{{ID: 1, Prefix: "192.0.2.0/24", State: "active"}}, []string{"SUBNET NAME PREFIX STATE USED", "1 - 192.0.2.0/24 active -"}},
		{"some", []usage{
			{ID: 1, Prefix: "192.0.2.0/24", Net: "home", State: "active", Pools: []poolUsage{{Size: 2, Free: 1}, {Size: 2}}},
			{ID: 2, Prefix: "198.51.100.0/24", State: "active"},
		}, []string{"SUBNET NAME PREFIX NETWORK STATE USED", "1 - 192.0.2.0/24 home active", "pool 0 50.0%", "2 - 198.51.100.0/24 - active"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b strings.Builder
			if err := writeSubnets(&b, c.all); err != nil {
				t.Fatal(err)
			}
			plain := strings.Join(strings.Fields(b.String()), " ")
			for _, want := range c.want {
				if !strings.Contains(plain, want) {
					t.Errorf("%q is missing:\n%s", want, b.String())
				}
			}
		})
	}
}

// TestExplainExpressions: explain tells what the expressions of the document make of a query.
func TestExplainExpressions(t *testing.T) {
	environ := []string{`DHCP4D_SUBNETS=
flex-id: option[60].hex
limit: 3
limit-by: option[77].hex
classes: [{name: red, test: "option[77].hex == 'red'"}]
subnets:
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.0/24], match: [{interface: eth0}],
   reservations: [{flex-id: printer, address: 192.0.2.9}, {class: red, address: 192.0.2.8}, {hw-address: "02:00:00:00:00:01", options: {host-name: one}}]}
`}
	for _, c := range []struct {
		line string
		want []string
	}{
		{"-option 60=printer", []string{"reservation: 192.0.2.9 is kept for this value of flex-id\n", "limit: 3, counted by the attachment point\n"}},
		{"-option 77=red", []string{"reservation: 192.0.2.8 is kept for clients of its class\n", "limit: 3, counted by red\n"}},
		{"-hw-address 02:00:00:00:00:01", []string{"reservation: no address is kept for the client\n"}},
	} {
		t.Run(c.line, func(t *testing.T) {
			got, err := run(t, environ, append([]string{"explain", "-interface", "eth0"}, strings.Fields(c.line)...)...)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(got, want) {
					t.Errorf("%q is missing:\n%s", want, got)
				}
			}
		})
	}
}
