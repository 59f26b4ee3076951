package durable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestFilesBrokenWhileServing breaks a file of dhcp4d's state while it serves, and later kills or
// stops it. Then it starts and knows every lease that was acknowledged, or ends and says which file
// is wrong. DHCP4O6_BREAKS_SERVING is how many files are broken, each in a run of its own.
func TestFilesBrokenWhileServing(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		t.Run("store "+kind, func(t *testing.T) {
			for range rounds(t, "DHCP4O6_BREAKS_SERVING", 2) {
				brokenWhileServing(t, kind)
			}
		})
	}
}

func brokenWhileServing(t *testing.T, kind string) {
	b := newBench(t)
	b.config.Patience = 2 * time.Minute
	state := filepath.Join(b.config.Dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"),
		"DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH="+filepath.Join(state, "lease.log"),
		"DHCP4D_OUTSIDE_SOCKET="+filepath.Join(state, "socket"), "DHCP4D_OUTSIDE_EVENTS="+filepath.Join(state, "events"))
	b.start()
	defer func() { _ = b.six.Stop(20 * time.Second) }()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 8, Keep: true})
	stop := b.run(w)
	b.await("leases", func() bool { return w.Acks.Load() > 300 })
	names := filesOf(t, state)
	name, how := names[rand.IntN(len(names))], breaks[rand.IntN(len(breaks))]
	err := how.do(filepath.Join(state, name))
	for errors.Is(err, os.ErrNotExist) { // a store removes files that it no longer needs
		name = names[rand.IntN(len(names))]
		err = how.do(filepath.Join(state, name))
	}
	if err != nil {
		t.Fatalf("%s is %s: %v", name, how.name, err)
	}
	acks := w.Acks.Load()
	b.await("more ACKs, or a word that there are none", func() bool {
		m, err := b.four.Metrics()
		return w.Acks.Load() > acks+200 || (err == nil && m["dhcp4d_ready"] == 0) || ended(b.four)
	})
	m, _ := b.four.Metrics()
	stop()
	kill := rand.IntN(2) == 0
	if kill {
		// A store notes once a second how far it has come. What was acknowledged after that, and
		// written to a file that another hand has changed, is not missed after a crash.
		time.Sleep(3 * time.Second)
	}
	what := fmt.Sprintf("%s is %s while dhcp4d serves, which then is killed: %v", name, how.name, kill)
	t.Logf("%s; ready %v, %d ACKs after it", what, m["dhcp4d_ready"], w.Acks.Load()-acks)
	said := b.four.Output()
	switch {
	case ended(b.four):
		if !strings.Contains(said, filepath.Base(name)) {
			t.Errorf("%s: it has ended and does not say why: %s", what, said)
		}
	case kill:
		b.four.Kill()
	default:
		if err := b.four.Stop(30 * time.Second); err != nil && !strings.Contains(err.Error(), "status 1") {
			t.Errorf("%s: it does not stop: %v", what, err)
		}
	}
	if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
		// Pebble has other names for some of its files.
		says := []string{filepath.Base(name), filepath.Join(state, "leases") + " is damaged: its "}
		if !strings.Contains(err.Error(), "exit status 1") || !slices.ContainsFunc(says, func(s string) bool { return strings.Contains(err.Error(), s) }) {
			t.Errorf("%s: it does not start, and does not say what is wrong: %v", what, err)
		}
		return
	}
	n, lost, err := w.Verify(t.Context())
	if err != nil || n == 0 || len(lost) > 0 {
		t.Errorf("%s: %d of %d leases are lost: %v\n%s\n%s", what, len(lost), n, err, said, b.four.Output())
	}
	b.faultless(w)
	if err := b.four.Stop(30 * time.Second); err != nil {
		t.Error(err)
	}
}

// ended reports whether a daemon has ended.
func ended(half *servers.Half) bool {
	select {
	case <-half.Ended():
		return true
	default:
		return false
	}
}
