package ipc

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// goldenHalves are two daemons with fixed identities and a session.
func goldenHalves() (six, four *half) {
	six, four = newSix(start, key7), newFour(start, key8, key7)
	for i := range six.peer.id {
		six.peer.id[i], four.peer.id[i] = 0xa0+byte(i), 0xb0+byte(i)
	}
	for _, h := range []*half{six, four} {
		s := newSession(six.peer.id, four.peer.id, backend, h.keys.Load(), 0)
		s.ready.Store(true)
		h.peer.session.Store(s)
		h.peer.speaks.Store(speaksSessions)
	}
	six.peer.them, four.peer.them = four.peer.id, six.peer.id
	return six, four
}

// TestGoldenSession publishes the octets of a session and of greetings. The values were computed by
// other code, Python's hmac and cryptography modules, from the formats in the package comment.
func TestGoldenSession(t *testing.T) {
	const trailer = "000b002b" + "fe0200"
	now := start.Add(5 * time.Second)
	tests := []struct {
		name, want string
		got        func(six, four *half) ([]byte, *half)
	}{
		{"IPC-27 query", "140000007175657279" + trailer + "0100000000000001" + "00000007" + "60baf8c34b0fb9b4" + "00000005" +
			"a3594b02fa05be504869f0ec3015801e",
			func(six, four *half) ([]byte, *half) {
				six.signer = six.NewSigner() // its number is 1
				six.peer.session.Load().heard.Store(5)
				return six.seal("\x14\x00\x00\x00query", now), four
			}},
		{"IPC-27 answer", "15000000616e73776572" + trailer + "0000000000000001" + "00000007" + "60baf8c34b0fb9b4" + "00000003" +
			"2c0d99a48cd49bbe42e76cf7729e915b",
			func(six, four *half) ([]byte, *half) {
				four.Configure(Keys{key7}, true)
				four.peer.session.Load().heard.Store(3)
				return four.seal("\x15\x00\x00\x00answer", now), six
			}},
		{"IPC-27 probe with a greeting", "14000000" + "0011000c" + "000009bf" + "ea64000400000009" +
			"000b0048" + "fe0300" + "00" + "00000007" + "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" + "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf" +
			"0000000077359400" + "000000003b9aca00" + "22e7bb8842de3486f69530f6e618f9ac",
			func(six, four *half) ([]byte, *half) {
				six.peer.clock = uint64(time.Second)
				return six.probe(start.Add(2 * time.Second)), four
			}},
		{"IPC-27 answer with a greeting", "15000000" + "00110011" + "000009bf" + "ea64000400000009" + "ea65000100" +
			"000b0048" + "fe0300" + "01" + "00000007" + "b0b1b2b3b4b5b6b7b8b9babbbcbdbebf" + "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf" +
			"0000000059682f00" + "0000000077359400" + "bf97a00a41b227f12b9e793d024c863d",
			func(six, four *half) ([]byte, *half) {
				four.Configure(Keys{key7}, true)
				four.clock.Store(uint64(time.Second))
				return four.answer(six.probe(start.Add(2*time.Second)), start.Add(1500*time.Millisecond)), six
			}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			six, four := goldenHalves()
			got, to := tt.got(six, four)
			if hex.EncodeToString(got) != tt.want {
				t.Fatalf("\n got %x\nwant %s", got, tt.want)
			}
			if !to.opens(got, now) {
				t.Error("the other half does not take it")
			}
		})
	}
}

