package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Damage is the error of a store that is damaged. Its text follows the name of the directory.
type Damage struct {
	File string
	At   int64 // offset in the file; -1 where there is none
	Why  string
	Lost Loss
}

// Loss is the most that has been lost of the acknowledged changes.
type Loss struct {
	Known       bool       // whether the other fields are known
	First, Last uint64     // batches or commits; First > Last: none
	Since       lease.Time // the time of the last batch before them, 0 if that is not known
}

func (d *Damage) Error() string {
	var b strings.Builder
	b.WriteString("is damaged: " + d.File)
	if d.At >= 0 {
		fmt.Fprintf(&b, " at offset %d", d.At)
	}
	b.WriteString(": " + d.Why)
	if l := d.Lost.String(); l != "" {
		b.WriteString("; " + l)
	}
	b.WriteString(remedy)
	return b.String()
}

func (l Loss) String() string {
	switch {
	case !l.Known:
		return ""
	case l.First > l.Last:
		return "no acknowledged lease is lost"
	}
	text := fmt.Sprintf("lost are at most the changes of batches %d to %d", l.First, l.Last)
	if l.First == l.Last {
		text = fmt.Sprintf("lost are at most the changes of batch %d", l.First)
	}
	if l.Since != 0 {
		text += ", acknowledged after " + time.Unix(int64(l.Since), 0).UTC().Format(time.RFC3339)
	}
	return text
}

// remedy is what a start says to do about a damage. A repair leaves it out.
const remedy = "; restore a backup, or see what can be saved with dhcp4d store repair"

// pebbleDamage is a damage that Pebble or the codec of records has found. There is no repair for
// it.
type pebbleDamage struct{ err error }

func (d *pebbleDamage) Unwrap() error { return d.err }

func (d *pebbleDamage) Error() string {
	why, _, _ := strings.Cut(d.err.Error(), "\n") // Pebble's go on with details
	return "is damaged: " + why + remedy
}

// Damaged returns the error of a damage that Pebble or the codec of records has found. An error of
// this package is returned as it is. A record of a newer dhcp4d is no damage: a repair or a backup
// would lose leases that the newer dhcp4d can read.
func Damaged(err error) error {
	switch {
	case errors.As(err, new(*Damage)), errors.As(err, new(*pebbleDamage)), errors.As(err, new(*unreadableError)):
		return err
	case errors.As(err, new(*store.NewerError)):
		return fmt.Errorf("was written by a newer dhcp4d: %w; start that one, or export its leases and import them into "+
			"a new store", err)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EISDIR):
		return Unreadable(err)
	}
	return &pebbleDamage{err}
}

// Unreadable returns the error of a file or directory that cannot be read.
func Unreadable(err error) error { return &unreadableError{err} }

// unreadableError says that a file or the directory of a store cannot be read, and what to do.
type unreadableError struct{ err error }

func (e *unreadableError) Unwrap() error {
	if errors.Is(e.err, fs.ErrNotExist) { // which would say that there is no store
		return nil
	}
	return e.err
}

func (e *unreadableError) Error() string {
	why, _, _ := strings.Cut(e.err.Error(), "\n")
	text := "cannot be read: " + why
	switch {
	case errors.Is(e.err, fs.ErrPermission):
		return text + "; give it to the user that dhcp4d runs as"
	case errors.Is(e.err, syscall.ENOTDIR):
		return text + "; name a directory in DHCP4D_STORE, or move that file away, then" + remedy[1:]
	case errors.As(e.err, new(*notFileError)):
		return text + "; move it away, then" + remedy[1:]
	case errors.Is(e.err, syscall.EISDIR):
		return text + "; move that directory away, then" + remedy[1:]
	case errors.Is(e.err, fs.ErrNotExist), errors.Is(e.err, syscall.ELOOP):
		return text + ", although its name is there; remove that link, then" + remedy[1:]
	}
	return text + "; see in the kernel's log whether the disk fails, copy the directory to another, or" + remedy[1:]
}
