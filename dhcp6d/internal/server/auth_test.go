package server

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// attacks is how many datagrams an attacker sends: DHCP4O6_ATTACKS, or a
// number that a test run can wait for.
func attacks() int {
	if n, err := strconv.Atoi(os.Getenv("DHCP4O6_ATTACKS")); err == nil {
		return n
	}
	return 100_000
}

// TestAttacks is somebody on the network of the IPC who hears everything and
// sends what he likes from the address of a dhcp4d, but has no key.
func TestAttacks(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key}, forward.Spec{Name: "four", Daemon: "four", Host: "::1", Port: 6768})
	four, verifier := ipc.NewSigner(ipc.FromBackend, ipc.Keys{key}), ipc.NewVerifier(ipc.ToBackend, ipc.Keys{key}, started)
	sign := func(s *ipc.Signer, d []byte, name string, at time.Time) []byte {
		return s.Append(bytes.Clone(d), 0, name, at)
	}
	// exchange is a genuine query and its genuine answer, both heard.
	exchange := func() (asked, answered []byte) {
		t.Helper()
		b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
		asked = b.ipc.Sent(1)[0].Data
		opened, why := verifier.Open(asked, "four", time.Now())
		if why != drop.None {
			t.Fatalf("IPC-27 the query is %v", why)
		}
		answered = sign(four, back(t, opened), "four", time.Now())
		b.down.batch([]udp.Packet{{Data: bytes.Clone(answered), Peer: backend}})
		b.link.Sent(1)
		return asked, answered
	}
	asked, answered := exchange()
	plain := answered[:len(answered)-ipc.SignatureLen]
	reply := sign(four, ipc.AppendProbeReply(nil), "four", time.Now())
	b.down.batch([]udp.Packet{{Data: bytes.Clone(reply), Peer: backend}})
	elsewhere := sign(four, plain, "five", time.Now())
	heard := [][]byte{asked, answered, reply, elsewhere}

	random := rand.New(rand.NewPCG(3, 4))
	forger := ipc.NewSigner(ipc.FromBackend, ipc.Keys{{ID: key.ID, Secret: []byte("guessed")}})
	attack := func(t *testing.T, n int, next func() []byte) {
		t.Helper()
		before := b.sum(t, "dhcp6d_packets_dropped_total", "socket=ipc", "reason=unauthentic")
		for range n / 64 {
			var batch []udp.Packet
			for range 64 {
				batch = append(batch, udp.Packet{Data: bytes.Clone(next()), Peer: backend})
			}
			b.down.batch(batch)
		}
		if got := b.sum(t, "dhcp6d_packets_dropped_total", "socket=ipc", "reason=unauthentic") - before; got != float64(n/64*64) {
			t.Errorf("%v of %d were dropped as unauthentic", got, n/64*64)
		}
	}
	n := attacks() / 7
	for name, next := range map[string]func() []byte{
		"IPC-27 unsigned":              func() []byte { return plain },
		"IPC-27 forged":                func() []byte { return sign(forger, plain, "four", time.Now()) },
		"IPC-27 truncated":             func() []byte { d := heard[random.IntN(len(heard))]; return d[:random.IntN(len(d))] },
		"IPC-27 stale":                 func() []byte { return sign(four, plain, "four", time.Now().Add(-31*time.Second)) },
		"IPC-27 replayed or reflected": func() []byte { return heard[random.IntN(len(heard))] },
		"IPC-27 a bit flipped on the way": func() []byte {
			d := bytes.Clone(heard[random.IntN(len(heard))])
			d[random.IntN(len(d))] ^= 1 << random.IntN(8)
			return d
		},
	} {
		t.Run(name, func(t *testing.T) { attack(t, n, next) })
	}
	t.Run("IPC-27 replayed after a restart", func(t *testing.T) {
		b.down.Verifier = ipc.NewVerifier(ipc.FromBackend, ipc.Keys{key}, ipc.Keys{key}.Start(t.Context()))
		attack(t, n, func() []byte { return heard[random.IntN(len(heard))] })
	})
	exchange()
}

func TestIPC27KeaIsNeitherSignedToNorVerified(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key}, forward.Spec{Name: "kea", Daemon: "kea", Host: "::1", Port: kea.Port(), Kea: true})
	b.up.batch([]udp.Packet{from(client, query(dhcpv4(1, 1)))})
	b.down.batch([]udp.Packet{{Data: back(t, b.ipc.Sent(1)[0].Data), Peer: kea}})
	b.link.Sent(1)
}

func TestIPC27TooLongWithItsSignature(t *testing.T) {
	b := newKeyedBench(t, ipc.Keys{key})
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
