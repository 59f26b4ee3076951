package ipc

// In the package: only here can a sender id be fixed and a memory be looked at.

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var (
	start = time.Unix(1_800_000_000, 0)
	key7  = Key{7, []byte("0123456789abcdef0123456789abcdef")}
	key8  = Key{8, []byte("fedcba9876543210")}
)

const backend = "dhcp4d"

func fixedSigner(d Direction, keys ...Key) *Signer {
	s := NewSigner(d, keys)
	s.sender = 0x0102030405060708
	return s
}

func testVerifier(keys ...Key) *Verifier { return NewVerifier(ToBackend, keys, start) }

// sign signs a probe.
func (s *Signer) sign(now time.Time) []byte { return s.Append(AppendProbe(nil), 0, backend, now) }

func opens(v *Verifier, b []byte, now time.Time) bool {
	_, why := v.Open(b, backend, now)
	return why == drop.None
}

// TestGoldenSignature publishes what the HMAC must be; the values were computed
// by Python's hmac module from the format in the package comment.
func TestGoldenSignature(t *testing.T) {
	tests := []struct {
		name      string
		direction Direction
		datagram  []byte
		want      string
	}{
		{"IPC-27 probe", ToBackend, AppendProbe(nil), "14000000" +
			"000b002b" + "fe0100" + "0000000000000001" + "00000007" + "0102030405060708" + "6b49d200" + "109417d61f916dc56c33c4f39e97c087"},
		{"IPC-27 probe's answer", FromBackend, AppendProbeReply(nil), "15000000" +
			"000b002b" + "fe0100" + "0000000000000001" + "00000007" + "0102030405060708" + "6b49d200" + "53a9521361d907886455bd3b666611e7"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := fixedSigner(tt.direction, key7).Append(append([]byte("before"), tt.datagram...), 6, backend, start)
			if hex.EncodeToString(got[6:]) != tt.want || string(got[:6]) != "before" {
				t.Fatalf("\n got %x\nwant %s", got[6:], tt.want)
			}
			opened, why := NewVerifier(tt.direction, Keys{key8, key7}, start).Open(got[6:], backend, start)
			if why != drop.None || !bytes.Equal(opened, tt.datagram) {
				t.Errorf("Open = %x, %v", opened, why)
			}
		})
	}
}

func TestVerifierRefuses(t *testing.T) {
	good := func() []byte { return fixedSigner(ToBackend, key7).sign(start) }
	patched := func(fromEnd int, b byte) []byte {
		d := good()
		d[len(d)-fromEnd] = b
		return d
	}
	other := Key{7, []byte("another secret")}
	tests := []struct {
		name     string
		datagram []byte
		backend  string
		after    time.Duration
		ok       bool
	}{
		{"IPC-27 genuine", good(), backend, 0, true},
		{"IPC-27 clocks 30 s apart", good(), backend, 30 * time.Second, true},
		{"IPC-27 clocks 30 s apart, the other way", fixedSigner(ToBackend, key7).sign(start.Add(30 * time.Second)), backend, 0, true},
		{"IPC-27 stale", good(), backend, 31 * time.Second, false},
		{"IPC-27 from the future", fixedSigner(ToBackend, key7).sign(start.Add(31 * time.Second)), backend, 0, false},
		{"IPC-27 replayed after a restart", fixedSigner(ToBackend, key7).sign(start.Add(-time.Nanosecond)), backend, 0, false},
		{"IPC-27 for another backend", good(), "dhcp4d2", 0, false},
		{"IPC-27 reflected", fixedSigner(FromBackend, key7).sign(start), backend, 0, false},
		{"IPC-27 forged with another secret", fixedSigner(ToBackend, other).sign(start), backend, 0, false},
		{"IPC-27 unknown key", fixedSigner(ToBackend, key8).sign(start), backend, 0, false},
		{"IPC-27 unsigned", AppendProbe(nil), backend, 0, false},
		{"IPC-27 nothing", nil, backend, 0, false},
		{"IPC-27 option alone", good()[4:], backend, 0, false},
		{"IPC-27 cut short", good()[:50], backend, 0, false},
		{"IPC-27 something after it", append(good(), 0), backend, 0, false},
		{"IPC-27 another protocol", patched(authLen-4, 0xff), backend, 0, false},
		{"IPC-27 another algorithm", patched(authLen-5, 2), backend, 0, false},
		{"IPC-27 another replay detection", patched(authLen-6, 1), backend, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, why := testVerifier(key7).Open(tt.datagram, tt.backend, start.Add(tt.after))
			if (why == drop.None) != tt.ok || !tt.ok && why != drop.Unauthentic {
				t.Errorf("Open = %v", why)
			}
		})
	}
	t.Run("IPC-27 every bit flipped", func(t *testing.T) {
		v, d := testVerifier(key7), good()
		for bit := range 8 * len(d) {
			d[bit/8] ^= 1 << (bit % 8)
			if opens(v, d, start) {
				t.Errorf("bit %d flipped", bit)
			}
			d[bit/8] ^= 1 << (bit % 8)
		}
		if !opens(v, d, start) || opens(v, d, start) {
			t.Error("genuine must open, once")
		}
	})
}

