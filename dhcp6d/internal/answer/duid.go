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

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// A DUID is 2 octets of type and 1 to 128 octets of body. It is opaque (RFC 9915 section 11).
const (
	minDUID = 3
	maxDUID = 130

	typeUUID = 4 // RFC 6355
	lenUUID  = 18

	duidFile = "duid"
	// keaFile is the file in which kea-dhcp6 keeps its DUID, in the same form.
	keaFile = "kea-dhcp6-serverid"
)

// DUID returns the server's identity from the state directory. If there is none, it makes one of
// type 4 with a random UUID (RFC 6355), which depends on no interface and which no other daemon
// has. A new DUID is on stable storage before it is returned.
//
// The file duid holds hexadecimal digits, with or without colons between the octets. If it does not
// exist, DUID reads kea-dhcp6-serverid, in which a kea-dhcp6 keeps its own. Daemons that start
// together on one directory get one identity.
func DUID(dir string) ([]byte, error) {
	path := filepath.Join(dir, duidFile)
	for _, name := range []string{duidFile, keaFile} {
		duid, err := readDUID(filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return duid, err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the state directory: %w; make it or name another in DHCP6D_STATE_DIR", err)
	}
	if err := writeDUID(path, newDUID()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("keeping the server's DUID: %w; make the directory writable or name another in "+
			"DHCP6D_STATE_DIR", err)
	}
	return readDUID(path)
}

func newDUID() []byte {
	duid := make([]byte, lenUUID)
	_, _ = rand.Read(duid[2:]) // never fails
	duid[1] = typeUUID
	duid[8] = duid[8]&0x0f | 0x40
	duid[10] = duid[10]&0x3f | 0x80 // version 4, RFC 9562
	return duid
}

func readDUID(path string) ([]byte, error) {
	content, err := config.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the server's DUID: %w", err)
	}
	duid, wrong := parseDUID(string(content))
	if wrong != "" {
		return nil, fmt.Errorf("reading the server's DUID: %s %s; write the old DUID into it as hexadecimal digits, "+
			"or remove it and dhcp6d makes a new one (clients then see another server identifier, and keep what they "+
			"have)", path, wrong)
	}
	return duid, nil
}

// parseDUID reads hexadecimal text, plain ("00040a0b") or with a colon between the octets
// ("0:4:0a:0b", as Kea writes it). It returns what is wrong with any other content.
func parseDUID(content string) (duid []byte, wrong string) {
	text := strings.TrimSpace(content)
	switch {
	case text == "":
		return nil, "is empty"
	case strings.Trim(text, "\x00") == "":
		return nil, "holds zero octets only, as a power cut may leave it"
	}
	if strings.Contains(text, ":") {
		octets := strings.Split(text, ":")
		for i, o := range octets {
			if len(o) == 1 {
				octets[i] = "0" + o
			} else if len(o) != 2 {
				return nil, "does not hold hexadecimal octets with colons between them"
			}
		}
		text = strings.Join(octets, "")
	}
	duid, err := hex.DecodeString(text)
	if err != nil {
		return nil, "does not hold hexadecimal digits"
	}
	if len(duid) < minDUID || len(duid) > maxDUID {
		return nil, fmt.Sprintf("holds %d octets, and a DUID has %d to %d", len(duid), minDUID, maxDUID)
	}
	if duid[0] == 0 && duid[1] == typeUUID && len(duid) != lenUUID {
		return nil, fmt.Sprintf("holds %d octets, and a DUID of type 4 has %d", len(duid), lenUUID)
	}
	return duid, ""
}

// writeDUID makes the file with all of its content or not at all. It never replaces a file: a link
// fails if the name is taken.
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