// slowTag is the tag of a session by its definition: GHASH bit by bit in the field of NIST SP
// 800-38D, and AES alone.
func slowTag(key []byte, nonce uint64, data []byte) []byte {
	inner, _ := aes.NewCipher(key[:16])
	outer, _ := aes.NewCipher(key[16:])
	h := make([]byte, 16)
	inner.Encrypt(h, h)
	padded := append(bytes.Clone(data), make([]byte, (16-len(data)%16)%16)...)
	padded = binary.BigEndian.AppendUint64(padded, uint64(len(data))*8)
	padded = binary.BigEndian.AppendUint64(padded, 0)
	y := new(big.Int)
	for i := 0; i < len(padded); i += 16 {
		y = timesSlow(y.Xor(y, new(big.Int).SetBytes(padded[i:i+16])), new(big.Int).SetBytes(h))
	}
	mask := make([]byte, 16)
	binary.BigEndian.PutUint64(mask[4:], nonce)
	mask[15] = 1
	inner.Encrypt(mask, mask)
	tag := y.Xor(y, new(big.Int).SetBytes(mask)).FillBytes(make([]byte, 16))
	outer.Encrypt(tag, tag)
	return tag
}

// timesSlow multiplies in the field of GHASH: bit 0 is the most significant.
func timesSlow(x, y *big.Int) *big.Int {
	z, v := new(big.Int), new(big.Int).Set(y)
	r := new(big.Int).Lsh(big.NewInt(0xe1), 120)
	for i := range 128 {
		if x.Bit(127-i) == 1 {
			z.Xor(z, v)
		}
		odd := v.Bit(0) == 1
		v.Rsh(v, 1)
		if odd {
			v.Xor(v, r)
		}
	}
	return z
}

func sealerOf(t *testing.T, key []byte) sealer {
	t.Helper()
	inner, err := aes.NewCipher(key[:16])
	if err != nil {
		t.Fatal(err)
	}
	gmac, err := cipher.NewGCM(inner)
	if err != nil {
		t.Fatal(err)
	}
	outer, err := aes.NewCipher(key[16:])
	if err != nil {
		t.Fatal(err)
	}
	return sealer{gmac, outer}
}

func TestTagTwin(t *testing.T) {
	key := make([]byte, 32)
	for n := range 400 {
		for i := range key {
			key[i] = byte(n*31 + i*7)
		}
		data := bytes.Repeat([]byte{byte(n)}, n*7%500)
		s := sealerOf(t, key)
		var m sealing
		got := m.appendTag(bytes.Clone(data), 0, &s, uint64(n)<<40+3)
		if want := slowTag(key, uint64(n)<<40+3, data); !bytes.Equal(got[len(data):], want) {
			t.Fatalf("IPC-27 the tag of %d octets is %x, want %x", len(data), got[len(data):], want)
		}
	}
}

