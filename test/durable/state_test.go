package durable

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// hooksThatKeep returns the environment of the hooks of dhcp4d that keep files, below a directory.
func hooksThatKeep(state string) []string {
	return []string{
		"DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH=" + filepath.Join(state, "lease.log"),
		"DHCP4D_OUTSIDE_SOCKET=" + filepath.Join(state, "socket"),
		"DHCP4D_OUTSIDE_EVENTS=" + filepath.Join(state, "events"),
	}
}

// keep sets where dhcp4d keeps its leases, and where its hooks keep their files, all below a
// directory.
func (b *bench) keep(kind, state string) {
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"))
	b.config.Env = append(b.config.Env, hooksThatKeep(state)...)
}

// fill starts the daemons, serves a crowd until it has leases, and stops dhcp4d.
func (b *bench) fill() *ackcheck.Crowd {
	b.t.Helper()
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 8, Keep: true})
	stop := b.load(w)
	b.await("leases", func() bool { return w.Acks.Load() > 200 })
	stop()
	b.stop4()
	return w
}

// verify returns an error unless dhcp4d knows every lease that was acknowledged.
func (b *bench) verify(w *ackcheck.Crowd) error {
	n, lost, err := w.Verify(b.t.Context())
	if err == nil && (n == 0 || len(lost) > 0) {
		err = fmt.Errorf("%d of %d leases are lost", len(lost), n)
	}
	return err
}

// tryV4 starts dhcp4d, verifies its leases, and stops it. The error says how it ended, or what is
// lost.
func (b *bench) tryV4(w *ackcheck.Crowd) (err error) {
	if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
		return err
	}
	err = b.verify(w)
	b.faultless(w)
	return errors.Join(err, b.four.Stop(20*time.Second))
}

// tryV6 starts dhcp6d and stops it.
func (b *bench) tryV6() error {
	half, err := servers.StartV6(b.server, servers.Ours, b.config, true)
	if err != nil {
		return err
	}
	return half.Stop(20 * time.Second)
}

// explained returns an error unless a start ended with status 1 and one of these words.
func explained(start error, words ...string) error {
	text := start.Error()
	switch {
	case !strings.Contains(text, "exit status 1"):
		return start
	case !slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) }):
		return fmt.Errorf("it does not say what is wrong: %w", start)
	}
	return nil
}

// damagedStore is what dhcp4d says if Pebble calls a damaged file by another name.
func damagedStore(state string) string { return filepath.Join(state, "leases") + " is damaged: its " }

// ended reports whether a daemon has ended.
func ended(half *servers.Half) bool {
	select {
	case <-half.Ended():
		return true
	default:
		return false
	}
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
		t.Fatalf("the files of the state are %v (%v), want at least 3", names, err)
	}
	return names
}
