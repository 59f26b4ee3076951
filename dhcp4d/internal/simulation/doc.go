// Package simulation runs the whole state of dhcp4d against faults that no test could wait for.
//
// It has tests only. A run is made from one seed, which a failure names, and is the same each time.
// What runs is package core, which ships: packet path, table, commit and journal. What is simulated
// is everything around it: the clocks of the machine, the disk, the network, the clients and the
// operator. The fault model, the invariants and how to read a failure stand in docs/simulation.md.
//
// A run lies in a bubble of testing/synctest, whose clock is true time. Every call of the disk
// takes some of it, so only one goroutine of dhcp4d runs at a moment and all happens in the order
// of true time.
//
//	world    the loop over what happens next, the invariants
//	plan     what happens from outside, drawn from the seed before the run
//	process  one run of dhcp4d, with what main has beside the core left out
//	disk     a file system that fails, and forgets at a power cut
//	clocks   of the machine
//	client   one client and what it believes
package simulation
