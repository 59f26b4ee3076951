package durable

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// breaks are the ways to break a file.
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
	b.keep(kind, state)
	b.config.Env = append(b.config.Env, "DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	w := b.fill()
	good := filepath.Join(t.TempDir(), "good")
	if err := os.CopyFS(good, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	start4 := func() error { return b.tryV4(w) }
	names := filesOf(t, good)
	tried, served := 0, 0
	try := func(what string, words []string, breakIt, start func() error) {
		if err := breakIt(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		tried++
		if err := start(); err == nil {
			served++
		} else if err := explained(err, append(words, damagedStore(state))...); err != nil {
			t.Errorf("%s: %v", what, err)
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
		words := []string{filepath.Base(one), filepath.Base(other)}
		try(one+" is "+how.name+" and "+other+" is "+also.name, words, func() error {
			return errors.Join(fresh(), how.do(filepath.Join(state, one)), also.do(filepath.Join(state, other)))
		}, start4)
	}
	// The files of dhcp6d, which has no leases.
	if err := b.six.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	good6 := filepath.Join(t.TempDir(), "good6")
	if err := os.CopyFS(good6, os.DirFS(six)); err != nil {
		t.Fatal(err)
	}
	for _, name := range filesOf(t, good6) {
		for _, how := range breaks {
			try("file "+name+" of dhcp6d is "+how.name, []string{filepath.Base(name)}, func() error {
				return errors.Join(os.RemoveAll(six), os.CopyFS(six, os.DirFS(good6)), how.do(filepath.Join(six, name)))
			}, b.tryV6)
		}
	}
	t.Logf("%d damages; the daemon served after %d of them", tried, served)
}
