//go:build budget

package document

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// TestBudgetOfADocument: reading costs no more than the document is long, whatever its aliases and
// the number of its keys. What YAML itself costs is not counted.
func TestBudgetOfADocument(t *testing.T) {
	var keys, aliases strings.Builder
	for i := range 500 {
		fmt.Fprintf(&keys, "k%d: 1\n", i)
	}
	aliases.WriteString("- &a0 [x]\n")
	for i := range 60 {
		fmt.Fprintf(&aliases, "- &a%d [*a%d, *a%d]\n", i+1, i, i)
	}
	all := [][]byte{[]byte(keys.String()), []byte(aliases.String())}
	for _, s := range seeds {
		all = append(all, []byte(s))
	}
	budgettest.Hold(t, "document", 3, all, func(b []byte) {
		r := new(Reader)
		if v := r.Parse(string(b), ""); v != nil {
			r.Mapping(v, "a value", []string{"a", "b"}, func(int, *Value) {})
		}
	})
}
