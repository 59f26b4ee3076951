package server

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	key      = ipc.Key{ID: 1, Secret: []byte("0123456789abcdef0123456789abcdef")}
	otherKey = ipc.Key{ID: 1, Secret: []byte("another secret of the same number")}
)

// TestAttacks is somebody on the network of the IPC who hears everything and
// sends what he likes from the address of a dhcp6d, but has no key.
func TestAttacks(t *testing.T) {
	b := newBench(t, key)
	six := ipctest.New(t, drop.DHCP6D, "dhcp4d", key)
	b.meet(t, six)
	discover := frame(t, query(message(dhcp4.Discover, 1)), direct)
	request := frame(t, query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"),
		addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))), direct)
	release := func() []byte {
		m := message(dhcp4.Release, 1, addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))
		copy(m[12:], []byte{192, 0, 2, 10})
		return frame(t, query(m), direct)
	}()
	send := func(data []byte) { b.server.batch([]udp.Packet{{Data: bytes.Clone(data), Peer: sixd}}) }
	// exchange is a genuine query and its genuine answer, both heard.
	exchange := func(data []byte) (asked, answered []byte) {
		t.Helper()
		asked = six.Sign(data)
		send(asked)
		p := b.ipc.Sent(1)[0]
		answered = bytes.Clone(p.Data)
		p.Data = six.Open(p.Data)
		answer(t, p)
		return asked, answered
	}
	heardDiscover, heardOffer := exchange(discover)
	heardRequest, heardACK := exchange(request)
	heardProbe := six.Probe(1)
	send(heardProbe)
	heardReply := bytes.Clone(b.ipc.Sent(1)[0].Data)
	six.Open(heardReply)
	// RELEASEs that are not for us: to another dhcp4d, and of another dhcp6d that has a session
	// with us at another address.
	elsewhere := func(second *ipctest.Half) []byte {
		second.Meet(ipctest.New(t, drop.DHCP4D, second.Backend, key).Answer)
		return second.Sign(release)
	}
	toAnother, ofAnother := elsewhere(ipctest.New(t, drop.DHCP6D, "dhcp4d-2", key)), elsewhere(ipctest.New(t, drop.DHCP6D, "dhcp4d", key))
	heard := [][]byte{heardDiscover, heardRequest, heardProbe, toAnother, ofAnother, heardOffer, heardACK, heardReply}

	forger := ipctest.New(t, drop.DHCP6D, "dhcp4d", otherKey)
	forger.Meet(ipctest.New(t, drop.DHCP4D, "dhcp4d", otherKey).Answer)
	old := &ipctest.Old{Key: key, Backend: "dhcp4d", From: 'q'}
	oldForger := &ipctest.Old{Key: otherKey, Backend: "dhcp4d", From: 'q'}
	random := rand.New(rand.NewPCG(1, 2))
	kinds := []struct {
		name string
		make func() []byte
	}{
		{"IPC-27 unsigned", func() []byte { return release }},
		{"IPC-27 forged", func() []byte { return forger.Sign(release) }},
		{"IPC-27 forged under the id of the session", func() []byte {
			d := forger.Sign(release)
			copy(d[len(d)-sessionAt:], heardDiscover[len(heardDiscover)-sessionAt:len(heardDiscover)-16])
			return d
		}},
		{"IPC-27 a forged greeting", func() []byte { return forger.Probe(1) }},
		{"IPC-27 forged by HMAC", func() []byte { return oldForger.Sign(release, b.clocks.Read().Wall) }},
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
		{"IPC-27 by HMAC, while there is a session", func() []byte {
			return old.Sign(release, b.clocks.Read().Wall)
		}},
		{"IPC-27 by HMAC, stale", func() []byte { return old.Sign(release, b.clocks.Read().Wall.Add(-31*time.Second)) }},
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
	n := ipctest.Attacks(100_000) / (len(kinds) + 1)
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			send(six.Probe(1)) // the next one is late if the answer to this one is half a minute old
			six.Open(b.ipc.Sent(1)[0].Data)
			attack(t, n, k.make)
		})
	}
	t.Run("IPC-27 replayed after a restart", func(t *testing.T) {
		b.restart(key)
		// A probe of before is answered, as its sender may not know that we have started again.
		messages := slices.DeleteFunc(slices.Clone(heard), func(d []byte) bool { return bytes.Equal(d, heardProbe) })
		attack(t, n, func() []byte { return messages[random.IntN(len(messages))] })
		send(heardProbe)
		if got := b.ipc.Sent(1); len(got) != 1 {
			t.Errorf("IPC-27 %d answers", len(got))
		}
		b.meet(t, six)
		exchange(discover)
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
	})
	exchange(request)
	if got := b.sum(t, "dhcp4d_lease_events_total", "event=released"); got != 0 {
		t.Errorf("IPC-27 %v leases were released by an attacker", got)
	}
}

