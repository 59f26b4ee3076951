package leaselog

import (
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestEndsTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for content, want := range map[string]bool{"": false, "one\n": false, "one\ntw": true} {
		write(t, path, content)
		f := open(t, path)
		if f.Torn != want {
			t.Errorf("%q ends within a line: %v, want %v", content, f.Torn, want)
		}
		if _, err := f.WriteLines([]byte("new\n"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if got := read(t, path); !strings.HasSuffix(got, "\nnew\n") && got != "new\n" {
			t.Errorf("%q is continued: %q", content, got)
		}
	}
}

func TestALineWithoutRoomLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	write(t, path, "old\none\ntw") // as a write leaves it for which the disk has not enough room
	f := open(t, path)
	f.Torn = false
	if n := f.cut([]byte("one\ntwo\n"), 6); n != 4 || f.Torn {
		t.Errorf("%d octets stay, torn %v; want 4", n, f.Torn)
	}
	if got := read(t, path); got != "old\none\n" {
		t.Errorf("the file holds %q", got)
	}
	if n := f.cut([]byte("one\ntwo\n"), 8); n != 8 || read(t, path) != "old\none\n" {
		t.Error("whole lines are cut")
	}
}

func TestWhenAFileIsRotated(t *testing.T) {
	today := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		r       Rotation
		content string
		changed time.Time
		octets  int
		want    bool
	}{
		"never":                   {Rotation{}, "one\n", today.AddDate(0, 0, -9), 100, false},
		"by size":                 {Rotation{Size: 8}, "one\n", today, 5, true},
		"by size, not yet":        {Rotation{Size: 8}, "one\n", today, 4, false},
		"an empty file":           {Rotation{Size: 8, Daily: true}, "", today.AddDate(0, 0, -1), 100, false},
		"by day":                  {Rotation{Daily: true}, "one\n", today.Add(-12*time.Hour - time.Nanosecond), 1, true},
		"by day, not yet":         {Rotation{Daily: true}, "one\n", today.Add(-12 * time.Hour), 1, false},
		"by day, in another year": {Rotation{Daily: true}, "one\n", today.AddDate(-1, 0, 0), 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "log")
			write(t, path, c.content)
			if err := os.Chtimes(path, c.changed, c.changed); err != nil {
				t.Fatal(err)
			}
			if got := open(t, path).Due(c.r, c.octets, today); got != c.want {
				t.Errorf("it is due: %v", got)
			}
		})
	}
	t.Run("a device", func(t *testing.T) {
		if open(t, os.DevNull).Due(Rotation{Size: 1, Daily: true}, 1, today) {
			t.Error("it is due")
		}
	})
}

func TestRotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	now := time.Date(2026, 11, 29, 23, 59, 59, 5e8, time.FixedZone("", 3600))
	f := open(t, path)
	for _, line := range []string{"one\n", "two\n", "three\n"} {
		if _, err := f.WriteLines([]byte(line), now); err != nil {
			t.Fatal(err)
		}
		next, err := f.Rotate(now)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		f = next
	}
	defer f.Close()
	want := []string{"log", "log-20261129T225959.500Z", "log-20261129T225959.501Z", "log-20261129T225959.502Z"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("files are %q, want %q", got, want)
	}
	if got := read(t, path) + read(t, filepath.Join(dir, want[1])); got != "one\n" {
		t.Errorf("the newest and the oldest file hold %q", got)
	}
	// Another program has moved it away and made a new one: that is taken as it is.
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write(t, path, "header\n")
	next, err := f.Rotate(now)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if _, err := next.WriteLines([]byte("four\n"), now); err != nil || read(t, path) != "header\nfour\n" || len(names(t, dir)) != 5 {
		t.Errorf("%v; files are %q", err, names(t, dir))
	}
	// Without its directory nothing can be rotated.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := next.Rotate(now); err == nil {
		t.Error("a file in no directory is rotated")
	}
}

