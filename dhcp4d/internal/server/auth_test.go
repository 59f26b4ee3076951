package server

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	key      = ipc.Key{ID: 1, Secret: []byte("0123456789abcdef0123456789abcdef")}
	otherKey = ipc.Key{ID: 1, Secret: []byte("another secret of the same number")}
)

// attacks is how many datagrams an attacker sends: DHCP4O6_ATTACKS, or a
// number that a test run can wait for.
func attacks(t *testing.T) int {
	n, err := strconv.Atoi(os.Getenv("DHCP4O6_ATTACKS"))
	if err != nil {
		return 100_000
	}
	t.Logf("%d attacks", n)
	return n
}

// TestAttacks is somebody on the network of the IPC who hears everything and
// sends what he likes from the address of a dhcp6d, but has no key.
func TestAttacks(t *testing.T) {
	b := newBench(t, key)
	six := ipc.NewSigner(ipc.ToBackend, ipc.Keys{key})
	sign := func(s *ipc.Signer, data []byte, name string, at time.Time) []byte {
		return s.Append(bytes.Clone(data), 0, name, at)
	}
	discover := frame(t, query(message(dhcp4.Discover, 1)), direct)
	request := frame(t, query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"),
		addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))), direct)
	release := func() []byte {
		m := message(dhcp4.Release, 1, addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))
		copy(m[12:], []byte{192, 0, 2, 10})
		return frame(t, query(m), direct)
	}()
	verifier := ipc.NewVerifier(ipc.FromBackend, ipc.Keys{key}, started)
	// exchange is a genuine query and its genuine answer, both heard.
	exchange := func(data []byte) (asked, answered []byte) {
		t.Helper()
		asked = sign(six, data, "dhcp4d", time.Now())
		b.server.batch([]udp.Packet{{Data: bytes.Clone(asked), Peer: sixd}})
		p := b.ipc.Sent(1)[0]
		answered = bytes.Clone(p.Data)
		opened, why := verifier.Open(p.Data, "dhcp4d", time.Now())
		if why != drop.None {
			t.Fatalf("IPC-27 the answer is %v", why)
		}
		p.Data = opened
		answer(t, p)
		return asked, answered
	}
	heardDiscover, heardOffer := exchange(discover)
	heardRequest, heardACK := exchange(request)
	heardProbe := sign(six, ipc.AppendProbe(nil), "dhcp4d", time.Now())
	b.server.batch([]udp.Packet{{Data: bytes.Clone(heardProbe), Peer: sixd}})
	heardReply := b.ipc.Sent(1)[0].Data
	// A RELEASE to another backend, which we must not carry out.
	elsewhere := sign(six, release, "dhcp4d-2", time.Now())
	heard := [][]byte{heardDiscover, heardRequest, heardProbe, elsewhere, heardOffer, heardACK, heardReply}

	forger := ipc.NewSigner(ipc.ToBackend, ipc.Keys{otherKey})
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []struct {
		name string
		make func() []byte
	}{
		{"IPC-27 unsigned", func() []byte { return release }},
		{"IPC-27 forged", func() []byte { return sign(forger, release, "dhcp4d", time.Now()) }},
		{"IPC-27 random", func() []byte {
			d := make([]byte, random.IntN(400))
			for i := range d {
				d[i] = byte(random.Uint32())
			}
			return d
		}},
		{"IPC-27 truncated", func() []byte { d := heard[random.IntN(len(heard))]; return d[:random.IntN(len(d))] }},
		{"IPC-27 a bit flipped", func() []byte {
			d := bytes.Clone(heard[random.IntN(len(heard))])
			d[random.IntN(len(d))] ^= 1 << random.IntN(8)
			return d
		}},
		{"IPC-27 the message replaced", func() []byte {
			return append(bytes.Clone(release), heardDiscover[len(heardDiscover)-ipc.SignatureLen:]...)
		}},
		{"IPC-27 stale", func() []byte { return sign(six, release, "dhcp4d", time.Now().Add(-31*time.Second)) }},
		{"IPC-27 replayed, to another backend, or reflected", func() []byte { return heard[random.IntN(len(heard))] }},
	}
	// attack sends n datagrams and checks that each is dropped for the reason
	// that it must be.
	attack := func(t *testing.T, n int, next func() []byte) {
		t.Helper()
		before := b.sum(t, "dhcp4d_packets_dropped_total", "reason=unauthentic")
		var batch []udp.Packet
		for i := range n {
			batch = append(batch, udp.Packet{Data: bytes.Clone(next()), Peer: sixd})
			if len(batch) == 64 || i == n-1 {
				b.server.batch(batch)
				batch = batch[:0]
			}
		}
		if got := b.sum(t, "dhcp4d_packets_dropped_total", "reason=unauthentic") - before; got != float64(n) {
			t.Errorf("%v of %d were dropped as unauthentic", got, n)
		}
	}
	n := attacks(t) / (len(kinds) + 1)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { attack(t, n, k.make) })
	}
	t.Run("IPC-27 replayed after a restart", func(t *testing.T) {
		b.server.Auth.Verifier = ipc.NewVerifier(ipc.ToBackend, ipc.Keys{key}, ipc.Keys{key}.Start(t.Context()))
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
		exchange(discover)
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
	})
	exchange(request)
	if got := b.sum(t, "dhcp4d_lease_events_total", "event=released"); got != 0 {
		t.Errorf("IPC-27 %v leases were released by an attacker", got)
	}
}

