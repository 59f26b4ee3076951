// Package store keeps bindings on stable storage.
//
// It owns what is on disk and the moment from which it is there: when Commit
// has returned nil a power cut does not take the records away. It knows
// nothing of packets, clients' rights or time limits, and it is never asked
// on the packet path what it holds: the table is filled from it at the start
// and answers from then on.
//
// There are two kinds: a journal of our own, which is the default because it
// costs a quarter to a half less CPU, and Pebble. What is promised of one is proved of both.
//
// # Journal
//
// The directory has the file dhcp4d-store, which reads "dhcp4d lease journal,
// format 1\n" and is read before anything else is touched, and segments of
// 4 MiB, segment-0000000001 and on. A segment is batches, each beginning at a
// block of 4096 octets and filled up with zeros:
//
//	batch    4  magic
//	         4  CRC-32C of what follows, without the filling
//	         8  number
//	         8  the batch that must be there if this one is to count
//	         8  the first batch that is still needed
//	         8  the latest time that the store has seen
//	         4  length of the records
//	            records, each a length of 2 octets, a key and a value as below
//
// The later record of a key replaces the earlier. One write, past the page
// cache and synced, makes a batch durable. Segments are written to from the
// beginning on and never again, until nothing in them counts; then they are
// used again, uncleared, because the numbers tell what is old. All is checked
// at every start: a batch that is not whole is a write that was cut short if
// nothing is behind it, and damage otherwise. See journal for how the space
// stays bounded and why the last batch of a start is written twice.
//
// # Pebble
//
// The directory is a Pebble database with one more file, dhcp4d-store, which
// reads "dhcp4d lease store, format 1\n". Keys and values; integers are
// big-endian, times are Unix seconds:
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
// In a Pebble store there is no checksum of ours: Pebble has one over every block of a table
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
