package answer

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// A DUID is 2 octets of type and 1 to 128 octets of body, opaque to everybody
// but its maker (RFC 9915 section 11).
const (
	minDUID = 3
	maxDUID = 130

	duidFile = "duid"
)

// DUID returns the server's identity kept in the directory. The first call
// ever makes one, of type 4 with a random UUID (RFC 6355): it depends on no
// interface, and two daemons never have the same. It is on stable storage
// before it is returned.
//
// The file holds hexadecimal text. Daemons that start together on one
// directory agree on one identity.
func DUID(dir string) ([]byte, error) {
	path := filepath.Join(dir, duidFile)
	duid, err := readDUID(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return duid, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state directory: %w; make it or name another in DHCP6D_STATE_DIR", err)
	}
	if err := writeDUID(path, newDUID()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keeping the server's DUID: %w; make the directory writable or name another in DHCP6D_STATE_DIR", err)
	}
	return readDUID(path)
}

func newDUID() []byte {
	duid := make([]byte, 18)
	_, _ = rand.Read(duid[2:]) // never fails
	duid[1] = 4                // DUID-UUID
	duid[8] = duid[8]&0x0f | 0x40
	duid[10] = duid[10]&0x3f | 0x80 // version 4, RFC 9562
	return duid
}

func readDUID(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the server's DUID: %w", err)
	}
	duid, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(duid) < minDUID || len(duid) > maxDUID {
		return nil, fmt.Errorf("%s does not hold a DUID in hexadecimal; restore it, or remove it to get a new identity", path)
	}
	return duid, nil
}

// writeDUID makes the file whole or not at all, and never replaces one: a link
// fails where the name is taken.
func writeDUID(path string, duid []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), duidFile+".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the link keeps the content
	_, err = fmt.Fprintf(f, "%x\n", duid)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
