package durable

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/synctrace"
)

// TestTrace traces the system calls of dhcp4d with strace. A kill cannot show a missing sync,
// because the kernel keeps what a dead process wrote.
func TestTrace(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("strace"); err != nil {
		netnstest.Skip(t, "strace is not installed (apt-get install strace)")
	}
	trace := func(t *testing.T, store string) ([]synctrace.Call, uint64) {
		b := newBench(t)
		prefix := filepath.Join(t.TempDir(), "trace")
		b.config.Through = synctrace.Options(prefix)
		b.config.Env = append(b.config.Env, "DHCP4D_STORE="+store)
		b.start()
		w := b.crowd(ackcheck.Config{Clients: 300, Window: 32})
		stop := b.load(w)
		b.await("many ACKs", func() bool { return w.Acks.Load() > 1000 })
		stop()
		if err := b.four.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
		calls, err := synctrace.Read(prefix)
		if err != nil {
			t.Fatal(err)
		}
		return calls, w.Acks.Load()
	}
	judge := func(t *testing.T, calls []synctrace.Call) synctrace.Verdict {
		v, err := synctrace.Judge(calls)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, kind := range stores {
		t.Run("D4-26 no ACK is sent before its record is on the disk, store "+kind, func(t *testing.T) {
			t.Parallel()
			calls, read := trace(t, kind+":"+filepath.Join(t.TempDir(), kind))
			v := judge(t, calls)
			t.Logf("%d ACKs sent, %d read by clients, %d records made durable by %d syncs, %d ACKs early", v.ACKs, read, v.Records, v.Syncs, len(v.Early))
			if len(v.Early) > 0 {
				t.Errorf("%d of %d ACKs were early, the first: %s", len(v.Early), v.ACKs, v.Early[0])
			}
			if uint64(v.ACKs) < read {
				t.Errorf("the trace has %d ACKs, clients have read %d", v.ACKs, read)
			}
			// The judge must refuse the same trace without the calls that make records durable.
			var without []synctrace.Call
			for _, c := range calls {
				if c.Flags = strings.ReplaceAll(c.Flags, "O_DSYNC", "O_NOATIME"); c.Name != "fdatasync" && c.Name != "fsync" {
					without = append(without, c)
				}
			}
			if w := judge(t, without); len(w.Early) != v.ACKs {
				t.Errorf("with no sync in the trace %d of %d ACKs are early, want all", len(w.Early), v.ACKs)
			}
		})
	}
	t.Run("D4-26 without a disk all ACKs are early, and the trace shows it", func(t *testing.T) {
		t.Parallel()
		calls, read := trace(t, "memory:")
		if v := judge(t, calls); len(v.Early) != v.ACKs || uint64(v.ACKs) < read {
			t.Errorf("%d of %d ACKs are early, want all; clients have read %d", len(v.Early), v.ACKs, read)
		}
	})
}
