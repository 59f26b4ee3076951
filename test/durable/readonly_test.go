package durable

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

// TestDiskTurnsReadOnly gives dhcp4d a disk whose file system turns read-only under load, as ext4
// does after an error. dhcp4d acknowledges nothing, and says so to everybody who asks. It serves
// again at once when a copy of the disk is mounted in its place, or after a restart when the disk
// was repaired. Nothing that was acknowledged is lost, but for a Pebble store on a disk that was
// repaired: while ext4 gives up its journal, it reports a sync of a file that grows as done when it
// is not. The file of a journal does not grow.
func TestDiskTurnsReadOnly(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		for repair, how := range map[bool]string{true: "is repaired", false: "is hidden by a copy"} {
			t.Run("store "+kind+", the disk "+how, func(t *testing.T) {
				t.Parallel()
				turnsReadOnly(t, kind, repair)
			})
		}
	}
}

func turnsReadOnly(t *testing.T, kind string, repair bool) {
	b := newBench(t)
	disk, dir := filepath.Join(t.TempDir(), "disk"), filepath.Join(b.config.Dir, "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"truncate -s 96M " + disk, "mke2fs -q -F -t ext4 " + disk,
		// A kernel that mounts no image has no disk for this test.
		"unshare --mount mount -o loop " + disk + " " + dir} {
		words := strings.Fields(command)
		if said, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput(); err != nil {
			netnstest.Skip(t, fmt.Sprintf("%s: %v: %s", command, err, said))
		}
	}
	// The kernel unmounts a disk some time after the last process of a mount namespace has ended.
	// What it writes then would spoil the journal of whoever has mounted the image again.
	unmounted := func() {
		t.Helper()
		b.await("the disk to be unmounted", func() bool {
			devices, err := exec.CommandContext(t.Context(), "losetup", "--noheadings", "--associated", disk).Output()
			return err == nil && len(devices) == 0
		})
	}
	unmounted()
	b.config.Through = []string{"unshare", "--mount", "sh", "-c",
		`mount -o loop "$0" "$1" && shift && exec "$@"`, disk, dir}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(dir, "leases"))
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 250, Window: 16})
	stop := b.load(w)
	inside := func(script string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), "nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", b.four.PID()),
			"sh", "-ec", script, disk, dir)
		if said, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", script, err, said)
		}
	}
	b.await("ACKs before", func() bool { return w.Acks.Load() > 100 })
	inside(`mount -o remount,abort "$1"`)
	b.await("dhcp4d not to be ready", func() bool {
		m, err := b.four.Metrics()
		return err == nil && m["dhcp4d_ready"] == 0
	})
	b.await("dhcp6d to count the backend as unable", func() bool {
		m, err := b.six.Metrics()
		if err != nil {
			return false
		}
		for series, n := range m {
			if strings.HasPrefix(series, "dhcp6d_ipc_backend_state{") &&
				strings.Contains(series, `state="unable"`) && n == 1 {
				return true
			}
		}
		return false
	})
	b.await("a query dropped with store_error", func() bool { return b.dropped() > 0 })
	b.await("the count of the failure", func() bool { return b.counts("dhcp4d_store_errors_total") > 0 })
	at := w.Acks.Load()
	time.Sleep(2 * time.Second)
	if n := w.Acks.Load() - at; n > 0 {
		t.Errorf("%d ACKs while the disk is read-only", n)
	}
	said := b.four.Output()
	for _, word := range []string{"lease store failed; nothing is acknowledged until it is back",
		"read-only file system", dir} {
		if !strings.Contains(said, word) {
			t.Errorf("dhcp4d does not log %q: %s", word, said)
		}
	}
	if repair {
		// dhcp4d holds its lock, so the disk can only be unmounted when it has ended.
		stop()
		b.stop4()
		unmounted()
		for _, command := range []string{"e2fsck -fy " + disk, "unshare --mount mount -o loop " + disk + " " + dir} {
			words := strings.Fields(command)
			var status *exec.ExitError
			said, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
			if err != nil && (!errors.As(err, &status) || status.ExitCode() != 1) { // 1: e2fsck has repaired it
				t.Fatalf("%s: %v: %s", command, err, said)
			}
		}
		unmounted()
		b.start4()
		stop = b.load(w)
	} else {
		inside(`cp -a "$1" "$1.copy" && mount --bind "$1.copy" "$1"`)
	}
	space := time.Now()
	b.await("an ACK when the disk is back", func() bool { return w.LastACK().After(space) })
	t.Logf("first ACK %v after the disk was back", time.Since(space).Round(time.Millisecond))
	stop()
	if err := b.verify(w); err != nil && (kind != "pebble" || !repair) {
		t.Error(err)
	}
	if ended(b.four) {
		t.Error("dhcp4d has ended")
	}
}
