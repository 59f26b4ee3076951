// Package pebble keeps bindings in a Pebble database. The directory itself, its label, watermark
// and clock mark are those of package disk.
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
// # Failure
//
// Any error of the disk makes the store fail. The type fence keeps such errors from Pebble, which
// expects the process to end.
//
// # Locks
//
// One goroutine at a time calls a store, as [store.Store] says. The lock mu is for Stats, which
// reads the database beside it. No other lock is taken under it.
package pebble
