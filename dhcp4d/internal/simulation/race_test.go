//go:build race

package simulation

// ordinary is the number of seeds of a test run.
const ordinary = 10
