package storetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Kind is a kind of store in a directory.
type Kind struct {
	Label      string // how the label of such a store begins
	OtherLabel string // how that of a store of the other kind begins
	OtherName  string // what the other kind is called in front of its directory

	Make   func(t *testing.T) (dir string)
	Open   func(dir string) (store.Store, error)
	Repair func(dir string) error
}

// Spoiled is a store that must be refused.
type Spoiled struct {
	Name  string
	Spoil func(t *testing.T, dir string)
	Says  string // the error, beside the directory
}

// newer is in the error about a store that is whole, but was written by a newer dhcp4d.
const newer = "newer dhcp4d"

// Refusals checks that spoiled stores are refused at Open or at Load, by an error of one line, and
// before anything in the directory has changed. It adds the stores with a bad label, which each
// kind must refuse.
func (k *Kind) Refusals(t *testing.T, spoiled ...Spoiled) {
	for _, s := range append(k.badLabels(), spoiled...) {
		t.Run(s.Name, func(t *testing.T) {
			dir := k.Make(t)
			s.Spoil(t, dir)
			before := Snapshot(t, dir)
			k.refuses(t, dir, s.Says)
			after := Snapshot(t, dir)
			for name := range after {
				if _, ok := before[name]; !ok {
					t.Errorf("%s is new", name)
				}
			}
			for name, content := range before {
				if after[name] != content {
					t.Errorf("%s changed", name)
				}
			}
		})
	}
}

// refuses checks that the store in a directory is refused. What a newer dhcp4d has written is no
// damage, and a repair must leave it alone.
func (k *Kind) refuses(t *testing.T, dir, says string) {
	t.Helper()
	s, err := k.Open(dir)
	if err == nil {
		_, _, err = Load(s)
		_ = s.Close()
	}
	if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Errorf("said %v", err)
	}
	if !strings.Contains(says, newer) {
		return
	}
	for _, err := range []error{err, k.Repair(dir)} {
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "damaged") {
			t.Errorf("said %v", err)
		}
	}
}

func (k *Kind) badLabels() []Spoiled {
	label := func(dir string) string { return filepath.Join(dir, "dhcp4d-store") }
	return []Spoiled{
		{"a newer format", func(t *testing.T, dir string) {
			Overwrite(t, label(dir), 0, k.Label+"4\n")
		}, newer + " (format 4, this one knows 3)"},
		{"a label of rubbish", func(t *testing.T, dir string) {
			Overwrite(t, label(dir), 0, "rubbish rubbish rubbish rubbish")
		}, "damaged"},
		{"no label", func(t *testing.T, dir string) {
			if err := os.Remove(label(dir)); err != nil {
				t.Fatal(err)
			}
		}, "dhcp4d-store: it is missing"},
		{"a store of the other kind", func(t *testing.T, dir string) {
			Overwrite(t, label(dir), 0, k.OtherLabel+"2\n")
		}, "another kind; name it with " + k.OtherName + ":"},
	}
}
