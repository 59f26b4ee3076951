//go:build budget

package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// linkDocuments are documents of n links each that were made to cost time.
var linkDocuments = map[string]func(n int) string{
	"mistakes": func(n int) string { return linksOf(n, "- {priority: [map-e]}\n") },
	"CEs that share an address": func(n int) string {
		return linksOf(n, "- lw4o6: {border-relays: [2001:db8::1], ipv4-address: 10.0.0.1, "+
			"bind-prefix: \"2001:db8::%x:0/112\", psid-offset: 0, psid-length: 16, psid: %[1]d}\n")
	},
	"CEs with one address": func(n int) string {
		return linksOf(n, "- lw4o6: {border-relays: [2001:db8::1], ipv4-address: 10.0.0.1, "+
			"bind-prefix: \"2001:db8::%x:0/112\"}\n")
	},
	"rules": func(n int) string {
		return "links:\n- map-e:\n    border-relays: [2001:db8::1]\n    rules:\n" +
			strings.TrimPrefix(linksOf(n, "    - {ipv6-prefix: \"2001:db8:%x::/48\", ipv4-prefix: 10.0.0.0/24, ea-bits: 8}\n"), "links:\n")
	},
}

func linksOf(n int, entry string) string {
	var b strings.Builder
	b.WriteString("links:\n")
	for i := range n {
		if strings.Contains(entry, "%") {
			fmt.Fprintf(&b, entry, i)
		} else {
			b.WriteString(entry)
		}
	}
	return b.String()
}

func read(text string) {
	linksVariable(text).services(config.New(Prefix, nil), func(uint16) bool { return false })
}

// A document of links costs at most five units for each of its octets.
func TestBudgetOfLinks(t *testing.T) {
	var seeds [][]byte
	for _, made := range linkDocuments {
		seeds = append(seeds, []byte(made(20)))
	}
	budgettest.Hold(t, "links", 5, seeds, func(b []byte) { read(string(b)) })
}

// What a document costs grows with its length, not with its square.
func TestBudgetOfManyLinks(t *testing.T) {
	for name, made := range linkDocuments {
		cost := func(text string) float64 {
			return float64(budget.Of(func() { read(text) })) / float64(len(text))
		}
		few, many := cost(made(50)), cost(made(1000))
		if t.Logf("%s: %.2f and %.2f units for each octet", name, few, many); many > 1.5*few+0.1 {
			t.Errorf("%s: %.2f units for each octet of a small document, %.2f of a large one", name, few, many)
		}
	}
}
