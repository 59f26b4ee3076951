package pebble

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const roomName = "dhcp4d-store.probe"

// checkRoom checks that there is room for a mebibyte in dir. Without it, a start on a full disk
// would read and rebuild everything, and then fail at its first commit.
func checkRoom(fsys vfs.FS, dir string) error {
	scratch := fsys.PathJoin(dir, roomName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 1<<20))
	return errors.Join(err, f.Sync(), f.Close(), fsys.Remove(scratch))
}
