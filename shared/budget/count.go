//go:build budget

// Package budget counts the work that a datagram makes, see budget.go.
package budget

import "sync/atomic"

var spent atomic.Int64

// Spend notes n units of work.
func Spend(n int) { spent.Add(int64(n)) }

// Of returns the units of work that f makes. Nothing else may run meanwhile.
func Of(f func()) int {
	before := spent.Load()
	f()
	return int(spent.Load() - before)
}
