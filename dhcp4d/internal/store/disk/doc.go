// Package disk keeps bindings in a directory. It owns what is on disk. When Commit has returned
// nil, the records survive a power cut.
//
// There are two kinds, a journal of our own and Pebble. The journal is the default, because it
// costs a quarter to a half less CPU. The tests prove every promise for both.
//
// Beside the leases each directory has three files: the label (label.go), the watermark
// (watermark.go) and the clock mark (clockmark.go).
//
// A running store reaches its files through a handle on the directory that it has opened
// (anchored.go). If somebody renames the directory, or puts another one in its place, the store
// still writes into its own directory.
//
// # Journal
//
// The directory has segments of 4 MiB, from segment-0000000001 on. A segment is a sequence of
// batches. Each batch begins at a block of 4096 octets, and zeros fill its last block:
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
//	            records, each a length of 2 octets, a key and a value as in package store
//
// A later record of a key replaces an earlier one. One write, past the page cache and synced, makes
// a batch durable. A segment is filled from its beginning and no part of it is written twice. When
// no record in it counts any more, its file is used again without being cleared: the numbers of
// batch and segment show what is old. Every start checks everything. The type journal explains how
// the space stays bounded, and its method scan how damage differs from a write that was cut short.
//
// A segment of format 1 is read as long as it is needed. Its batches have another magic. They have
// no store, no segment and no checksum of the batch before. In front of the first batch that is
// still needed they have 8 octets more: the number of the batch that must be there if this one is
// to count, because each start of format 1 wrote the last batch again as the first one of a new
// segment.
//
// # Pebble
//
// The directory is a Pebble database with these keys and values. Integers are big-endian, times are
// seconds on the store's time line:
//
//	header   key    1  0x00
//	         value  1  version of the header, 2
//	                8  store, as in the label
//	                8  number of the newest commit
//	                8  commits that are there
//	                8  when the store was made
//	                8  the latest time that it has seen
//
//	binding  key    see package store
//	         value
//
// Every commit merges a header of its own into the one that is there. Version 1 of the header was
// written about once a minute and had times only.
//
// A Pebble store has no checksum of ours: Pebble has one over every block of a table and every
// chunk of its log, and checks them whenever it reads. The commits in the header show that nothing
// is missing in between. The watermark shows that the end is there.
//
// The format in the label goes up only if an older dhcp4d must not touch the store at all.
//
// # Damage
//
// A start serves everything that was acknowledged, or fails with an error that says which file is
// damaged, where, and what is lost at most. After a stop there is no exception. After a crash there
// is one, because the watermark may be a second old. If the end of the newest file is damaged as
// well, the damage looks like a write that was cut short. Changes of the last second before the
// crash can then be missing without an error.
//
// # Failure
//
// Any error of the disk makes the store fail: each Commit returns [store.ErrFailed] until Reopen
// has opened the store anew, in the same process. The type fence keeps such errors from Pebble.
package disk