// sessionAt is where the sequence number stands in a session's trailer, from the end.
const sessionAt = 40

// TestOldDHCP6D is a dhcp6d of a version that knows no sessions.
func TestOldDHCP6D(t *testing.T) {
	old := &ipctest.Old{Key: key, Backend: "dhcp4d", From: 'q'}
	b := newBench(t, key)
	good := frame(t, query(message(dhcp4.Discover, 1)), direct)
	for range 3 {
		for _, content := range [][]byte{ipc.AppendProbe(nil), good} {
			b.server.batch([]udp.Packet{{Data: old.Sign(content, b.clocks.Read().Wall), Peer: sixd}})
			d := b.ipc.Sent(1)[0].Data
			if !old.Takes(d) {
				t.Errorf("IPC-27 an old dhcp6d does not take %x", d)
			}
		}
	}
	six := ipctest.New(t, drop.DHCP6D, "dhcp4d", key) // it is upgraded
	b.meet(t, six)
	b.server.batch([]udp.Packet{{Data: six.Sign(good), Peer: sixd}})
	six.Open(b.ipc.Sent(1)[0].Data)
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
		six := ipctest.New(t, drop.DHCP6D, "dhcp4d", key)
		b.meet(t, six)
		exchange := func() {
			t.Helper()
			b.server.batch([]udp.Packet{{Data: six.Sign(good), Peer: sixd}})
			six.Open(b.ipc.Sent(1)[0].Data)
			b.server.batch([]udp.Packet{{Data: six.Probe(1), Peer: sixd}})
			six.Open(b.ipc.Sent(1)[0].Data)
		}
		set := func(keys ...ipc.Key) func() { return func() { b.end.Configure(keys, true) } }
		setSix := func(keys ...ipc.Key) func() { return func() { six.End.Configure(keys, true) } }
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
			t.Log(step.name)
			exchange()
		}
	})
	t.Run("IPC-27 an ACK is signed when it leaves", func(t *testing.T) {
		w, b := new(Replies), newBench(t, key)
		b.meet(t, ipctest.New(t, drop.DHCP6D, "dhcp4d", key))
		peer := (*b.server.Peers.Load())[sixd].IPC
		buf := append([]byte("other"), "ack"...)
		buf = w.add(buf, 5, way{to: sixd}, dhcp4.ACK, peer, basis{})
		start := len(buf)
		buf = w.add(append(buf, "next"...), start, way{}, dhcp4.ACK, nil, basis{})
		if len(buf) != 5+3+ipc.SignatureLen+4 || string(w.answers[0].data) != "ack" || string(w.answers[1].data) != "next" {
			t.Fatalf("%q", buf)
		}
		signed, ok := b.done.Signer.Append(w.answers[0].data, 0, peer, b.clocks.Read().Wall)
		if !ok || len(signed) != 3+ipc.SignatureLen {
			t.Fatalf("signed: %x, %v", signed, ok)
		}
		if &signed[0] != &buf[5] || string(w.answers[1].data) != "next" {
			t.Error("it was moved, or ran over the next")
		}
	})
}