func TestWhoSigns(t *testing.T) {
	good := frame(t, query(message(dhcp4.Discover, 1)), direct)
	t.Run("IPC-27 a Kea's datagrams have no signature, and their answers neither", func(t *testing.T) {
		b := newBench(t, key)
		peers := new(atomic.Pointer[Peers])
		peers.Store(&Peers{sixd: {Name: "six", Kea: true}})
		b.server.Peers = peers
		b.ask(t, good)
	})
	t.Run("IPC-27 each key of the file verifies, the first signs, and a reload loses nothing", func(t *testing.T) {
		b := newBench(t, key)
		next := ipc.Key{ID: 2, Secret: []byte("the next")}
		six := ipc.NewSigner(ipc.ToBackend, ipc.Keys{key})
		four := ipc.NewVerifier(ipc.FromBackend, ipc.Keys{key}, started)
		exchange := func(step string) {
			t.Helper()
			b.server.batch([]udp.Packet{{Data: six.Append(bytes.Clone(good), 0, "dhcp4d", time.Now()), Peer: sixd}})
			if _, why := four.Open(b.ipc.Sent(1)[0].Data, "dhcp4d", time.Now()); why != drop.None {
				t.Errorf("%s: %v", step, why)
			}
		}
		set := func(keys ...ipc.Key) func() {
			return func() { b.server.Auth.Verifier.SetKeys(keys); b.server.Auth.Signer.SetKeys(keys) }
		}
		setSix := func(keys ...ipc.Key) func() { return func() { six.SetKeys(keys); four.SetKeys(keys) } }
		for _, step := range []struct {
			name string
			do   func()
		}{
			{"nothing changed", func() {}},
			{"dhcp4d knows the next", set(key, next)},
			{"dhcp6d knows the next", setSix(key, next)},
			{"dhcp4d signs with the next", set(next, key)},
			{"dhcp6d signs with the next", setSix(next, key)},
			{"dhcp4d forgets the first", set(next)},
			{"dhcp6d forgets the first", setSix(next)},
		} {
			step.do()
			exchange(step.name)
		}
	})
	t.Run("IPC-27 an ACK is signed when it leaves", func(t *testing.T) {
		w := NewWaiting(false)
		buf := append([]byte("other"), ipc.AppendProbeReply(nil)...)
		buf = w.wait(buf, 5, sixd, dhcp4.ACK, true)
		start := len(buf)
		buf = w.wait(append(buf, "next"...), start, netip.AddrPort{}, dhcp4.ACK, false)
		if len(buf) != 5+4+ipc.SignatureLen+4 || !ipc.IsProbeReply(w.packets[0].Data) || string(w.packets[1].Data) != "next" {
			t.Fatalf("%q", buf)
		}
		signed := ipc.NewSigner(ipc.FromBackend, ipc.Keys{key}).Append(w.packets[0].Data, 0, "dhcp4d", time.Now())
		if &signed[0] != &buf[5] || string(w.packets[1].Data) != "next" {
			t.Error("it was moved, or ran over the next")
		}
	})
}