func TestSessionRefuses(t *testing.T) {
	now := start.Add(time.Minute)
	patch := func(fromEnd int, b byte) func(*half, *half) []byte {
		return func(six, _ *half) []byte {
			d := six.seal("query", now)
			d[len(d)-fromEnd] ^= b
			return d
		}
	}
	tests := []struct {
		name  string
		after time.Duration
		make  func(six, four *half) []byte
		want  Refusal
	}{
		{"IPC-27 genuine", 0, patch(1, 0), accepted},
		{"IPC-27 on its way for 30 s", 30 * time.Second, patch(1, 0), accepted},
		{"IPC-27 stale", 31 * time.Second, patch(1, 0), Stale},
		{"IPC-27 the tag changed", 0, patch(1, 1), Forged},
		{"IPC-27 the content changed", 0, patch(shortLen+1, 1), Forged},
		{"IPC-27 another sequence number", 0, patch(shortLen-atSequence-7, 1), Forged},
		{"IPC-27 another signer", 0, patch(shortLen-atSequence, 1), Forged},
		{"IPC-27 a signer that there is not", 0, patch(shortLen-atSequence, 0x10), NoSession},
		{"IPC-27 another session", 0, patch(shortLen-atSender, 1), NoSession},
		{"IPC-27 another time", 0, patch(shortLen-atTime-3, 1), Forged},
		{"IPC-27 of the future", 0, patch(shortLen-atTime, 0x10), Stale},
		{"IPC-27 unknown key", 0, patch(shortLen-atKey-3, 1), UnknownKey},
		{"IPC-27 unsigned", 0, func(*half, *half) []byte { return []byte("query") }, Unsigned},
		{"IPC-27 a greeting under content", 0, func(six, _ *half) []byte {
			d := []byte("query")
			m := &six.signer.greetings[0]
			g := six.peer.greet(m.id, now)
			return m.appendTag(g.append(d), 0, backend, ToBackend)
		}, Unsigned},
		{"IPC-27 reflected", 0, func(_, four *half) []byte { return four.seal("query", now) }, Forged},
		{"IPC-27 for another dhcp4d", 0, func(six, _ *half) []byte {
			other := newFour(start, key7)
			greet(six, other, now)
			greet(six, other, now)
			return six.seal("query", now)
		}, NoSession},
		{"IPC-27 of another dhcp6d", 0, func(_, four *half) []byte {
			// Both are peers of the same dhcp4d, under addresses of their own.
			second := &half{four.End, four.End.Peer(backend), four.signer, four.opener}
			other := newSix(start, key7)
			greet(other, second, now)
			greet(other, second, now)
			return other.seal("query", now)
		}, NoSession},
		{"IPC-27 by HMAC", 0, func(*half, *half) []byte { return newOld(ToBackend, key7).sign("query", now) }, OldMethod},
		{"IPC-27 a new daemon by HMAC", 0, func(*half, *half) []byte {
			o := newOld(ToBackend, key7)
			o.sequence = newer
			return o.sign("query", now)
		}, OldMethod},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			six, four := met(t, now, key7)
			d := tt.make(six, four)
			if got := four.why(d, now.Add(tt.after)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
			again := tt.want
			if again == accepted || again == OldMethod {
				again = Replayed
			}
			if got := four.why(d, now.Add(tt.after)); got != again {
				t.Errorf("once more: %v, want %v", got, again)
			}
		})
	}
	t.Run("IPC-27 every bit flipped", func(t *testing.T) {
		six, four := met(t, now, key7)
		d := six.seal("query", now)
		for bit := range 8 * len(d) {
			d[bit/8] ^= 1 << (bit % 8)
			if four.opens(d, now) {
				t.Errorf("bit %d flipped", bit)
			}
			d[bit/8] ^= 1 << (bit % 8)
		}
		if !four.opens(d, now) || four.opens(d, now) {
			t.Error("genuine must open, once")
		}
	})
	t.Run("IPC-27 every bit of a greeting flipped", func(t *testing.T) {
		six, four := met(t, now, key7)
		d := six.probe(now)
		for bit := range 8 * len(d) {
			d[bit/8] ^= 1 << (bit % 8)
			if four.answer(d, now) != nil {
				t.Errorf("bit %d flipped", bit)
			}
			d[bit/8] ^= 1 << (bit % 8)
		}
		if four.answer(d, now) == nil || four.answer(d, now) != nil {
			t.Error("genuine must be answered, once")
		}
	})
}

func TestSessionWindow(t *testing.T) {
	six, four := met(t, start, key7)
	var ds [][]byte
	for range 3*windowSize + 10 {
		ds = append(ds, six.seal("query", start))
	}
	for _, i := range []int{windowSize, windowSize - 1, 1, windowSize + 1, 3 * windowSize} {
		if !four.opens(ds[i], start) || four.opens(ds[i], start) {
			t.Errorf("IPC-27 number %d must be taken once", i)
		}
	}
	if four.opens(ds[0], start) {
		t.Error("IPC-27 taken though it has left the window")
	}
}

