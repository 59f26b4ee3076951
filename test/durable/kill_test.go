package durable

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
)

// TestKilledUnderLoad kills dhcp4d (SIGKILL) at random moments and restarts it, under load from
// more clients than there are addresses. Then it asks for every lease that was acknowledged and not
// released. DHCP4O6_KILLS is the number of rounds.
func TestKilledUnderLoad(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		t.Run("D4-26 a kill at any moment loses no acknowledged lease, and none is given twice, store "+kind, func(t *testing.T) {
			t.Parallel()
			killed(t, kind)
		})
	}
	t.Run("D4-26 without a disk leases are lost, and the test sees it", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		b.config.Env = append(b.config.Env, "DHCP4D_STORE=memory:")
		b.start()
		w := b.crowd(ackcheck.Config{Clients: 30, Keep: true})
		stop := b.load(w)
		b.await("many ACKs", func() bool { return w.Acks.Load() > 200 })
		stop()
		b.four.Kill()
		b.start4()
		n, lost, err := w.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(lost) != n {
			t.Errorf("%d of %d leases are lost, want all", len(lost), n)
		}
	})
}

func killed(t *testing.T, kind string) {
	b := newBench(t)
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+b.config.Dir+"/"+kind)
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 540, Seed: rand.Uint64()})
	kills, checked := rounds(t, "DHCP4O6_KILLS", 5), 0
	for round := range kills {
		stop := b.load(w)
		before := w.Acks.Load()
		b.await("the first ACK of a round", func() bool { return w.Acks.Load() > before })
		time.Sleep(rand.N(400 * time.Millisecond))
		b.four.Kill()
		at := w.Acks.Load()
		b.start4()
		if round%2 == 0 { // in the other rounds the load ends soon after the kill
			b.await("an ACK after the restart", func() bool { return w.Acks.Load() > at })
		}
		stop()
		n, lost, err := w.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checked += n
		if len(lost) > 0 {
			t.Errorf("round %d: %d of %d leases are lost", round, len(lost), n)
		}
		b.faultless(w)
	}
	t.Logf("%d kills, %d ACKs, %d leases verified after the kills, none lost, none given twice", kills, w.Acks.Load(), checked)
}
