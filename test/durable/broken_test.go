package durable

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestFilesBrokenWhileServing breaks a file of dhcp4d's state while it serves, and later kills or
// stops it. The next start knows every lease that was acknowledged, or ends and says which file is
// wrong. DHCP4O6_BREAKS_SERVING is the number of files that are broken, each in a run of its own.
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
	b.keep(kind, state)
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
	b.await("more ACKs, or the end of dhcp4d or of its readiness", func() bool {
		m, err := b.four.Metrics()
		return w.Acks.Load() > acks+200 || (err == nil && m["dhcp4d_ready"] == 0) || ended(b.four)
	})
	m, _ := b.four.Metrics()
	stop()
	kill := rand.IntN(2) == 0
	if kill {
		// Once a second a store writes down how many batches it has. Batches after that note are
		// not missed after a crash if somebody has changed their file.
		time.Sleep(3 * time.Second)
	}
	what := fmt.Sprintf("%s is %s while dhcp4d serves; dhcp4d is killed: %v", name, how.name, kill)
	t.Logf("%s; ready %v, %d ACKs after the break", what, m["dhcp4d_ready"], w.Acks.Load()-acks)
	said := b.four.Output()
	switch {
	case ended(b.four):
		if !strings.Contains(said, filepath.Base(name)) {
			t.Errorf("%s: dhcp4d has ended and does not name the file: %s", what, said)
		}
	case kill:
		b.four.Kill()
	default:
		if err := b.four.Stop(30 * time.Second); err != nil && !strings.Contains(err.Error(), "status 1") {
			t.Errorf("%s: dhcp4d does not stop: %v", what, err)
		}
	}
	if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
		if err := explained(err, filepath.Base(name), damagedStore(state)); err != nil {
			t.Errorf("%s: dhcp4d does not start: %v", what, err)
		}
		return
	}
	if err := b.verify(w); err != nil {
		t.Errorf("%s: %v\n%s\n%s", what, err, said, b.four.Output())
	}
	b.faultless(w)
	if err := b.four.Stop(30 * time.Second); err != nil {
		t.Error(err)
	}
}
