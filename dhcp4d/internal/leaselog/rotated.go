// Package leaselog is the files of the lease log: how they are rotated, compressed and removed, and
// what they tell about an address.
//
// The hook leaselog makes the lines and writes them. It uses [File] for a log on disk.
package leaselog

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Rotation says when a log is rotated, and what becomes of the rotated files.
type Rotation struct {
	Size     uint64        // octets that a file may have; 0: any number
	Daily    bool          // each day, in UTC, has files of its own
	Compress bool          // rotated files are compressed with gzip
	Keep     time.Duration // how long rotated files stay; 0: for ever
}

// On reports whether the log is rotated at all.
func (r Rotation) On() bool { return r.Size > 0 || r.Daily }

const (
	stamp      = "20060102T150405.000Z" // of the time of rotation in UTC, behind the path and a hyphen
	compressed = ".gz"
	unfinished = ".tmp" // behind the name of a compressed file that is being written
)

// rotatedAt returns when a log rotated a file, by the file's name. It returns false for a file
// that is not one of the rotated files of that log.
func rotatedAt(path, name string) (time.Time, bool) {
	s, ok := strings.CutPrefix(name, path+"-")
	if !ok {
		return time.Time{}, false
	}
	at, err := time.Parse(stamp, strings.TrimSuffix(s, compressed))
	return at, err == nil
}

// freeName returns a name for a file that is rotated at a time.
func freeName(path string, now time.Time) string {
	for ; ; now = now.Add(time.Millisecond) {
		name := path + "-" + now.UTC().Format(stamp)
		if !exists(name) && !exists(name+compressed) {
			return name
		}
	}
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return !errors.Is(err, fs.ErrNotExist)
}

// Tidier compresses and removes rotated files of a log. One goroutine uses it.
type Tidier struct {
	old map[string]time.Time // since when a file is too old, by its name before it is compressed
}

// sureAfter is for how long a file must have been too old, by a clock that nobody can set, before
// it is removed. A wall clock that is years ahead until NTP has set it would cost the whole log.
const sureAfter = 30 * time.Minute

// Tidy does as the rotation says. It stops when ctx ends. What fails for one file is reported, and
// the others are done.
func (t *Tidier) Tidy(ctx context.Context, path string, r Rotation, now time.Time) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("looking for rotated files of the lease log: %w", err)
	}
	var errs []error
	before := t.old
	t.old = map[string]time.Time{}
	for _, e := range entries {
		name := filepath.Join(filepath.Dir(path), e.Name())
		at, ok := rotatedAt(filepath.Clean(path), strings.TrimSuffix(name, unfinished))
		if !ok || !e.Type().IsRegular() || ctx.Err() != nil {
			continue
		}
		tooOld := r.Keep > 0 && now.Sub(at) > r.Keep
		plain := strings.TrimSuffix(name, compressed)
		if tooOld {
			t.old[plain] = now
			if since, ok := before[plain]; ok {
				t.old[plain] = since
			}
		}
		switch {
		case strings.HasSuffix(name, unfinished), tooOld && now.Sub(t.old[plain]) >= min(sureAfter, r.Keep):
			err = os.Remove(name)
		case r.Compress && !strings.HasSuffix(name, compressed):
			err = compress(ctx, name)
		default:
			continue
		}
		if err != nil && ctx.Err() == nil {
			errs = append(errs, fmt.Errorf("a rotated file of the lease log stays as it is: %w", err))
		}
	}
	return errors.Join(errs...)
}

// compress replaces a file by a compressed one. At any moment one of the two has all lines on
// stable storage.
func compress(ctx context.Context, name string) (err error) {
	in, err := os.Open(name)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // nothing was written to it
	info, err := in.Stat()
	if err != nil {
		return err
	}
	temporary := name + compressed + unfinished
	out, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, out.Close())
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = os.Rename(temporary, name+compressed)
		}
		if err != nil {
			err = errors.Join(err, os.Remove(temporary))
			return
		}
		err = errors.Join(syncDirectory(filepath.Dir(name)), os.Remove(name))
	}()
	z, err := gzip.NewWriterLevel(out, gzip.BestSpeed) // the packets need the processor too
	if err != nil {
		return err
	}
	if _, err := io.Copy(z, untilDone{ctx, in}); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return out.Sync()
}

func syncDirectory(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (r untilDone) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}