func TestStartIsRoundedUp(t *testing.T) {
	// What was signed in the second of the start cannot be told from what
	// came before it.
	v := NewVerifier(ToBackend, Keys{key7}, start.Add(900*time.Millisecond))
	if d := fixedSigner(ToBackend, key7).sign(start.Add(time.Second - 1)); opens(v, d, start.Add(time.Second)) {
		t.Error("IPC-27 what was signed in the second of the start was taken")
	}
	if d := fixedSigner(ToBackend, key7).sign(start.Add(time.Second)); !opens(v, d, start.Add(time.Second)) {
		t.Error("IPC-27 what was signed in the second after the start was not taken")
	}
}

func TestKeysStart(t *testing.T) {
	before := time.Now()
	if got := (Keys(nil)).Start(t.Context()); got.Sub(before) > 500*time.Millisecond {
		t.Errorf("without keys waited until %v", got)
	}
	got := (Keys{key7}).Start(t.Context())
	if got.Nanosecond() != 0 || !got.After(before) || time.Now().Before(got) {
		t.Errorf("IPC-27 with keys: %v, begun %v", got, before)
	}
	v := NewVerifier(ToBackend, Keys{key7}, got)
	if now := time.Now(); !opens(v, fixedSigner(ToBackend, key7).sign(now), now) {
		t.Error("IPC-27 what is signed once Start has returned was not taken")
	}
}

func TestWindow(t *testing.T) {
	s := fixedSigner(ToBackend, key7)
	var ds [][]byte
	for range 3*window + 10 {
		ds = append(ds, s.sign(start))
	}
	v := testVerifier(key7)
	at := func(name string, i int, want bool) {
		t.Helper()
		if got := opens(v, ds[i], start); got != want {
			t.Errorf("IPC-27 %s (%d): %v", name, i, got)
		}
	}
	at("first met in the middle", window, true)
	at("replayed", window, false)
	at("reordered", window-1, true)
	at("reordered and replayed", window-1, false)
	at("oldest in the window", 1, true)
	at("before the window", 0, false)
	at("next", window+1, true)
	at("a jump", 2*window, true)
	at("what the jump left out", window+2, true)
	at("the highest before the jump", window+1, false)
	at("a jump of more than the window", 3*window+9, true)
	at("in the same place of the window as one seen", 3*window-1, true)
	for i := range ds {
		opens(v, ds[i], start)
	}
	for i := range ds {
		at("all again", i, false)
	}
}

// TestWindowTwin compares the window with a set of all numbers ever accepted.
func TestWindowTwin(t *testing.T) {
	s := sender{highest: 1000, floor: 0}
	seen, highest := map[uint64]bool{}, uint64(1000)
	x := uint64(1)
	for range 200_000 {
		x = x*6364136223846793005 + 1442695040888963407
		sequence := highest + 40 - min(x>>33%(window+100), highest)
		if x>>20%1000 == 0 {
			sequence = highest + x>>40%(3*window)
		}
		want := !seen[sequence] && sequence+window > highest
		if got := s.fresh(sequence, 1); got != want {
			t.Fatalf("IPC-27 sequence %d with highest %d: %v, want %v", sequence, highest, got, want)
		}
		seen[sequence], highest = true, max(highest, sequence)
	}
}

