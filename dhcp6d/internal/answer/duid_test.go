package answer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
)

func TestD6_8_DUIDIsMadeOnceAndKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "dhcp6d")
	first, err := answer.DUID(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(first) != 18 || first[0] != 0 || first[1] != 4 {
		t.Errorf("DUID %x is no UUID", first)
	}
	again, err := answer.DUID(dir)
	if err != nil || !bytes.Equal(first, again) {
		t.Errorf("then %x, %v; first %x", again, err, first)
	}
	other, err := answer.DUID(t.TempDir())
	if err != nil || bytes.Equal(first, other) {
		t.Errorf("another instance has the same DUID %x, %v", other, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
}

func TestDUIDsOfDaemonsThatStartTogetherAgree(t *testing.T) {
	dir := t.TempDir()
	duids := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range duids {
		all.Go(func() { duids[i], _ = answer.DUID(dir) })
	}
	all.Wait()
	for _, d := range duids {
		if d == nil || !bytes.Equal(d, duids[0]) {
			t.Errorf("DUIDs %x and %x", d, duids[0])
		}
	}
}

func TestD6_7_DUIDOfTheOperatorIsOpaque(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "duid"), []byte("00ff01\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if d, err := answer.DUID(dir); err != nil || !bytes.Equal(d, []byte{0, 255, 1}) {
		t.Errorf("%x, %v", d, err)
	}
}

func TestDUIDOfKea(t *testing.T) {
	for name, content := range map[string]string{
		"duid":               "00:01:00:01:2c:cd:68:a1:08:00:27:58:f1:e8\n",
		"kea-dhcp6-serverid": "0:1:0:1:2c:cd:68:a1:8:0:27:58:f1:e8",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		want := []byte{0, 1, 0, 1, 0x2c, 0xcd, 0x68, 0xa1, 8, 0, 0x27, 0x58, 0xf1, 0xe8}
		if d, err := answer.DUID(dir); err != nil || !bytes.Equal(d, want) {
			t.Errorf("%s: %x, %v", name, d, err)
		}
	}
}

func TestOP_4_DUIDMistakes(t *testing.T) {
	for content, want := range map[string]string{
		"":                               "is empty",
		" \n":                            "is empty",
		strings.Repeat("\x00", 37):       "holds zero octets only",
		"hello":                          "does not hold hexadecimal digits",
		"00:04:":                         "with colons between them",
		"00:04:123":                      "with colons between them",
		"00:04:zz":                       "does not hold hexadecimal digits",
		"0004":                           "holds 2 octets",
		strings.Repeat("00", 131):        "holds 131 octets",
		"0004" + strings.Repeat("a1", 7): "holds 9 octets, and a DUID of type 4 has 18", // cut
	} {
		for _, name := range []string{"duid", "kea-dhcp6-serverid"} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			d, err := answer.DUID(dir)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "remove it and dhcp6d makes a new one") {
				t.Errorf("%s with %q: %x, %v", name, content, d, err)
			}
		}
	}
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "duid"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.DUID(dir); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("a named pipe that nobody writes to: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := answer.DUID(filepath.Join(file, "dir")); err == nil || (!strings.Contains(err.Error(), "DHCP6D_STATE_DIR") && !strings.Contains(err.Error(), "not a directory")) {
		t.Errorf("state directory below a file: %v", err)
	}
}
