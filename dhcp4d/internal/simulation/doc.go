// Package simulation runs dhcp4d against faults that are too rare for a test on a real machine.
//
// It has tests only. A run is drawn from one seed and is the same each time. A failure names its
// seed. The tests run package core, which ships: packet path, table, commit and journal. They
// simulate everything around it: the clocks of the machine, the disk, the network, the clients and
// the operator. docs/simulation.md has the faults, the invariants, and how to read a failure.
//
// A run is in a bubble of testing/synctest. The bubble's clock is true time. Every call of the disk
// takes some time, so only one goroutine of dhcp4d runs at a moment, and the order is always the
// same.
//
//	world    the event loop and the invariants
//	plan     the faults of a run, drawn from the seed before it begins
//	process  one run of dhcp4d: the core, without the rest of main
//	disk     a file system that fails, and loses unsynced data at a power cut
//	clocks   the clocks of the machine
//	client   one client and the lease that it believes to have
//	stage    what every world has: clients, their network, events, history
//	database a world of several dhcp4d on one database, with a server of package pgtest
package simulation
