package program

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Nobody else can connect to the socket, not even before it has its permissions and its place.
func TestTheSocketIsPrivateFromTheBeginning(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	path := filepath.Join(t.TempDir(), "socket")
	l, err := listenPrivately(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