func TestSendersAreBounded(t *testing.T) {
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / 10) }
	t.Run("IPC-27 nothing of any of them can be replayed", func(t *testing.T) {
		v := testVerifier(key7)
		var taken [][]byte
		for i := range 3 * maxSenders {
			d := NewSigner(ToBackend, Keys{key7}).sign(at(i))
			if !opens(v, d, at(i)) {
				t.Fatalf("sender %d is not taken", i)
			}
			taken = append(taken, d)
			for j, d := range taken {
				if opens(v, d, at(i)) {
					t.Fatalf("replayed from sender %d after %d", j, i)
				}
			}
		}
		if len(v.senders) != maxSenders {
			t.Errorf("%d senders are remembered", len(v.senders))
		}
	})
	t.Run("IPC-27 a forgotten sender that comes back cannot be replayed", func(t *testing.T) {
		v, s := testVerifier(key7), NewSigner(ToBackend, Keys{key7})
		old := s.sign(at(0))
		if !opens(v, old, at(0)) {
			t.Fatal("not taken")
		}
		for i := range maxSenders {
			opens(v, NewSigner(ToBackend, Keys{key7}).sign(at(i)), at(i))
		}
		back := s.sign(at(100))
		if !opens(v, back, at(100)) || opens(v, back, at(100)) || opens(v, old, at(100)) {
			t.Error("must be taken once, and nothing older")
		}
	})
}

func TestKnownSenderBeforeOurStart(t *testing.T) {
	// The other daemon runs on while we restart: once we have met it again,
	// what we may have taken from it before must not be taken.
	s := fixedSigner(ToBackend, key7)
	old := s.sign(start.Add(-5 * time.Second))
	v := testVerifier(key7)
	if !opens(v, s.sign(start), start) || opens(v, old, start) {
		t.Error("IPC-27 replayed after a restart")
	}
}

func TestKeyRotation(t *testing.T) {
	s, v := NewSigner(ToBackend, Keys{key7}), testVerifier(key7)
	old := s.sign(start)
	v.SetKeys(Keys{key7, key8})
	if !opens(v, old, start) || opens(v, old, start) {
		t.Error("IPC-27 under the old key, once")
	}
	s.SetKeys(Keys{key8, key7})
	if d := s.sign(start); !opens(v, d, start) {
		t.Error("IPC-27 under the new key")
	}
	v.SetKeys(Keys{key8})
	if !opens(v, s.sign(start), start) || opens(v, fixedSigner(ToBackend, key7).sign(start), start) {
		t.Error("IPC-27 the old key is gone, the new one is not")
	}
	s.SetKeys(nil)
	v.SetKeys(nil)
	d := s.sign(start)
	if opened, why := v.Open(d, backend, start); !IsProbe(d) || why != drop.None || !IsProbe(opened) {
		t.Errorf("IPC-27 without keys: %x, %v", opened, why)
	}
}

func TestParseKeys(t *testing.T) {
	keys, err := ParseKeys(" 7 : MDEyMw== ,\n4294967295:MDE\n")
	if err != nil || len(keys) != 2 || keys[0].ID != 7 || string(keys[0].Secret) != "0123" || keys[1].ID != 4294967295 || string(keys[1].Secret) != "01" {
		t.Errorf("IPC-27 ParseKeys = %v, %v", keys, err)
	}
	if keys, err := ParseKeys(" \n"); keys != nil || err != nil {
		t.Errorf("IPC-27 no keys: %v, %v", keys, err)
	}
	const secret = "c2VjcmV0"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"no colon", secret, []string{"key 1: no colon"}},
		{"no number", secret + ":1", []string{"key 1: id is not a number"}},
		{"number of 33 bits", "4294967296:" + secret, []string{"key 1: id is not a number"}},
		{"negative", "-1:" + secret, []string{"key 1: id is not a number"}},
		{"no base64", "1:" + secret + "!", []string{"key 1: id 1: secret is not base64"}},
		{"empty secret", "1:", []string{"key 1: id 1: secret is empty"}},
		{"empty entry", "1:" + secret + ",", []string{"key 2: no colon"}},
		{"twice", "1:" + secret + ",1:" + secret, []string{"key 2: id 1 is that of key 1"}},
		{"all mistakes at once", "x:" + secret + ",2:,3:" + secret + ",3:" + secret, []string{"key 1:", "key 2:", "key 4:"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys, err := ParseKeys(tt.text)
			if keys != nil || err == nil {
				t.Fatalf("ParseKeys = %v, %v", keys, err)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(tt.want) || strings.Contains(err.Error(), secret) {
				t.Fatalf("error %q", err)
			}
			for i, want := range tt.want {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %q, want %q", lines[i], want)
				}
			}
		})
	}
}

