//go:build !race

package simulation

// ordinary is the number of seeds of a test run.
const ordinary = 100

// ordinaryDatabase is the number of seeds with a database of a test run.
const ordinaryDatabase = 300
