package spool

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

func open(t testing.TB, dir string, size uint64) *Spool {
	t.Helper()
	s, err := Open(Options{Dir: dir, Size: size, Log: slog.New(slog.DiscardHandler), Lost: func(int) { t.Error("lost") }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func add(s *Spool, from, to int) {
	for i := from; i < to; i++ {
		s.Add(&outside.Event{Event: fmt.Sprint(i), Time: uint64(1000 + i), Address: netip.MustParseAddr("192.0.2.1")}, int64(i))
	}
}

// all reads everything from a position, and returns the names of the events and the last cursor.
func all(t testing.TB, s *Spool, at uint64, until int) (names []string, cursor []byte) {
	t.Helper()
	b := make([]byte, 300)                                            // one or two records
	for end := time.Now().Add(5 * time.Minute); len(names) < until; { // the disk may be busy
		n, next, err := s.Read(b, at)
		if err != nil || time.Now().After(end) {
			t.Fatalf("after %d events: %v", len(names), err)
		}
		if n == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		for octets := b[:n]; len(octets) > 0; {
			record, _, _ := outside.Next(octets, outside.MaxFromDaemon)
			r, wrong := outside.Parse(record)
			if wrong != outside.None {
				t.Fatal(wrong)
			}
			e := r.Event()
			names, cursor, octets = append(names, e.Event), slices.Clone(e.Cursor), octets[len(record):]
		}
		at = next
		if position, known := s.Position(cursor); !known || position != at {
			t.Fatalf("the cursor leads to %d, want %d", position, at)
		}
	}
	return names, cursor
}

func cursorOf(s *Spool, position uint64) []byte {
	return binary.BigEndian.AppendUint64(slices.Clone(s.number), position)
}

func numbers(from, to int) (names []string) {
	for i := from; i < to; i++ {
		names = append(names, fmt.Sprint(i))
	}
	return names
}

func TestEventsComeInOrderAlsoAfterAStart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	if s.Last() != (Last{}) {
		t.Errorf("the last is %v", s.Last())
	}
	add(s, 0, 20)
	names, cursor := all(t, s, 0, 20)
	if !slices.Equal(names, numbers(0, 20)) {
		t.Errorf("read %v", names)
	}
	if _, err := Open(Options{Dir: dir}); err == nil {
		t.Error("two processes may have one spool")
	}
	add(s, 20, 30)
	s.Close()
	s = open(t, dir, 1<<20)
	defer s.Close()
	if s.Last() != (Last{1029, 29}) {
		t.Errorf("the last is %v, want 1029 and 29", s.Last())
	}
	at, known := s.Position(cursor)
	if !known {
		t.Error("the cursor is not known")
	}
	add(s, 30, 40)
	if names, _ := all(t, s, at, 20); !slices.Equal(names, numbers(20, 40)) {
		t.Errorf("after the cursor come %v", names)
	}
	other := open(t, t.TempDir(), 1)
	defer other.Close()
	if _, known := other.Position(cursor); known {
		t.Error("another spool knows the cursor")
	}
}

func TestWhatAPowerCutLeaves(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	add(s, 0, 3)
	all(t, s, 0, 3)
	_, end := s.Bounds()
	s.Close()
	path := filepath.Join(dir, "0000000000000000"+suffix)
	whole, err := os.ReadFile(path)
	if err != nil || uint64(len(whole)) != end {
		t.Fatalf("%d octets, %v", len(whole), err)
	}
	one := len(whole) / 3
	for n := 0; n <= len(whole); n += 7 {
		for _, tail := range [][]byte{nil, make([]byte, 100), []byte("\xff\xff\xff\xff")} {
			if err := os.WriteFile(path, append(whole[:n:n], tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			s := open(t, dir, 1<<20)
			if _, end := s.Bounds(); end != uint64(n/one*one) {
				t.Errorf("of %d octets %d are kept", n, end)
			}
			add(s, 7, 8)
			want := append(numbers(0, n/one), "7")
			if names, _ := all(t, s, 0, len(want)); !slices.Equal(names, want) {
				t.Errorf("of %d octets: %v, want %v", n, names, want)
			}
			s.Close()
		}
	}
}

func TestTheOldestGo(t *testing.T) {
	s := open(t, t.TempDir(), fileSize)
	defer s.Close()
	long := outside.Event{Event: "long", Interface: string(make([]byte, 60_000))}
	_, first := s.Bounds()
	for range 4 * fileSize / 60_000 {
		s.Add(&long, 0)
		time.Sleep(100 * time.Microsecond) // so that the disk keeps up
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		oldest, last := s.Bounds()
		if oldest > 0 && last-oldest <= fileSize+fileSize/2 && last > 3*fileSize {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d to %d are kept", oldest, last)
		}
	}
	oldest, _ := s.Bounds()
	b := make([]byte, 200_000)
	if n, next, err := s.Read(b, first); err != nil || next <= oldest || n == 0 {
		t.Errorf("from the beginning %d octets up to %d, %v", n, next, err)
	}
	if _, known := s.Position(cursorOf(s, first+1)); known {
		t.Error("a cursor before the oldest is known")
	}
}

// A program that is being started has a copy of each file, until it executes.
func TestAClosedSpoolIsFreeAlthoughItsFilesAreCopied(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, 1<<20)
	other, err := unix.Dup(int(s.lock.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(other) }()
	s.Close()
	open(t, dir, 1<<20).Close()
}
