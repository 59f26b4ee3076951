package disk

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// The label is the file dhcp4d-store. It has the kind of the store in the directory, the format,
// and the identity of the store. It is read before anything else is touched:
//
//	dhcp4d lease journal, format 2
//	store 9c3f0a17c2d4e5f6
//
// While a new store is being made, the second line ends in ", being made". Such a store has never
// acknowledged anything. A line "clock mark" means that the store has a clock mark. A line
// "repaired" behind it means that leases may be missing, see [store.MustRecover]. A label of format
// 1 has the first line only.
type label struct {
	format   int
	store    ID
	making   bool
	clocked  bool
	repaired bool
}

// ID identifies a store. It is random, and 0 in format 1.
type ID uint64

func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

func newID() ID {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return ID(binary.BigEndian.Uint64(b[:]) | 1)
}

// firstFormat is the format of a new store. A store of format 1 is converted to it. A store of a
// format above [store.NewestFormat] is refused.
const firstFormat = store.PlainFormat

const (
	labelName   = "dhcp4d-store"
	scratchName = "dhcp4d-store.tmp"
	lockName    = "LOCK"
)

// A Kind is a kind of store on disk, as it is named in front of a directory.
type Kind string

// The kinds.
const (
	Journal Kind = "journal"
	Pebble  Kind = "pebble"
)

// labels has what the label of each kind of store begins with.
var labels = map[Kind]string{Pebble: "dhcp4d lease store, format ", Journal: "dhcp4d lease journal, format "}

func (l label) text(prefix string) string {
	making, clocked, repaired := "", "", ""
	if l.making {
		making = ", being made"
	}
	if l.clocked {
		clocked = "clock mark\n"
	}
	if l.repaired {
		repaired = "repaired\n"
	}
	return fmt.Sprintf("%s%d\nstore %v%s\n%s%s", prefix, l.format, l.store, making, clocked, repaired)
}

// errNoLabel says that files of a store are there, but its label is not. It is a *Damage.
var errNoLabel error = &Damage{File: labelName, At: -1, Why: "it is missing"}

// look lists dir and reads its label, whose first line must begin with prefix. Found is false if
// there is no label. Then the directory must be empty or missing.
func look(fsys vfs.FS, dir, prefix string) (names []string, l label, found bool, err error) {
	names, err = list(fsys, dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, l, false, nil
	case err != nil:
		return nil, l, false, Unreadable(err)
	}
	if err := checkKinds(fsys, dir, names); err != nil {
		return names, l, false, err
	}
	other, lost := "", false
	for _, name := range names {
		switch name {
		case labelName:
			found = true
		case scratchName, lockName: // left by a first start that was cut short
		case "lost+found": // the root of a file system of its own
		default:
			other = name
			lost = lost || segmentFile.MatchString(name) || name == watermarkName || name == clockName
		}
	}
	if !found {
		if lost {
			return names, l, false, errNoLabel
		}
		if other != "" {
			return nil, l, false, fmt.Errorf("holds %q but no lease store; name an empty directory, "+
				"or one that does not exist", other)
		}
		return nil, l, false, nil
	}
	l, err = readLabel(fsys, dir, prefix)
	return names, l, true, err
}

// list returns the names in a directory. It opens nothing else: to open a named pipe may never
// return.
func list(fsys vfs.FS, dir string) ([]string, error) {
	if info, err := fsys.Stat(dir); err == nil && !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOTDIR}
	}
	return fsys.List(dir)
}

// checkKinds refuses a named pipe or a device in the place of a file of the store. To open such a
// thing may never return.
func checkKinds(fsys vfs.FS, dir string, names []string) error {
	for _, name := range names {
		if !ofStore(name) {
			continue
		}
		info, err := fsys.Stat(fsys.PathJoin(dir, name))
		if err != nil {
			continue // whoever opens it says what is wrong
		}
		switch mode := info.Mode(); {
		case mode&fs.ModeNamedPipe != 0:
			return Unreadable(&notFileError{name, "a named pipe"})
		case mode&fs.ModeDevice != 0:
			return Unreadable(&notFileError{name, "a device"})
		}
	}
	return nil
}

// Files with leases: the segments of a journal, and the logs and tables of Pebble.
var (
	segmentFile = regexp.MustCompile(`^segment-[0-9]{10}$`)
	pebbleFile  = regexp.MustCompile(`^[0-9]+\.(log|sst|blob)$`)
)

// ofStore reports whether a file of a store, of either kind, may have a name.
func ofStore(name string) bool {
	switch name {
	case labelName, scratchName, lockName, watermarkName, clockName:
		return true
	}
	for _, prefix := range []string{"MANIFEST-", "OPTIONS-", "marker."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return segmentFile.MatchString(name) || pebbleFile.MatchString(name)
}

// notFileError says that something else is in the place of a file.
type notFileError struct{ name, kind string }

func (e *notFileError) Error() string { return e.name + " is " + e.kind + ", not a file" }

func readLabel(fsys vfs.FS, dir, prefix string) (l label, err error) {
	f, err := fsys.Open(fsys.PathJoin(dir, labelName))
	if err != nil {
		return l, Unreadable(err)
	}
	defer func() { _ = f.Close() }()
	octets, err := io.ReadAll(io.LimitReader(f, 256))
	if err != nil {
		return l, Unreadable(err)
	}
	text := string(octets)
	for kind, p := range labels {
		if p != prefix && strings.HasPrefix(text, p) {
			return l, fmt.Errorf("is a store of another kind; name it with %s: before its directory", kind)
		}
	}
	if _, err := fmt.Sscanf(text, prefix+"%d\n", &l.format); err == nil && l.format > store.NewestFormat {
		return l, fmt.Errorf("was written by a newer dhcp4d (format %d, this one knows %d); start that one, "+
			"or restore a backup made by this one", l.format, store.NewestFormat)
	}
	if text == prefix+"1\n" {
		return label{format: 1}, nil
	}
	number := l.format
	for _, l := range []label{{}, {making: true}, {clocked: true}, {repaired: true}, {clocked: true, repaired: true}} {
		l.format = number
		_, err := fmt.Sscanf(strings.TrimPrefix(text, fmt.Sprintf("%s%d\n", prefix, number)), "store %x", &l.store)
		if err == nil && number > 1 && l.store != 0 && text == l.text(prefix) {
			return l, nil
		}
	}
	why := fmt.Sprintf("it reads %.80q", text)
	if text != "" && strings.Trim(text, "\x00") == "" {
		why = "it holds zero octets only"
	}
	return label{}, &Damage{File: labelName, At: -1, Why: why}
}

// writeLabel replaces the label of dir, and makes that durable.
func writeLabel(fsys vfs.FS, dir, prefix string, l label) error {
	scratch := fsys.PathJoin(dir, scratchName)
	f, err := fsys.Create(scratch, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f, l.text(prefix))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(scratch, fsys.PathJoin(dir, labelName)); err != nil {
		return err
	}
	return SyncDir(fsys, dir)
}
