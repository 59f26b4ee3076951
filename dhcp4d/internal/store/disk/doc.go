// Package disk has what stores in a directory have in common: who owns the directory, which store
// is in it, how far its commits have come, whether it is whole, and its clock mark. It knows no
// record. The packages journal and pebble keep the records. The tests of this package prove what is
// promised for both of them.
//
// Beside the records each directory has three files: the label (label.go), the watermark
// (watermark.go) and the clock mark (clockmark.go). [Directory] has all three. Its comment has
// the locks.
//
// A running store reaches its files through a handle on the directory that it has opened
// (anchored.go). If somebody renames the directory, or puts another one in its place, the store
// still writes into its own directory.
//
// The format in the label goes up only if an older dhcp4d must not touch the store at all. Package
// store says which records need which format.
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
// Any error of the disk makes a store fail: each Commit returns [store.ErrFailed] until Reopen has
// opened the store anew, in the same process.
package disk