// FuzzParseKeys: what is taken can be written again and is the same; no error
// quotes what it was given.
func FuzzParseKeys(f *testing.F) {
	f.Add("7:MDEyMw==,8:MDE")
	f.Add(" 1 : AAAA ,\n2:AAAA")
	f.Add("1:AAAA,1:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := ParseKeys(text)
		if err != nil {
			if keys != nil {
				t.Fatalf("ParseKeys(%q) = %v, %v", text, keys, err)
			}
			return
		}
		var entries []string
		for _, k := range keys {
			entries = append(entries, fmt.Sprintf("%d:%s", k.ID, base64.StdEncoding.EncodeToString(k.Secret)))
		}
		again, err := ParseKeys(strings.Join(entries, ","))
		if err != nil || !reflect.DeepEqual(again, keys) {
			t.Fatalf("ParseKeys(%q) = %v, again %v, %v", text, keys, again, err)
		}
	})
}

// exchange signs a datagram and opens it.
func exchange(s *Signer, v *Verifier, buf []byte, n int) {
	b := s.Append(buf[:n], 0, backend, start)
	if _, why := v.Open(b, backend, start); why != drop.None {
		panic(fmt.Sprint("genuine datagram: ", why))
	}
}

func TestSignAndOpenNoAllocation(t *testing.T) {
	s, v := NewSigner(ToBackend, Keys{key7, key8}), testVerifier(key8, key7)
	buf := make([]byte, 512)
	exchange(s, v, buf, 320)
	if n := testing.AllocsPerRun(100, func() { exchange(s, v, buf, 320) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSignAndOpen(b *testing.B) {
	s, v := NewSigner(ToBackend, Keys{key7, key8}), testVerifier(key8, key7)
	buf := make([]byte, 512)
	b.ReportAllocs()
	for b.Loop() {
		exchange(s, v, buf, 320)
	}
}

// FuzzVerify: whatever is done to a signed datagram, only the datagram itself
// opens, and only once.
func FuzzVerify(f *testing.F) {
	good := fixedSigner(ToBackend, key7).sign(start)
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(fixedSigner(FromBackend, key7).sign(start))
	f.Add(fixedSigner(ToBackend, key8).sign(start))
	f.Add(good[4:])
	f.Fuzz(func(t *testing.T, b []byte) {
		v := testVerifier(key7)
		kept := bytes.Clone(b)
		opened, why := v.Open(b, backend, start)
		if !bytes.Equal(b, kept) {
			t.Fatal("Open changed the datagram")
		}
		if (why == drop.None) != bytes.Equal(b, good) || why != drop.None && opened != nil {
			t.Fatalf("Open(%x) = %x, %v", b, opened, why)
		}
		if opens(v, b, start) {
			t.Fatalf("Open(%x) twice", b)
		}
		// Signed again, as the content of another, it opens.
		s := fixedSigner(ToBackend, key7)
		s.sequence = 1
		opened, why = v.Open(s.Append(bytes.Clone(b), 0, backend, start), backend, start)
		if why != drop.None || !bytes.Equal(opened, b) {
			t.Fatalf("signed, opened: %x, %v", opened, why)
		}
	})
}
