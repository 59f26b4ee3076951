package durable

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/strace"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/witness"
)

// TestTrace has strace watch dhcp4d at work: a kill cannot show a missing
// sync, since the kernel keeps what a dead process wrote.
func TestTrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		netlab.Skip(t, "strace is not installed (apt-get install strace)")
	}
	trace := func(t *testing.T, env ...string) (strace.Verdict, uint64) {
		b := newBench(t)
		prefix := filepath.Join(t.TempDir(), "trace")
		b.config.Through = strace.Options(prefix)
		b.config.Env = append(b.config.Env, env...)
		b.start()
		w := b.crowd(witness.Config{Clients: 300, Window: 32})
		stop := b.load(w)
		b.await("many ACKs", func() bool { return w.Acks.Load() > 1000 })
		stop()
		if err := b.four.Stop(10 * time.Second); err != nil {
			t.Error(err)
		}
		calls, err := strace.Read(prefix)
		if err != nil {
			t.Fatal(err)
		}
		v, err := strace.Judge(calls)
		if err != nil {
			t.Fatal(err)
		}
		if uint64(v.ACKs) < w.Acks.Load() {
			t.Errorf("the trace shows %d ACKs, clients have read %d", v.ACKs, w.Acks.Load())
		}
		return v, w.Acks.Load()
	}
	t.Run("D4-26 no ACK is sent before the sync of its record has returned", func(t *testing.T) {
		v, read := trace(t)
		t.Logf("%d ACKs sent, %d read, %d records made durable by %d syncs, %d ACKs early", v.ACKs, read, v.Records, v.Syncs, len(v.Early))
		if len(v.Early) > 0 {
			t.Errorf("%d of %d ACKs were early, the first: %s", len(v.Early), v.ACKs, v.Early[0])
		}
	})
	t.Run("D4-26 without a disk all are early, so the trace can show it", func(t *testing.T) {
		v, _ := trace(t, "DHCP4D_STORE=memory:")
		if len(v.Early) != v.ACKs {
			t.Errorf("%d of %d ACKs are early, want all", len(v.Early), v.ACKs)
		}
	})
}
