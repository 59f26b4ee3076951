package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
)

// TestFullDisk gives dhcp4d a small file system of its own, in a mount namespace, and fills it
// under load. DHCP4O6_FULL_DISKS is the number of rounds.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	// After some rounds a store has all the files that it needs, and uses them again: it goes on
	// writing on a full disk. Then the next rounds have a new store.
	for kind, most := range map[string]int{"pebble": 3, "journal": 1} {
		t.Run("D4-26 on a full disk there is no ACK, drops are counted, and with space the same process serves, store "+kind, func(t *testing.T) {
			t.Parallel()
			for left := rounds(t, "DHCP4O6_FULL_DISKS", 1); left > 0; left -= most {
				t.Run(fmt.Sprintf("%d left", left), func(t *testing.T) { fullDisk(t, kind, min(left, most)) })
			}
		})
	}
}

// fullDisk fills the disk of one dhcp4d so many times.
func fullDisk(t *testing.T, kind string, disks int) {
	b := newBench(t)
	b.config.Through = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"`, b.config.Dir}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(b.config.Dir, "dhcp4d"))
	b.start()
	// Clients also release: on a full disk a journal still has room for some thousand commit
	// groups, and a renewal within a second writes nothing.
	w := b.crowd(ackcheck.Config{Clients: 250, Window: 16})
	stop := b.load(w)
	inside := filepath.Join(fmt.Sprintf("/proc/%d/root", b.four.PID()), b.config.Dir)
	ballast := filepath.Join(inside, "ballast")
	for round := range disks {
		before := w.Acks.Load()
		b.await("ACKs before", func() bool { return w.Acks.Load() > before+100 })
		counted := b.dropped()
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		// A store that fails is opened again and removes old files, which frees some space. So the
		// test writes until there is no ACK for two seconds.
		quiet := time.Now()
		acks := w.Acks.Load()
		b.await("two seconds without an ACK", func() bool {
			_, err := f.Write(make([]byte, 64<<10))
			for err == nil {
				_, err = f.Write(make([]byte, 4<<10))
			}
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			if now := w.Acks.Load(); now != acks {
				acks, quiet = now, time.Now()
			}
			return time.Since(quiet) > 2*time.Second && b.dropped() > counted
		})
		if err := errors.Join(f.Close(), os.Remove(ballast)); err != nil {
			t.Fatal(err)
		}
		space := time.Now()
		b.await("an ACK once there is space", func() bool { return w.LastACK().After(space) })
		t.Logf("round %d: first ACK %v after there was space, %v queries dropped with store_error",
			round, time.Since(space).Round(time.Millisecond), b.dropped()-counted)
		if ended(b.four) {
			t.Fatal("dhcp4d has ended")
		}
	}
	stop()
	// Leases acknowledged before and after the disk was full survive a kill. The mount ends with
	// the process, so its files are copied first.
	saved := filepath.Join(t.TempDir(), "dhcp4d")
	if err := b.four.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(saved, os.DirFS(filepath.Join(inside, "dhcp4d"))); err != nil {
		t.Fatal(err)
	}
	b.four.Kill()
	b.config.Through = nil
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+saved)
	b.start4()
	n, lost, err := w.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d leases verified, %d lost", n, len(lost))
	b.faultless(w)
}

// dropped returns the number of queries that dhcp4d dropped because of its store.
func (b *bench) dropped() float64 {
	b.t.Helper()
	m, err := b.four.Metrics()
	if err != nil {
		b.t.Fatal(err)
	}
	var sum float64
	for series, n := range m {
		if strings.HasPrefix(series, "dhcp4d_packets_dropped_total{") && strings.Contains(series, `reason="store_error"`) {
			sum += n
		}
	}
	return sum
}
