//go:build race

package disk_test

// stridden says which crashes, faults, damages and clocks are tried: one of so many. The race
// detector makes each more than ten times slower, and looks for something else than lost records.
// The target test of the Makefile runs the package without it too, and then all of them are tried.
const stridden = 23
