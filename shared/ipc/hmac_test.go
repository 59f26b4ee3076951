package ipc

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// oldHalf is a daemon of a version that knows HMAC only.
type oldHalf struct {
	mac              macs
	sender, sequence uint64
	sends, takes     Direction
}

func newOld(d Direction, keys ...Key) *oldHalf {
	o := &oldHalf{sender: 0x0102030405060708, sends: d, takes: ToBackend}
	if d == ToBackend {
		o.takes = FromBackend
	}
	o.mac.use(&keySet{keys: keys})
	return o
}

var olds uint64

// another is an old daemon of its own sender id.
func another(d Direction, keys ...Key) *oldHalf {
	o := newOld(d, keys...)
	olds++
	o.sender = olds
	return o
}

func (o *oldHalf) sign(content string, now time.Time) []byte { return o.signTo(content, backend, now) }

func (o *oldHalf) signTo(content, backend string, now time.Time) []byte {
	o.sequence++
	t := short{sequence: o.sequence, key: o.mac.datagrams[0].id, sender: o.sender, time: uint32(now.Unix())}
	return o.mac.datagrams[0].appendTag(t.append([]byte(content), headHMAC), 0, backend, o.sends)
}

// opens reports whether the old daemon would take a datagram: any sequence number is right to it.
func (o *oldHalf) opens(d []byte) bool {
	end := len(d) - shortLen
	return end >= 0 && string(d[end:end+headLen]) == headHMAC &&
		genuine(o.mac.datagrams, binary.BigEndian.Uint32(d[end+atKey:]), d, backend, o.takes)
}

// TestGoldenHMAC publishes what old daemons send and take; the values were computed by Python's
// hmac module from the format in the package comment.
func TestGoldenHMAC(t *testing.T) {
	const query = "14000000" +
		"000b002b" + "fe0100" + "0000000000000001" + "00000007" + "0102030405060708" + "6b49d200" + "109417d61f916dc56c33c4f39e97c087"
	const answer = "15000000" +
		"000b002b" + "fe0100" + "0000000000000001" + "00000007" + "0102030405060708" + "6b49d200" + "53a9521361d907886455bd3b666611e7"
	if got := hex.EncodeToString(newOld(ToBackend, key7).sign(plainProbe, start)); got != query {
		t.Errorf("IPC-27 an old daemon's probe\n got %s\nwant %s", got, query)
	}
	for _, tt := range []struct {
		name, hex string
		to        *half
	}{
		{"IPC-27 probe", query, newFour(start, key8, key7)},
		{"IPC-27 probe's answer", answer, newSix(start, key8, key7)},
	} {
		d, _ := hex.DecodeString(tt.hex)
		content, why := tt.to.opener.Open(d, tt.to.peer, start)
		if why != drop.None || string(content) != string(d[:4]) {
			t.Errorf("%s: Open = %x, %v", tt.name, content, why)
		}
	}
	// A daemon that knows sessions says so in the first bit of the sequence number.
	const newer = "14000000" +
		"000b002b" + "fe0100" + "8000000000000001" + "00000007" + "0102030405060708" + "6b49d200" + "25478069215ba6396351113460d20c47"
	six := newSix(start, key7)
	six.signer.sender = 0x0102030405060708
	if d, ok := six.signer.AppendProbe([]byte(plainProbe), 0, six.peer, start); !ok || hex.EncodeToString(d) != newer {
		t.Errorf("IPC-27 a new daemon's plain probe\n got %x\nwant %s", d, newer)
	}
}

// plain is a plain probe of dhcp6d.
func (h *half) plain(now time.Time) []byte {
	d, ok := h.signer.AppendProbe([]byte(plainProbe), 0, h.peer, now)
	if !ok {
		return nil
	}
	return d
}

func (h *half) plainAnswer(now time.Time) []byte {
	return h.signer.AppendProbeReply([]byte(plainProbeReply), 0, h.peer, now)
}

