package server

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// TestAttacks has an attacker on the network of the IPC. It hears everything and can send anything
// from the address of a dhcp4d, but has no key.
func TestAttacks(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key}, backend.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
	four := ipctest.New(t, drop.DHCP4D, "four", key)
	b.meet(t, four)
	// exchange is a genuine query and its genuine answer. The attacker has heard both.
	exchange := func() (asked, answered []byte) {
		t.Helper()
		b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
		asked = b.ipc.Sent(1)[0].Data
		answered = four.Sign(back(t, four.Open(asked)))
		b.down.batch([]udp.Packet{{Data: bytes.Clone(answered), Peer: fourd}})
		b.link.Sent(1)
		return asked, answered
	}
	asked, answered := exchange()
	plain := answered[:len(answered)-ipc.SignatureLen]
	probed, reply := b.probe(t, four)
	// Answers of the same dhcp4d for another dhcp6d, and of another dhcp4d for us.
	second, five := ipctest.New(t, drop.DHCP6D, "four", key), ipctest.New(t, drop.DHCP4D, "five", key)
	toSecond := ipctest.New(t, drop.DHCP4D, "four", key)
	second.Meet(toSecond.Answer)
	forSecond := toSecond.Sign(plain)
	replyForSecond := toSecond.Answer(second.Probe(0))
	sixOfFive := ipctest.New(t, drop.DHCP6D, "five", key)
	sixOfFive.Meet(five.Answer)
	heard := [][]byte{asked, answered, probed, reply, forSecond, replyForSecond, five.Sign(plain), five.Answer(sixOfFive.Probe(0))}

	old := &ipctest.Old{Key: key, Backend: "four", From: 'r'}
	random := rand.New(rand.NewPCG(3, 4))
	guessed := ipc.Key{ID: key.ID, Secret: []byte("guessed")}
	forger := ipctest.New(t, drop.DHCP4D, "four", guessed)
	victim := ipctest.New(t, drop.DHCP6D, "four", guessed)
	victim.Meet(forger.Answer)
	attack := func(t *testing.T, n int, next func() []byte) {
		t.Helper()
		before := b.sum(t, "dhcp6d_packets_dropped_total", "socket=ipc", "reason=unauthentic")
		for range n / 64 {
			var batch []udp.Packet
			for range 64 {
				batch = append(batch, udp.Packet{Data: bytes.Clone(next()), Peer: fourd})
			}
			b.down.batch(batch)
		}
		if got := b.sum(t, "dhcp6d_packets_dropped_total", "socket=ipc", "reason=unauthentic") - before; got != float64(n/64*64) {
			t.Errorf("%v of %d were dropped as unauthentic", got, n/64*64)
		}
	}
	n := ipctest.Attacks(100_000) / 9
	for name, next := range map[string]func() []byte{
		"IPC-27 unsigned":                          func() []byte { return plain },
		"IPC-27 forged":                            func() []byte { return forger.Sign(plain) },
		"IPC-27 a forged greeting":                 func() []byte { return forger.Answer(victim.Probe(0)) },
		"IPC-27 truncated":                         func() []byte { d := heard[random.IntN(len(heard))]; return d[:random.IntN(len(d))] },
		"IPC-27 by HMAC, while there is a session": func() []byte { return old.Sign(plain, b.now) },
		"IPC-27 replayed or reflected":             func() []byte { return heard[random.IntN(len(heard))] },
		"IPC-27 a bit flipped on the way": func() []byte {
			d := bytes.Clone(heard[random.IntN(len(heard))])
			d[random.IntN(len(d))] ^= 1 << random.IntN(8)
			return d
		},
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, n, next)
		})
	}
	t.Run("IPC-27 replayed after a restart", func(t *testing.T) {
		b = newKeyedBench(t, ipc.Keys{key}, backend.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
		b.meet(t, four)
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
	})
	exchange()
}

// TestOldDHCP4D has a dhcp4d of a version that knows no sessions: it drops greetings and full
// probes.
func TestOldDHCP4D(t *testing.T) {
	old := &ipctest.Old{Key: key, Backend: "four", From: 'r'}
	b := newKeyedBench(t, ipc.Keys{key}, backend.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
	b.down.batch([]udp.Packet{{Data: old.Sign(ipc.AppendProbeReply(nil), b.now), Peer: fourd}})
	for range 3 {
		b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
		d := b.ipc.Sent(1)[0].Data
		if !old.Takes(d) {
			t.Errorf("IPC-27 an old dhcp4d does not take %x", d)
		}
		b.down.batch([]udp.Packet{{Data: old.Sign(back(t, d[:len(d)-ipc.SignatureLen]), b.now), Peer: fourd}})
		b.link.Sent(1)
	}
}

func TestIPC27KeaIsNeitherSignedToNorVerified(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key}, backend.Spec{Name: "kea", Daemon: "kea", Host: "::1", Port: kea.Port(), Kea: true})
	b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
	b.down.batch([]udp.Packet{{Data: back(t, b.ipc.Sent(1)[0].Data), Peer: kea}})
	b.link.Sent(1)
}

func TestIPC27TooLongWithItsSignature(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key}, backend.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
	b.meet(t, ipctest.New(t, drop.DHCP4D, "four", key))
	good := query(dhcpv4(1, 1))
	for extra := 65100; extra < 65300; extra++ {
		b.up.batch([]udp.Packet{from(client, with(good, 1000, make([]byte, extra)))})
	}
	forwarded, dropped := b.sum(t, "dhcp6d_queries_forwarded_total"), b.sum(t, "dhcp6d_packets_dropped_total", "reason=ipc_oversize")
	if forwarded == 0 || dropped == 0 || forwarded+b.sum(t, "dhcp6d_packets_dropped_total") != 200 {
		t.Errorf("%v forwarded, %v dropped", forwarded, dropped)
	}
	for _, p := range b.ipc.Sent(int(forwarded)) {
		if len(p.Data) > 65527 {
			t.Fatalf("%d octets were sent", len(p.Data))
		}
	}
}
