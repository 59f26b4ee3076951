//go:build race

package simulation

// ordinary is how many seeds a test run takes.
const ordinary = 10
