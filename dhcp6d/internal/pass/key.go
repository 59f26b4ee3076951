package pass

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// Key makes and checks the contexts in Relay-forwards.
type Key [32]byte

// keyFile is the name of the key's file in the state directory.
const keyFile = "relay-key"

// ReadKey returns the key in the state directory. If there is none, it makes one, which is on
// stable storage before it is returned. The file holds 64 hexadecimal digits, for its owner only.
func ReadKey(dir string) (Key, error) {
	path := filepath.Join(dir, keyFile)
	key, err := readKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	var made Key
	_, _ = rand.Read(made[:]) // never fails
	if err := writeKey(path, made); err != nil && !errors.Is(err, fs.ErrExist) {
		return Key{}, fmt.Errorf("keeping the key of passed messages: %w; "+
			"make the directory writable or name another in DHCP6D_STATE_DIR", err)
	}
	return readKey(path)
}

func readKey(path string) (key Key, err error) {
	content, err := config.ReadFile(path)
	if err != nil {
		return key, fmt.Errorf("reading the key of passed messages: %w", err)
	}
	text := strings.TrimSpace(string(content))
	n, err := hex.Decode(key[:], []byte(text[:min(len(text), 2*len(key))]))
	if err != nil || n != len(key) || len(text) != 2*len(key) {
		return Key{}, fmt.Errorf("reading the key of passed messages: %s does not hold %d hexadecimal digits; "+
			"remove it and dhcp6d makes a new one "+
			"(answers to messages that are on their way are then dropped, and clients ask again)", path, 2*len(key))
	}
	return key, nil
}

// writeKey makes the file with all of its content or not at all. It never replaces a file: a link
// fails if the name is taken.
func writeKey(path string, key Key) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, keyFile+".new-*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // the link keeps the content
	_, err = fmt.Fprintf(f, "%x\n", key[:])
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
