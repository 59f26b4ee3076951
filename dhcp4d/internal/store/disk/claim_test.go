package disk

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// A program that is being started has copies of the locks. They are copied here.
func TestCopiesOfLocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		goes  bool // the copies go while the directory is claimed
		error string
	}{
		{"a program that starts is waited for", true, ""},
		{"copies that stay belong to a process", false, "is in use by another process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.goes {
				within := copiesGoWithin
				copiesGoWithin = time.Minute // the machine may stall
				defer func() { copiesGoWithin = within }()
			}
			dir := t.TempDir()
			p, _, _, err := claimDirectory(Options{FS: vfs.Default}, dir, Journal)
			if err != nil {
				t.Fatal(err)
			}
			var copies []int
			for _, fd := range []int{p.path, int(p.self.Fd())} {
				other, err := unix.Dup(fd)
				if err != nil {
					t.Fatal(err)
				}
				copies = append(copies, other)
			}
			p.release()
			drop := func() {
				for _, fd := range copies {
					_ = unix.Close(fd)
				}
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				if c.goes {
					time.Sleep(20 * time.Millisecond)
					drop()
				}
			}()
			p, _, _, err = claimDirectory(Options{FS: vfs.Default}, dir, Journal)
			<-done
			if !c.goes {
				drop()
			}
			switch {
			case c.error == "" && err != nil, c.error != "" && (err == nil || !strings.Contains(err.Error(), c.error)):
				t.Errorf("%v, want %q", err, c.error)
			}
			if err == nil {
				p.release()
			}
		})
	}
}
