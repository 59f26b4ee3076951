//go:build race

package store

// The race detector looks for something else than lost records and makes all
// of it ten times slower: with it the crash and fault tests take every third
// point only. Without it they take every one.
const stridden = 3
