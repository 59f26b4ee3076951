package journal

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// unfinishedName is the name of a segment that is being made. There is at most one.
const unfinishedName = "segment.unfinished"

// newSegment returns a file for writing, all of whose blocks are allocated, so that a write need
// not change the file's metadata. It renames the file old, or makes a new file of zeros if old is
// empty.
func newSegment(o Options, dir, old, name string, size int) (*disk.BlockFile, error) {
	path := o.FS.PathJoin(dir, name)
	switch old {
	case name:
	case "":
		if err := makeFile(o, dir, name, size); err != nil {
			return nil, err
		}
	default:
		if err := o.FS.Rename(o.FS.PathJoin(dir, old), path); err != nil {
			return nil, err
		}
		if err := disk.SyncDir(o.FS, dir); err != nil {
			return nil, err
		}
	}
	return disk.OpenBlockFile(o.FS, path)
}

// makeFile makes a durable file of zeros, or none.
func makeFile(o Options, dir, name string, size int) error {
	unfinished := o.FS.PathJoin(dir, unfinishedName)
	err := disk.Zeros(o.FS, unfinished, size)
	if err == nil {
		err = o.FS.Rename(unfinished, o.FS.PathJoin(dir, name))
	}
	if err != nil {
		_ = o.FS.Remove(unfinished) // if that fails, the next attempt overwrites the file
		return err
	}
	return disk.SyncDir(o.FS, dir)
}
