// Package store says what a store of bindings is, to those that use one and to those that are one.
//
// A store keeps bindings, and promises: when Commit has returned nil, the records survive. It knows
// nothing of packets, clients' rights or time limits. The packet loop never reads from it: the
// table is filled from the store at the start, and answers from then on.
//
// [Store] is what every store does. [Shared], [Timekeeper], [Repairable] and [Healer] are what some
// do besides. The packages journal, pebble and postgres are one kind of store each, and package
// engine makes a store from its URL. The store in memory is here, because it is the least that a
// store can be.
//
// [Resume] and [Settle] continue the time line of a store at a start, and [MustRecover] and
// [Recovered] are about one that was repaired.
//
// # Records
//
// The stores in memory and on disk keep a binding as a key and a value. Integers are big-endian,
// times are seconds on the store's time line:
//
//	key    1  0x01
//	       4  address
//	       4  port set, 0 = all ports
//	value  1  version of the record, 1 or 2
//	       1  state
//	       1  hardware type
//	       1  length of the hardware address
//	       4  subnet
//	       8  start
//	       8  changed
//	       8  expires
//	      16  IPv6 source, 0 = unknown
//	       2  length of the client key
//	       2  length of the attachment point
//	       1  in version 2, length of the Remote-Id
//	          hardware address, client key, attachment point, Remote-Id
//
// A change of the layout takes a new record version. This package then writes the new version and
// reads both. A lease with a Remote-Id beside its attachment point has version 2. Other leases
// still have version 1, so that an older dhcp4d can read them.
package store
