package durable

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// damage is a change of a store, and what dhcp4d must say about it.
type damage struct {
	name string
	do   func(dir string) error
	says string
}

// damages has the kind of store as key.
var damages = map[string][]damage{
	"pebble": {
		{"an octet of a table changed", edit("*.sst", flip), "is damaged"},
		{"a table cut short", edit("*.sst", halve), "is damaged"},
		{"an octet of the manifest changed", edit("MANIFEST-*", flip), "is damaged"},
		{"a table missing", remove("*.sst"), "is damaged"},
	},
	// The first segment has the records of the first run. The second run continues its chain in
	// another segment.
	"journal": {
		{"an octet of a batch changed", edit("segment-*1", func(c []byte) []byte { c[4096+50] ^= 0xff; return c }), "is damaged"},
		{"an octet of the first batch changed", edit("segment-*1", func(c []byte) []byte { c[50] ^= 0xff; return c }), "is damaged"},
		{"a segment cut short", edit("segment-*1", func(c []byte) []byte { return c[:8192] }), "is damaged"},
		{"a segment missing", remove("segment-*1"), "is damaged"},
	},
}

func flip(c []byte) []byte  { c[len(c)/3] ^= 0xff; return c }
func halve(c []byte) []byte { return c[:len(c)/2] }

// edit changes each file that matches the pattern.
func edit(pattern string, change func([]byte) []byte) func(dir string) error {
	return func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			return fmt.Errorf("no file %s (%w)", pattern, err)
		}
		for _, n := range names {
			content, err := os.ReadFile(n)
			if err != nil {
				return err
			}
			if err := os.WriteFile(n, change(content), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

func remove(pattern string) func(dir string) error {
	return func(dir string) error {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			return fmt.Errorf("no file %s (%w)", pattern, err)
		}
		return os.Remove(names[0])
	}
}

// TestRefused starts dhcp4d on stores that it must refuse and leave as they are.
func TestRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		t.Run("store "+kind, func(t *testing.T) {
			t.Parallel()
			refusals(t, kind)
		})
	}
}

func refusals(t *testing.T, kind string) {
	b := newBench(t)
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(b.config.Dir, "dhcp4d"))
	b.start()
	good := filepath.Join(b.config.Dir, "dhcp4d")
	w := b.crowd(ackcheck.Config{Clients: 100, Window: 32, Keep: true})
	for run := range 2 {
		if run > 0 {
			b.start4()
		}
		before := w.Acks.Load()
		stop := b.load(w)
		b.await("leases", func() bool { return w.Acks.Load() > before+300 })
		stop()
		if run == 0 {
			if err := b.four.Stop(10 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
	}

	t.Run("a store that another process holds", func(t *testing.T) {
		b.refused(t, kind+":"+good, good, "is in use by process ", false)
	})
	if err := b.four.Stop(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, tt := range append(damages[kind],
		damage{"a store of a newer format", edit("dhcp4d-store", func(c []byte) []byte {
			return regexp.MustCompile("format [0-9]+").ReplaceAll(c, []byte("format 99"))
		}), "was written by a newer dhcp4d (format 99"},
		damage{"a label that cannot be read", edit("dhcp4d-store", func([]byte) []byte { return []byte("?") }), "is damaged"},
		damage{"a store without its label", remove("dhcp4d-store"), "dhcp4d-store: it is missing"},
		damage{"a directory that is no store", func(dir string) error {
			return errors.Join(os.RemoveAll(dir), os.CopyFS(dir, fstest.MapFS{"photo": {Data: []byte("of a dog"), Mode: 0o600}}))
		}, "no lease store"},
	) {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "store")
			if err := os.CopyFS(dir, os.DirFS(good)); err != nil {
				t.Fatal(err)
			}
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			b.refused(t, kind+":"+dir, dir, tt.says, true)
		})
	}
}

// refused checks that dhcp4d does not start on the store: status 1, and one line that says what is
// wrong and where. No file may change, unless another process may change them (still is false).
func (b *bench) refused(t *testing.T, store, dir, says string, still bool) {
	t.Helper()
	program, err := servers.Find("dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	before := content(t, dir)
	p, err := b.server.Start([]string{"DHCP4D_STORE=" + store, "DHCP4D_LOG_LEVEL=warn",
		"DHCP4D_METRICS_LISTEN=[::1]:19567", "DHCP4D_IPC_LISTEN=[::1]:16768",
		"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}]}]"}, program)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, err := p.Wait(ctx)
	if err != nil || status != 1 {
		t.Errorf("status %d (%v), want 1", status, err)
	}
	said := strings.TrimSpace(p.Output())
	if !strings.Contains(said, says) || !strings.Contains(said, dir) || strings.Contains(said, "\n") {
		t.Errorf("dhcp4d says\n%s\nwant one line with %q and the directory", said, says)
	}
	if after := content(t, dir); still && !maps.Equal(before, after) {
		t.Errorf("the directory has changed: it had %v, and has %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
	}
}

// content returns a sum of each file below a directory, without the lock file, which readers make.
func content(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	sums := make(map[string][32]byte)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "LOCK" {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		sums[path] = sha256.Sum256(append(b, fmt.Sprint(info.ModTime(), info.Mode())...))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

func TestSockets(t *testing.T) {
	t.Parallel()
	t.Run("D4-4 dhcp4d has no IPv4 and no raw socket", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.start()
		w := b.crowd(ackcheck.Config{Clients: 10, Window: 4})
		stop := b.load(w)
		b.await("ACKs", func() bool { return w.Acks.Load() > 20 })
		stop()
		inodes := make(map[string]bool)
		fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", b.four.PID()))
		if err != nil {
			t.Fatal(err)
		}
		for _, fd := range fds {
			if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
				inodes[strings.Trim(to, "socket:[]")] = true
			}
		}
		has := func(kind string) bool {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", b.four.PID(), kind))
			if err != nil {
				return false // this kernel does not have that protocol
			}
			for l := range strings.Lines(string(text)) {
				f := strings.Fields(l)
				inode := 9
				if kind == "packet" {
					inode = 8
				}
				if len(f) > inode && inodes[f[inode]] {
					return true
				}
			}
			return false
		}
		for _, kind := range []string{"udp", "udplite", "tcp", "icmp", "icmp6", "raw", "raw6", "packet"} {
			if has(kind) {
				t.Errorf("dhcp4d has a socket in /proc/net/%s", kind)
			}
		}
		if !has("udp6") || !has("tcp6") {
			t.Error("the sockets of its IPC and its metrics are not found, so the test sees nothing")
		}
	})
}
