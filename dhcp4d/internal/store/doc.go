// Package store keeps bindings on stable storage.
//
// It owns what is on disk and the moment from which it is there: when Commit
// has returned nil a power cut does not take the records away. It knows
// nothing of packets, clients' rights or time limits, and it is never asked
// on the packet path what it holds: the table is filled from it at the start
// and answers from then on.
//
// # On disk
//
// The directory is a Pebble database with one more file, dhcp4d-store, which
// reads "dhcp4d lease store, format 1\n". It is read before anything else is
// touched. Keys and values; integers are big-endian, times are Unix seconds:
//
//	header   key    1  0x00
//	         value  1  version of the header, 1
//	                8  when the store was made
//	                8  the latest time that it has seen, to a minute
//
//	binding  key    1  0x01
//	                4  address
//	                4  port set, 0 = all ports
//	         value  1  version of the record, 1
//	                1  state
//	                1  hardware type
//	                1  length of the hardware address
//	                4  subnet
//	                8  start
//	                8  changed
//	                8  expires
//	               16  IPv6 source, 0 = unknown
//	                2  length of the client key
//	                2  length of the attachment point
//	                   hardware address, client key, attachment point
//
// There is no checksum of ours: Pebble has one over every block of a table
// and every chunk of its log, and checks them whenever it reads.
//
// A change of the layout takes a new record version, which this package then
// writes while it reads both; only when an older dhcp4d must not touch the
// store at all does the format in dhcp4d-store go up.
//
// # Failure
//
// Every error of the disk makes the store fail for good: each Commit returns
// [ErrFailed] until Reopen has opened it anew, in the same process. See fence
// for how Pebble is kept out of it.
package store
