//go:build budget

package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// What a document costs grows with its length, not with its square: with reservations in it and in
// a file, right and wrong ones, and with classes that are not there.
func TestBudgetOfManyReservations(t *testing.T) {
	const subnet = "- id: 1\n  subnet: 10.0.0.0/8\n  pools: [10.0.0.10-10.0.0.250]\n" +
		"  match: [{interface: eth1}]\n"
	repeated := func(n int, entry string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, entry, i>>8, i&255)
		}
		return b.String()
	}
	for name, made := range map[string]func(n int) string{
		"in the document": func(n int) string {
			return subnet + "  reservations:\n" + repeated(n, "  - {hw-address: \"02:00:00:00:%02x:%02x\", address: 10.1.%[1]d.%[2]d}\n")
		},
		"outside of the subnet": func(n int) string {
			return subnet + "  reservations:\n" + repeated(n, "  - {hw-address: \"02:00:00:00:%02x:%02x\", address: 11.1.%[1]d.%[2]d}\n")
		},
		"of one address": func(n int) string {
			return subnet + "  reservations:\n" + repeated(n, "  - {hw-address: \"02:00:00:00:%02x:%02x\", address: 10.9.9.9}\n")
		},
		"with a wrong key": func(n int) string {
			return subnet + "  reservations:\n" + repeated(n, "  - {hw-addres: \"02:00:00:00:%02x:%02x\", address: 10.1.%[1]d.%[2]d}\n")
		},
		"in a file": func(n int) string {
			document, _ := reserving(t, "10.0.0.0/8", "hw-address,address\n"+repeated(n, "02:00:00:00:%02x:%02x,10.1.%[1]d.%[2]d\n"))
			return document
		},
	} {
		cost := func(n int) float64 {
			document := made(n)
			return float64(budget.Of(func() { _, _ = ParseSubnets([]byte(document), Defaults{LeaseTime: 3600}) })) / float64(n)
		}
		few, many := cost(100), cost(3000)
		if t.Logf("%s: %.1f and %.1f units for each", name, few, many); many > 1.5*few || few == 0 {
			t.Errorf("%s: %.1f units for each of a hundred, %.1f for each of thousands", name, few, many)
		}
	}
}
