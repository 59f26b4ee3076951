package disk_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// A dhcp4d of format 2 takes a record with a Remote-Id for damage, and its repair would remove it.
// The label keeps it out from before the first such record.
func TestAStoreWithRemoteIDsIsOfFormat3(t *testing.T) { eachKind(t, withRemoteIDs) }

func withRemoteIDs(t *testing.T, kind string) {
	dir := t.TempDir()
	isFormat := func(want string) {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, disk.LabelName))
		if first, _, _ := strings.Cut(string(text), "\n"); err != nil || !strings.HasSuffix(first, want) {
			t.Errorf("%v, %q, want %q", err, first, want)
		}
	}
	plain, named := storetest.Binding(1), storetest.Binding(2)
	plain.RemoteID, named.RemoteID = nil, []byte("\x00\x00\x0d\xe9line 7")
	s := mustOpen(t, kind+":"+dir, quiet())
	if _, err := s.Commit([]lease.Binding{plain}); err != nil {
		t.Fatal(err)
	}
	isFormat("format 2")

	scratch := filepath.Join(dir, disk.LabelName+".tmp") // the label cannot be written
	if err := os.MkdirAll(filepath.Join(scratch, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit([]lease.Binding{plain, named}); err == nil {
		t.Error("committed without the label")
	}
	isFormat("format 2")
	if err := os.RemoveAll(scratch); err != nil {
		t.Fatal(err)
	}
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	if n := loadAll(t, s).Records; n != 1 {
		t.Errorf("there are %d leases, want the first", n)
	}
	if _, err := s.Commit([]lease.Binding{plain, named}); err != nil {
		t.Fatal(err)
	}
	isFormat("format 3")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = mustOpen(t, kind+":"+dir, quiet())
	if n := loadAll(t, s).Records; n != 2 {
		t.Errorf("there are %d leases, want both", n)
	}
	if err := s.(store.Repairable).Recovered(); err != nil { // it writes the label, if it writes anything
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	isFormat("format 3")
}
