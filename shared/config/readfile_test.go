package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// A named pipe that nobody writes to holds up no start and no reload. What somebody writes to one
// is read.
func TestReadFileDoesNotWaitForAWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if content, err := config.ReadFile(path); err != nil || len(content) != 0 {
		t.Errorf("%q, %v", content, err)
	}
	writer, err := os.OpenFile(path, os.O_RDWR, 0) // of a pipe, this does not wait for a reader
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("key ", 500)
	if _, err := writer.WriteString(text); err != nil {
		t.Fatal(err)
	}
	read := make(chan string)
	go func() {
		content, err := config.ReadFile(path)
		if err != nil {
			t.Error(err)
		}
		read <- string(content)
	}()
	for opened := false; !opened; { // until the reader has the pipe open, or nothing is left in it
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, e := range entries {
			if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil && to == path {
				n++
			}
		}
		opened = n > 1
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-read; got != text {
		t.Errorf("%d octets of %d", len(got), len(text))
	}
}

func TestReadFileSaysWhy(t *testing.T) {
	if _, err := config.ReadFile(filepath.Join(t.TempDir(), "none")); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestReadFileHasAnEnd(t *testing.T) {
	sparse := filepath.Join(t.TempDir(), "sparse")
	if err := errors.Join(os.WriteFile(sparse, nil, 0o600), os.Truncate(sparse, 1<<40)); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/dev/zero", sparse} {
		if _, err := config.ReadFile(path); err == nil || !strings.Contains(err.Error(), path+" has more than") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if content, err := config.ReadFile("/dev/null"); err != nil || len(content) != 0 {
		t.Errorf("%q, %v", content, err)
	}
}
