//go:build budget

package spool

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// TestBudgetOfAFile: a file costs a few steps for each octet, in whichever way it is damaged.
func TestBudgetOfAFile(t *testing.T) {
	var good []byte
	for range 20 {
		good = placed(good, 0, "renewed")
	}
	budgettest.Hold(t, "file", 4, append(broken(), good), func(b []byte) {
		for range records(b, 0) {
		}
	})
}