func TestSignersOfOneProcess(t *testing.T) {
	six, four := met(t, start, key7)
	replies, acks := four.signer, four.NewSigner()
	seen := map[uint64]bool{}
	for i := range 1000 {
		for _, s := range []*Signer{replies, acks} {
			d, ok := s.Append([]byte("answer"), 0, four.peer, start)
			if !ok || !six.opens(d, start) || six.opens(d, start) {
				t.Fatalf("IPC-27 datagram %d of a signer", i)
			}
			sequence := binary.BigEndian.Uint64(d[len(d)-shortLen+atSequence:])
			if seen[sequence] {
				t.Fatalf("IPC-27 the nonce %x comes twice", sequence)
			}
			seen[sequence] = true
		}
	}
	four.NewSigner()
	four.NewSigner()
	defer func() {
		if recover() == nil {
			t.Error("a fifth signer")
		}
	}()
	four.NewSigner()
}

func TestKeyRotation(t *testing.T) {
	six, four := met(t, start, key7)
	now := start
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"nothing changed", func() {}},
		{"dhcp4d knows the next", func() { four.Configure(Keys{key7, key8}, true) }},
		{"dhcp6d knows the next", func() { six.Configure(Keys{key7, key8}, true) }},
		{"dhcp4d signs with the next", func() { four.Configure(Keys{key8, key7}, true) }},
		{"dhcp6d signs with the next", func() { six.Configure(Keys{key8, key7}, true) }},
		{"dhcp4d forgets the first", func() { four.Configure(Keys{key8}, true) }},
		{"dhcp6d forgets the first", func() { six.Configure(Keys{key8}, true) }},
	} {
		inFlight := six.seal("query", now)
		step.do()
		if !four.opens(inFlight, now) || four.opens(inFlight, now) {
			t.Errorf("IPC-27 %s: what was on its way must be taken once", step.name)
		}
		if !exchange(six, four, now) {
			t.Errorf("IPC-27 %s: no exchange", step.name)
		}
		now = now.Add(time.Second)
		if !greet(six, four, now) || !exchange(six, four, now) {
			t.Errorf("IPC-27 %s: no exchange after the next probe", step.name)
		}
	}
	if d := six.seal("query", now); newFourLike(four).opens(d, now) {
		t.Error("IPC-27 a daemon without the session takes it")
	}
	other, _ := met(t, start, key7)
	if four.opens(other.seal("query", now), now) {
		t.Error("IPC-27 the old key is gone")
	}
}

// newFourLike is a dhcp4d with the same configuration that has just started.
func newFourLike(h *half) *half { return newFour(start, h.keys.Load().keys...) }

func TestWithoutKeys(t *testing.T) {
	six, four := newSix(start), newFour(start)
	d := six.seal("query", start)
	if string(d) != "query" || !four.opens(d, start) || !four.opens(d, start) || !six.peer.Ready() || six.peer.Greets() {
		t.Errorf("IPC-27 without keys: %q", d)
	}
	keyed := newSix(start, key7)
	if d, ok := keyed.signer.Append([]byte("query"), 0, nil, start); !ok || string(d) != "query" {
		t.Errorf("IPC-27 to a Kea: %q", d)
	}
	if content, why := keyed.opener.Open([]byte("answer"), nil, start); why != drop.None || string(content) != "answer" {
		t.Errorf("IPC-27 from a Kea: %q, %v", content, why)
	}
}

// through signs a datagram of n octets and opens it.
func through(from, to *half, buf []byte, n int) {
	b, ok := from.signer.Append(buf[:n], 0, from.peer, start)
	if !ok {
		panic("no session")
	}
	if _, why := to.opener.Open(b, to.peer, start); why != drop.None {
		panic(fmt.Sprint("genuine datagram: ", why))
	}
}