func TestTidy(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	put := func(t *testing.T) (dir, path string) {
		dir = t.TempDir()
		path = filepath.Join(dir, "log")
		for _, name := range []string{
			"log", "log.1", "log-notes", "log-20261101T000000.000Z.old", "other-20200101T000000.000Z",
			"log-20261110T000000.000Z", "log-20261128T000000.000Z", "log-20261109T000000.000Z.gz", "log-20261127T000000.000Z.gz.tmp",
		} {
			write(t, filepath.Join(dir, name), name+"\n")
		}
		return dir, path
	}
	others := []string{"log", "log-20261101T000000.000Z.old", "log-notes", "log.1", "other-20200101T000000.000Z"}
	for name, c := range map[string]struct {
		r    Rotation
		want []string
	}{
		"only what is unfinished": {Rotation{Daily: true}, []string{"log-20261110T000000.000Z", "log-20261128T000000.000Z", "log-20261109T000000.000Z.gz"}},
		"compress":                {Rotation{Daily: true, Compress: true}, []string{"log-20261110T000000.000Z.gz", "log-20261128T000000.000Z.gz", "log-20261109T000000.000Z.gz"}},
		"keep":                    {Rotation{Daily: true, Keep: 10 * day}, []string{"log-20261128T000000.000Z"}},
		"keep and compress":       {Rotation{Daily: true, Keep: 10 * day, Compress: true}, []string{"log-20261128T000000.000Z.gz"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir, path := put(t)
			var tidier Tidier
			for _, at := range []time.Time{now, now.Add(sureAfter)} {
				if err := tidier.Tidy(t.Context(), path, c.r, at); err != nil {
					t.Fatal(err)
				}
			}
			want := slices.Sorted(slices.Values(append(slices.Clone(others), c.want...)))
			if got := names(t, dir); !slices.Equal(got, want) {
				t.Errorf("files are\n%q, want\n%q", got, want)
			}
			if c.r.Compress {
				if got := unzip(t, path+"-20261128T000000.000Z.gz"); got != "log-20261128T000000.000Z\n" {
					t.Errorf("a compressed file holds %q", got)
				}
			}
		})
	}
	t.Run("a clock that is years ahead for a while removes nothing", func(t *testing.T) {
		dir, path := put(t)
		before := names(t, dir)
		var tidier Tidier
		r := Rotation{Daily: true, Keep: 30 * day}
		years := now.AddDate(20, 0, 0)
		for _, at := range []time.Time{now, years, years.Add(sureAfter - time.Second), now, years} {
			if err := tidier.Tidy(t.Context(), path, r, at); err != nil {
				t.Fatal(err)
			}
		}
		if got := names(t, dir); len(got) != len(before)-1 { // what was unfinished is gone
			t.Errorf("files are\n%q, were\n%q", got, before)
		}
	})
	t.Run("stopped", func(t *testing.T) {
		dir, path := put(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		before := names(t, dir)
		if err := new(Tidier).Tidy(ctx, path, Rotation{Daily: true, Compress: true, Keep: day}, now); err != nil || !slices.Equal(names(t, dir), before) {
			t.Errorf("%v; files are %q", err, names(t, dir))
		}
		if err := compress(ctx, path+"-20261128T000000.000Z"); err == nil || !slices.Equal(names(t, dir), before) {
			t.Errorf("%v; files are %q", err, names(t, dir))
		}
	})
	t.Run("a file in the way", func(t *testing.T) {
		dir, path := put(t)
		in := path + "-20261128T000000.000Z.gz"
		if err := os.MkdirAll(filepath.Join(in, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := new(Tidier).Tidy(t.Context(), path, Rotation{Daily: true, Compress: true}, now); err == nil {
			t.Error("nobody says that a file was not compressed")
		}
		if got := read(t, path+"-20261128T000000.000Z"); got == "" || !slices.Contains(names(t, dir), "log-20261110T000000.000Z.gz") {
			t.Errorf("files are %q", names(t, dir))
		}
	})
}

func open(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it may be closed
	return f
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func unzip(t *testing.T, path string) string {
	t.Helper()
	z, err := gzip.NewReader(strings.NewReader(read(t, path)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A named pipe whose reader is not there yet does not hold up a start or a reload.
func TestAPipeWithoutAReaderIsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.WriteLines([]byte("one\n"), time.Now()); n != 4 || err != nil {
		t.Errorf("%d octets, %v", n, err)
	}
	reader, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	b := make([]byte, 10)
	if n, err := reader.Read(b); string(b[:n]) != "one\n" {
		t.Errorf("%q, %v", b[:n], err)
	}
}