func TestHMACRefuses(t *testing.T) {
	good := func() []byte { return newOld(ToBackend, key7).sign("query", start) }
	patched := func(fromEnd int, b byte) []byte {
		d := good()
		d[len(d)-fromEnd] = b
		return d
	}
	tests := []struct {
		name     string
		datagram []byte
		after    time.Duration
		want     Refusal
	}{
		{"IPC-27 genuine", good(), 0, accepted},
		{"IPC-27 clocks 30 s apart", good(), 30 * time.Second, accepted},
		{"IPC-27 clocks 30 s apart, the other way", newOld(ToBackend, key7).sign("query", start.Add(30*time.Second)), 0, accepted},
		{"IPC-27 stale", good(), 31 * time.Second, Stale},
		{"IPC-27 from the future", newOld(ToBackend, key7).sign("query", start.Add(31*time.Second)), 0, Stale},
		{"IPC-27 replayed after a restart", newOld(ToBackend, key7).sign("query", start.Add(-time.Nanosecond)), 0, Replayed},
		{"IPC-27 for another backend", newOld(ToBackend, key7).signTo("query", "dhcp4d2", start), 0, Forged},
		{"IPC-27 reflected", newOld(FromBackend, key7).sign("query", start), 0, Forged},
		{"IPC-27 forged with another secret", newOld(ToBackend, Key{7, []byte("another secret")}).sign("query", start), 0, Forged},
		{"IPC-27 unknown key", newOld(ToBackend, key8).sign("query", start), 0, UnknownKey},
		{"IPC-27 unsigned", []byte("query"), 0, Unsigned},
		{"IPC-27 nothing", nil, 0, Unsigned},
		{"IPC-27 trailer alone", good()[5:], 0, Forged},
		{"IPC-27 cut short", good()[:50], 0, Unsigned},
		{"IPC-27 something after it", append(good(), 0), 0, Unsigned},
		{"IPC-27 another protocol", patched(shortLen-4, 0xff), 0, Unsigned},
		{"IPC-27 the algorithm of sessions", patched(shortLen-5, algorithmSession), 0, NoSession},
		{"IPC-27 no algorithm of ours", patched(shortLen-5, 9), 0, Unsigned},
		{"IPC-27 another replay detection", patched(shortLen-6, 1), 0, Unsigned},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			four := newFour(start, key7)
			if got := four.why(tt.datagram, start.Add(tt.after)); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
	t.Run("IPC-27 every bit flipped", func(t *testing.T) {
		four, d := newFour(start, key7), good()
		for bit := range 8 * len(d) {
			d[bit/8] ^= 1 << (bit % 8)
			if four.opens(d, start) {
				t.Errorf("bit %d flipped", bit)
			}
			d[bit/8] ^= 1 << (bit % 8)
		}
		if !four.opens(d, start) || four.opens(d, start) {
			t.Error("genuine must open, once")
		}
	})
}

func TestHMACStartIsRoundedUp(t *testing.T) {
	// What was signed in the second of the start cannot be told from what came before it.
	four := newFour(start.Add(900*time.Millisecond), key7)
	if d := newOld(ToBackend, key7).sign("query", start.Add(time.Second-1)); four.opens(d, start.Add(time.Second)) {
		t.Error("IPC-27 what was signed in the second of the start was taken")
	}
	if d := newOld(ToBackend, key7).sign("query", start.Add(time.Second)); !four.opens(d, start.Add(time.Second)) {
		t.Error("IPC-27 what was signed in the second after the start was not taken")
	}
}

func TestBegin(t *testing.T) {
	before := time.Now()
	for name, e := range map[string]*End{
		"without keys":      NewEnd(drop.DHCP4D, nil, true),
		"without old peers": NewEnd(drop.DHCP4D, Keys{key7}, false),
	} {
		// A time that was waited for is a full second.
		if got := e.Begin(t.Context()); got.Before(before) || got.After(time.Now()) || got.Nanosecond() == 0 {
			t.Errorf("%s waited until %v", name, got)
		}
	}
	e := NewEnd(drop.DHCP4D, Keys{key7}, true)
	got := e.Begin(t.Context())
	if got.Nanosecond() != 0 || !got.After(before) || time.Now().Before(got) {
		t.Errorf("IPC-27 with keys: %v, begun %v", got, before)
	}
	now := time.Now()
	if _, why := e.NewOpener(got).Open(newOld(ToBackend, key7).sign("query", now), e.Peer(backend), now); why != drop.None {
		t.Error("IPC-27 what is signed once Begin has returned was not taken")
	}
}

func TestHMACWindow(t *testing.T) {
	s := newOld(ToBackend, key7)
	var ds [][]byte
	for range 3*windowSize + 10 {
		ds = append(ds, s.sign("query", start))
	}
	four := newFour(start, key7)
	at := func(name string, i int, want bool) {
		t.Helper()
		if got := four.opens(ds[i], start); got != want {
			t.Errorf("IPC-27 %s (%d): %v", name, i, got)
		}
	}
	at("first met in the middle", windowSize, true)
	at("replayed", windowSize, false)
	at("reordered", windowSize-1, true)
	at("reordered and replayed", windowSize-1, false)
	at("oldest in the window", 1, true)
	at("before the window", 0, false)
	at("next", windowSize+1, true)
	at("a jump", 2*windowSize, true)
	at("what the jump left out", windowSize+2, true)
	at("the highest before the jump", windowSize+1, false)
	at("a jump of more than the window", 3*windowSize+9, true)
	at("in the same place of the window as one seen", 3*windowSize-1, true)
	for i := range ds {
		four.opens(ds[i], start)
	}
	for i := range ds {
		at("all again", i, false)
	}
}

// TestWindowTwin compares the window with a set of all numbers ever accepted.
func TestWindowTwin(t *testing.T) {
	for _, first := range []uint64{1000, newer + 1000} {
		w := window{highest: first}
		seen, highest := map[uint64]bool{}, first
		x := uint64(1)
		for range 200_000 {
			x = x*6364136223846793005 + 1442695040888963407
			sequence := highest + 40 - min(x>>33%(windowSize+100), highest)
			if x>>20%1000 == 0 {
				sequence = highest + x>>40%(3*windowSize)
			}
			want := !seen[sequence] && sequence+windowSize > highest
			if got := w.take(sequence); got != want {
				t.Fatalf("IPC-27 sequence %d with highest %d: %v, want %v", sequence, highest, got, want)
			}
			seen[sequence], highest = true, max(highest, sequence)
		}
	}
}

func TestHMACSendersAreBounded(t *testing.T) {
	at := func(i int) time.Time { return start.Add(time.Duration(i) * time.Second / 10) }
	t.Run("IPC-27 nothing of any of them can be replayed", func(t *testing.T) {
		four := newFour(start, key7)
		var taken [][]byte
		for i := range 3 * maxSenders {
			d := another(ToBackend, key7).sign("query", at(i))
			if !four.opens(d, at(i)) {
				t.Fatalf("sender %d is not taken", i)
			}
			taken = append(taken, d)
			for j, d := range taken {
				if four.opens(d, at(i)) {
					t.Fatalf("replayed from sender %d after %d", j, i)
				}
			}
		}
		if n := len(four.opener.senders.list); n != maxSenders {
			t.Errorf("%d senders are remembered", n)
		}
	})
	t.Run("IPC-27 a forgotten sender that comes back cannot be replayed", func(t *testing.T) {
		four, s := newFour(start, key7), another(ToBackend, key7)
		old := s.sign("query", at(0))
		if !four.opens(old, at(0)) {
			t.Fatal("not taken")
		}
		for i := range maxSenders {
			four.opens(another(ToBackend, key7).sign("query", at(i)), at(i))
		}
		back := s.sign("query", at(100))
		if !four.opens(back, at(100)) || four.opens(back, at(100)) || four.opens(old, at(100)) {
			t.Error("must be taken once, and nothing older")
		}
	})
}

func TestHMACKnownSenderBeforeOurStart(t *testing.T) {
	// The other daemon runs on while we restart: once we have met it again, what we may have taken
	// from it before must not be taken.
	s := newOld(ToBackend, key7)
	old := s.sign("query", start.Add(-5*time.Second))
	four := newFour(start, key7)
	if !four.opens(s.sign("query", start), start) || four.opens(old, start) {
		t.Error("IPC-27 replayed after a restart")
	}
}

func TestHMACAndStepsOfTheClock(t *testing.T) {
	began := time.Now()
	after := func(d, step time.Duration) time.Time { return stepped(began.Add(d), step) }
	const day = 24 * time.Hour
	for _, step := range []time.Duration{-time.Hour, -31 * time.Second, time.Second, 31 * time.Second, time.Hour, -400 * day, 400 * day} {
		t.Run(fmt.Sprint("IPC-27 our clock steps by ", step), func(t *testing.T) {
			far, near := another(ToBackend, key7), another(ToBackend, key7)
			four := newFour(began, key7)
			heard := far.sign("query", after(10*time.Second, 0))
			if !four.opens(heard, after(10*time.Second, 0)) || !four.opens(near.sign("query", after(10*time.Second, 0)), after(10*time.Second, 0)) {
				t.Fatal("not taken before the step")
			}
			for i := range 100 {
				at := time.Duration(20+60*i) * time.Second
				if !four.opens(far.sign("query", after(at, 0)), after(at, step)) {
					t.Fatalf("%v after the start: a sender on another host is not taken", at)
				}
				if !four.opens(near.sign("query", after(at, step)), after(at, step)) {
					t.Fatalf("%v after the start: a sender on this host, whose clock stepped too, is not taken", at)
				}
				if four.opens(heard, after(at, step)) {
					t.Fatalf("%v after the start: replayed", at)
				}
			}
		})
	}
	t.Run("IPC-27 what comes late is stale by both clocks", func(t *testing.T) {
		s, four := another(ToBackend, key7), newFour(began, key7)
		if !four.opens(s.sign("query", after(time.Second, 0)), after(time.Second, 0)) {
			t.Fatal("not taken")
		}
		late := s.sign("query", after(2*time.Second, 0))
		if four.opens(late, after(40*time.Second, 0)) || four.opens(late, after(40*time.Second, time.Hour)) {
			t.Error("taken 38 s later")
		}
	})
	t.Run("IPC-27 our clock is set back: what was recorded before is not taken when its time comes again", func(t *testing.T) {
		recorded := another(ToBackend, key7).sign("query", after(-10*time.Second, 0)) // to an earlier process of ours
		four := newFour(began, key7)
		for _, at := range []time.Duration{0, 49 * time.Second, 50 * time.Second, 70 * time.Second} {
			if four.opens(recorded, after(at, -time.Minute)) {
				t.Errorf("taken %v after the start", at)
			}
		}
	})
}
