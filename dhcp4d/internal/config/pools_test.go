package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestD4_81ExcludeFirstLast24(t *testing.T) {
	for _, c := range []struct{ subnet, pool, want string }{
		{"10.0.0.0/22", "10.0.0.0/22", "10.0.0.2-10.0.0.254 10.0.1.1-10.0.1.254 10.0.2.1-10.0.2.254 10.0.3.1-10.0.3.254"},
		{"10.0.0.0/22", "10.0.1.255-10.0.2.0", ""},
		{"10.0.0.0/22", "10.0.1.250-10.0.2.5", "10.0.1.250-10.0.1.254 10.0.2.1-10.0.2.5"},
		{"10.0.0.0/24", "10.0.0.0/24", "10.0.0.2-10.0.0.254"},
		{"10.0.0.128/25", "10.0.0.128/25", "10.0.0.130-10.0.0.254"},
		{"223.255.252.0/22", "223.255.255.0-223.255.255.254", "223.255.255.1-223.255.255.254"},
	} {
		t.Run(c.subnet+" "+c.pool, func(t *testing.T) {
			doc := fmt.Sprintf("{exclude-first-last-24: true, subnets: [{id: 1, subnet: %s, pools: [%s], match: []}]}", c.subnet, c.pool)
			s, err := ParseSubnets([]byte(doc), defaults)
			if c.want == "" {
				if err == nil || !strings.Contains(err.Error(), "has no address left") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			size := uint64(0)
			for _, r := range s.All[0].Pools[0].Ranges {
				got = append(got, fmt.Sprintf("%s-%s", r.First, r.Last))
				size += uint64(number4(r.Last)-number4(r.First)) + 1
			}
			if strings.Join(got, " ") != c.want || size != s.All[0].Pools[0].Size {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	// A reservation may have such an address.
	s := mustParse(t, "[{id: 1, subnet: 10.0.0.0/22, exclude-first-last-24: true, pools: [10.0.0.0/22], match: [], reservations: [{hw-address: '02:00:00:00:00:01', address: 10.0.1.0}]}]")
	if s.All[0].Reservations.At(addr("10.0.1.0")) == nil {
		t.Error("the reservation is not there")
	}
}

func TestO4_15RoutesWithoutADefaultRoute(t *testing.T) {
	const lacking = "classless-static-route: [10.0.0.0/8 via 192.0.2.1]"
	const complete = "classless-static-route: [10.0.0.0/8 via 192.0.2.1, default via 192.0.2.1]"
	const warning = "has no default route, and clients that ask for it ignore routers (RFC 3442)"
	const routers = "routers: [192.0.2.1]"
	for _, c := range []struct{ name, top, subnet, want string }{
		{"beside routers", "", "options: {" + routers + ", " + lacking + "}", "line 2, column 137: subnets[0].options.classless-static-route: " + warning},
		{"with a default route", "", "options: {" + routers + ", " + complete + "}", ""},
		{"without routers", "", "options: {" + lacking + "}", ""},
		{"under routers of the top", "options: {" + routers + "}\n", "options: {" + lacking + "}", "subnets[0].options.classless-static-route: " + warning},
		{"of the top, beside routers of the subnet", "options: {" + lacking + "}\n", "options: {" + routers + "}", "line 1, column 11: options.classless-static-route: " + warning},
		{"of the top, replaced by the subnet's", "options: {" + lacking + "}\n", "options: {" + routers + ", " + complete + "}", ""},
		{"of a class", "", "options: {" + routers + "}, classes: [{test: known, options: {" + lacking + "}}]", "subnets[0].classes[0].options.classless-static-route: " + warning},
		{"of a class at the top", "classes: [{test: known, options: {" + lacking + "}}]\n", "options: {" + routers + "}", "classes[0].options.classless-static-route: " + warning},
		{"routers of a class", "", "options: {" + lacking + "}, classes: [{test: known, options: {" + routers + "}}]", "subnets[0].options.classless-static-route: " + warning},
		{"of a pool", "", "options: {" + routers + "}, pools: [{range: 192.0.2.9-192.0.2.9, options: {" + lacking + "}}]", "subnets[0].pools[0].options.classless-static-route: " + warning},
		{"of a reservation", "", "options: {" + routers + "}, reservations: [{hw-address: '02:00', address: 192.0.2.9, options: {" + lacking + "}}]", "subnets[0].reservations[0].options.classless-static-route: " + warning},
	} {
		t.Run(c.name, func(t *testing.T) {
			pools := "pools: [192.0.2.10-192.0.2.20], "
			if strings.Contains(c.subnet, "pools:") {
				pools = ""
			}
			s := mustParse(t, c.top+"subnets:\n"+`  - {id: 1, subnet: 192.0.2.0/24, `+pools+`match: [{prefix: "2001:db8:1::/64"}], `+c.subnet+"}")
			got := strings.Join(s.Warnings, "\n")
			if (c.want == "" && got != "") || !strings.Contains(got, c.want) || len(s.Warnings) > 1 {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
