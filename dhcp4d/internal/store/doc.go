// Package store keeps bindings on stable storage.
//
// It owns what is on disk and the moment from which it is there: when Commit
// has returned nil a power cut does not take the records away. It knows
// nothing of packets, clients' rights or time limits, and it is never asked
// on the packet path what it holds: the table is filled from it at the start
// and answers from then on.
//
// There are two kinds: a journal of our own, which is the default because it
// costs a quarter to a half less CPU, and Pebble. What is promised of one is
// proved of both.
//
// Beside the leases each has two files: the label, see label.go, and the
// watermark, see watermark.go.
//
// A running store reaches its files through a handle on the directory that it
// has opened, see anchored.go. When the directory is renamed, or another one is
// put in its place, nothing of the store goes anywhere else.
//
// # Journal
//
// The directory has segments of 4 MiB, segment-0000000001 and on. A segment is
// batches, each beginning at a block of 4096 octets and filled up with zeros:
//
//	batch    4  magic
//	         4  CRC-32C of what follows, without the filling
//	         8  store, as in the label
//	         4  number of the segment, as in the name of the file
//	         4  checksum of the batch before
//	         8  number, one more than that of the batch before
//	         8  the first batch that is still needed
//	         8  the latest time that the store has seen
//	         4  length of the records
//	            records, each a length of 2 octets, a key and a value as below
//
// The later record of a key replaces the earlier. One write, past the page
// cache and synced, makes a batch durable. Segments are written to from the
// beginning on and never again, until nothing in them counts; then they are
// used again, uncleared, because number and segment tell what is old. All is
// checked at every start. See journal for how the space stays bounded, and scan
// for what is damage and what a write that was cut short.
//
// A segment of format 1 is read as long as it is needed. Its batches have
// another magic, neither store, segment nor checksum of the batch before, and
// in front of the first batch that is still needed the batch that must be there
// if this one is to count (8 octets): each start of format 1 wrote the last
// batch again as the first one of a new segment.
//
// # Pebble
//
// The directory is a Pebble database. Keys and values; integers are big-endian,
// times are Unix seconds:
//
//	header   key    1  0x00
//	         value  1  version of the header, 2
//	                8  store, as in the label
//	                8  number of the newest commit
//	                8  commits that are there
//	                8  when the store was made
//	                8  the latest time that it has seen
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
// Every commit merges a header of one commit into the one that is there.
// Version 1 was written about once a minute and had times only.
//
// In a Pebble store there is no checksum of ours: Pebble has one over every
// block of a table and every chunk of its log, and checks them whenever it
// reads. That nothing is missing in between, the commits in the header tell;
// that the end is there, the watermark tells.
//
// A change of the layout takes a new record version, which this package then
// writes while it reads both; only when an older dhcp4d must not touch the
// store at all does the format in the label go up.
//
// # Damage
//
// A start serves everything that was acknowledged, or is refused with an error
// that says which file is damaged, where, and what is lost at most. After a
// stop there is no exception. After a crash the watermark may be a second old:
// where the end of the newest file is damaged as well, what was acknowledged in
// the last second before the crash can be gone without a word, because the
// damage looks like a write that was cut short.
//
// # Failure
//
// Every error of the disk makes the store fail for good: each Commit returns
// [ErrFailed] until Reopen has opened it anew, in the same process. See fence
// for how Pebble is kept out of it.
package store