func TestNoAllocation(t *testing.T) {
	six, four := met(t, start, key7, key8)
	buf := make([]byte, 512)
	var forged, strange [600]byte
	copy(forged[:], six.seal(string(make([]byte, 553)), start))
	forged[3]++
	tests := map[string]func(){
		"sign and open":  func() { through(six, four, buf, 320) },
		"forged":         func() { four.opener.Open(forged[:], four.peer, start) },
		"no trailer":     func() { four.opener.Open(strange[:], four.peer, start) },
		"replayed probe": nil,
	}
	probe := six.probe(start)
	four.answer(probe, start)
	tests["replayed probe"] = func() { four.opener.Open(probe, four.peer, start) }
	oldSix := newOld(ToBackend, key7)
	old := newFour(start, key7)
	by := oldSix.sign("query", start)
	tests["HMAC replayed"] = func() { old.opener.Open(by, old.peer, start) }
	for name, f := range tests {
		f()
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// batches are how many datagrams are signed, and then opened, before the next.
var batches = []int{1, 16, 64, 256}

// BenchmarkExchange signs and opens four datagrams of 320 octets: the eight tags of a DISCOVER and
// a REQUEST with their answers, in batches of so many datagrams. Both ways are measured in one run.
// The time of the processor, which other work on the machine disturbs less, is reported beside that
// of the clock.
func BenchmarkExchange(b *testing.B) {
	const octets, datagramsOfOne = 320, 4
	six, four := met(b, start, key7)
	old := newOld(ToBackend, key7)
	oldFour := newFour(start, key7)
	ways := []struct {
		name string
		sign func(buf []byte) []byte
		to   *half
	}{
		{"HMAC", func(buf []byte) []byte {
			old.sequence++
			t := short{sequence: old.sequence, key: 7, sender: 1, time: uint32(start.Unix())}
			return old.mac.datagrams[0].appendTag(t.append(buf, headHMAC), 0, backend, ToBackend)
		}, oldFour},
		{"session", func(buf []byte) []byte {
			d, _ := six.signer.Append(buf, 0, six.peer, start)
			return d
		}, four},
	}
	for _, n := range batches {
		for _, w := range ways {
			b.Run(fmt.Sprintf("%s/batch=%d", w.name, n), func(b *testing.B) {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				datagrams := make([][]byte, n)
				for i := range datagrams {
					datagrams[i] = make([]byte, octets, octets+shortLen)
				}
				b.ReportAllocs()
				began, done := processorTime(b), 0
				for b.Loop() {
					for range datagramsOfOne { // one iteration is an exchange
						if done++; done%n != 0 {
							continue
						}
						for i := range datagrams {
							datagrams[i] = w.sign(datagrams[i][:octets])
						}
						for i := range datagrams {
							if _, why := w.to.opener.Open(datagrams[i], w.to.peer, start); why != drop.None {
								b.Fatal(why)
							}
						}
					}
				}
				b.ReportMetric(float64(processorTime(b)-began)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

// processorTime is what this thread has had of a processor.
func processorTime(b *testing.B) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		b.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// FuzzOpen: whatever is done to a datagram, only the datagram itself opens, and only once; and
// whatever a datagram holds, it can be signed and opened.
func FuzzOpen(f *testing.F) {
	six, four := goldenHalves()
	good := six.seal("query", start)
	greeting := six.probe(start)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(good[4:])
	f.Add(four.seal("query", start))
	f.Add(greeting)
	f.Add(newOld(ToBackend, key7).sign("query", start))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, four := goldenHalves()
		genuine := map[string]bool{string(good): true, string(greeting): true, string(newOld(ToBackend, key7).sign("query", start)): true}
		kept := bytes.Clone(b)
		opened, why := four.opener.Open(b, four.peer, start)
		if !bytes.Equal(b, kept) {
			t.Fatal("Open changed the datagram")
		}
		if (why == drop.None) != genuine[string(b)] || (why != drop.None && opened != nil) {
			t.Fatalf("Open(%x) = %x, %v", b, opened, why)
		}
		if four.opens(b, start) {
			t.Fatalf("Open(%x) twice", b)
		}
		six, four := goldenHalves()
		d, ok := six.signer.Append(bytes.Clone(b), 0, six.peer, start)
		opened, why = four.opener.Open(d, four.peer, start)
		if !ok || why != drop.None || !bytes.Equal(opened, kept) {
			t.Fatalf("signed, opened: %x, %v", opened, why)
		}
	})
}
