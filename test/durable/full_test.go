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
	for _, kind := range stores {
		t.Run("D4-26 a full disk: no ACK, counted, and the same process serves on once there is space, store "+kind, func(t *testing.T) {
			t.Parallel()
			fullDisk(t, kind)
		})
	}
}

func fullDisk(t *testing.T, kind string) {
	b := newBench(t)
	b.config.Through = []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=32m tmpfs "$0" && exec "$@"`, b.config.Dir}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(b.config.Dir, "dhcp4d"))
	b.start()
	// Clients also release. When its disk is full, a journal still has room for some thousand
	// groups, and a renewal within a second changes nothing.
	w := b.crowd(ackcheck.Config{Clients: 250, Window: 16})
	stop := b.load(w)
	inside := filepath.Join(fmt.Sprintf("/proc/%d/root", b.four.PID()), b.config.Dir)
	ballast := filepath.Join(inside, "ballast")
	n := rounds(t, "DHCP4O6_FULL_DISKS", 1)
	if kind == "journal" {
		n = 1 // it soon has all the files that it needs, and can still write when the disk is full
	}
	for round := range n {
		before := w.Acks.Load()
		b.await("ACKs before", func() bool { return w.Acks.Load() > before+100 })
		counted := b.dropped()
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		// A store that fails, opens again and removes old files frees some space. The disk is full
		// when that ends.
		quiet := time.Now()
		acks := w.Acks.Load()
		b.await("silence", func() bool {
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
		b.await("an ACK", func() bool { return w.LastACK().After(space) })
		t.Logf("round %d: first ACK %v after there was space, %v queries dropped for the store",
			round, time.Since(space).Round(time.Millisecond), b.dropped()-counted)
		select {
		case <-b.four.Ended():
			t.Fatal("dhcp4d has ended")
		default:
		}
	}
	stop()
	// What was acknowledged before and after the disk was full survives a kill. The mount belongs
	// to the process, so its files are copied out and in.
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
	looked, lost, err := w.Verify(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d leases looked for, %d lost", looked, len(lost))
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
