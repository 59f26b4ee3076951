package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// breaks are what is done to a file.
var breaks = []struct {
	name string
	do   func(path string) error
}{
	{"cut", rewritten(func(c []byte) []byte { return c[:len(c)/2] })},
	{"zeroed", rewritten(func(c []byte) []byte { clear(c); return c })},
	{"empty", rewritten(func([]byte) []byte { return nil })},
	{"flipped", rewritten(func(c []byte) []byte {
		if len(c) > 0 {
			c[len(c)/3] ^= 1
		}
		return c
	})},
	{"longer", rewritten(func(c []byte) []byte { return append(c, "longer"...) })},
	{"removed", os.Remove},
	{"a directory", instead(func(path string) error { return os.Mkdir(path, 0o700) })},
	{"a pipe", instead(func(path string) error { return unix.Mkfifo(path, 0o600) })},
	{"a socket", instead(func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o600, 0) })},
	{"a link to zeros without end", instead(func(path string) error { return os.Symlink("/dev/zero", path) })},
	{"a link to /dev/null", instead(func(path string) error { return os.Symlink("/dev/null", path) })},
	{"a link to nowhere", instead(func(path string) error { return os.Symlink("nowhere", path) })},
	{"a link to itself", instead(func(path string) error { return os.Symlink(filepath.Base(path), path) })},
}

func rewritten(change func([]byte) []byte) func(path string) error {
	return func(path string) error {
		c, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(c), 0o600)
	}
}

func instead(do func(path string) error) func(path string) error {
	return func(path string) error { return errors.Join(os.Remove(path), do(path)) }
}

// TestEveryFileOfTheState breaks every file that the daemons keep, in every way, one at a time and
// some two at a time. A daemon then starts and knows every lease that was acknowledged, or ends and
// says which file is wrong. It neither hangs nor takes memory without end.
func TestEveryFileOfTheState(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		t.Run("OP-4 dhcp4d, store "+kind, func(t *testing.T) {
			t.Parallel()
			everyFile(t, kind)
		})
	}
}

func everyFile(t *testing.T, kind string) {
	b := newBench(t)
	b.config.Patience = time.Minute
	state := filepath.Join(b.config.Dir, "state")
	six := filepath.Join(b.config.Dir, "dhcp6d")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"),
		"DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH="+filepath.Join(state, "lease.log"),
		"DHCP4D_OUTSIDE_SOCKET="+filepath.Join(state, "socket"), "DHCP4D_OUTSIDE_EVENTS="+filepath.Join(state, "events"),
		"DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 8, Keep: true})
	stop := b.load(w)
	b.await("leases", func() bool { return w.Acks.Load() > 200 })
	stop()
	b.stop4()
	good := filepath.Join(t.TempDir(), "good")
	if err := os.CopyFS(good, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	start4 := func() (err error) {
		if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
			return err
		}
		n, lost, err := w.Verify(t.Context())
		b.faultless(w)
		if err == nil && (n == 0 || len(lost) > 0) {
			err = fmt.Errorf("%d of %d leases are lost", len(lost), n)
		}
		return errors.Join(err, b.four.Stop(20*time.Second))
	}
	names := filesOf(t, good)
	tried, served := 0, 0
	try := func(what string, say []string, breakIt func() error, start func() error) {
		if err := breakIt(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		tried++
		switch err := start(); {
		case err == nil:
			served++
		case !strings.Contains(err.Error(), "exit status 1"):
			t.Errorf("%s: %v", what, err)
		// Pebble has other names for some of its files.
		case !strings.Contains(err.Error(), filepath.Join(state, "leases")+" is damaged: its ") &&
			!slices.ContainsFunc(say, func(name string) bool { return strings.Contains(err.Error(), name) }):
			t.Errorf("%s: it does not say what is wrong: %v", what, err)
		}
	}
	fresh := func() error { return errors.Join(os.RemoveAll(state), os.CopyFS(state, os.DirFS(good))) }
	for _, name := range names {
		for _, how := range breaks {
			try(name+" is "+how.name, []string{filepath.Base(name)}, func() error {
				return errors.Join(fresh(), how.do(filepath.Join(state, name)))
			}, start4)
		}
	}
	for range rounds(t, "DHCP4O6_BREAKS", 30) {
		one, other := names[rand.IntN(len(names))], names[rand.IntN(len(names))]
		how, also := breaks[rand.IntN(len(breaks))], breaks[rand.IntN(len(breaks))]
		if one == other {
			continue
		}
		say := []string{filepath.Base(one), filepath.Base(other)}
		try(one+" is "+how.name+" and "+other+" is "+also.name, say, func() error {
			return errors.Join(fresh(), how.do(filepath.Join(state, one)), also.do(filepath.Join(state, other)))
		}, start4)
	}
	// dhcp6d, which has no leases.
	if err := b.six.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	good6 := filepath.Join(t.TempDir(), "good6")
	if err := os.CopyFS(good6, os.DirFS(six)); err != nil {
		t.Fatal(err)
	}
	for _, name := range filesOf(t, good6) {
		for _, how := range breaks {
			try("of dhcp6d "+name+" is "+how.name, []string{filepath.Base(name)}, func() error {
				return errors.Join(os.RemoveAll(six), os.CopyFS(six, os.DirFS(good6)), how.do(filepath.Join(six, name)))
			}, func() error {
				half, err := servers.StartV6(b.server, servers.Ours, b.config, true)
				if err != nil {
					return err
				}
				return half.Stop(20 * time.Second)
			})
		}
	}
	t.Logf("%d damages, %d of them served", tried, served)
}

// filesOf lists the files of a directory and those below it.
func filesOf(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) < 3 {
		t.Fatalf("%v, %v", names, err)
	}
	return names
}
