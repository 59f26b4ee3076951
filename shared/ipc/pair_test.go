package ipc

// In the package: only here can identities and counters be fixed, and a clock be moved.

import (
	"bytes"
	"testing"
	"time"
	"unsafe"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var (
	start = time.Unix(1_800_000_000, 0)
	key7  = Key{7, []byte("0123456789abcdef0123456789abcdef")}
	key8  = Key{8, []byte("fedcba9876543210")}
)

const backend = "dhcp4d"

// half is one daemon of a test, with one signer.
type half struct {
	*End
	peer   *Peer
	signer *Signer
	opener *Opener
}

// newHalf starts a daemon at a time.
func newHalf(d drop.Daemon, at time.Time, old bool, keys ...Key) *half {
	e := NewEnd(d, keys, old)
	e.start = at
	return &half{End: e, peer: e.Peer(backend), signer: e.NewSigner(), opener: e.NewOpener(at)}
}

func newSix(at time.Time, keys ...Key) *half  { return newHalf(drop.DHCP6D, at, true, keys...) }
func newFour(at time.Time, keys ...Key) *half { return newHalf(drop.DHCP4D, at, true, keys...) }

// probe is a full probe of dhcp6d, answer what dhcp4d says to it; nil if it takes no such probe.
func (h *half) probe(now time.Time) []byte {
	d, ok := h.signer.AppendProbe(AppendFullProbe(nil, 9), 0, h.peer, now)
	if !ok {
		panic("a full probe cannot be authenticated")
	}
	return d
}

func (h *half) answer(probe []byte, now time.Time) []byte {
	content, why := h.opener.Open(bytes.Clone(probe), h.peer, now)
	if why != drop.None {
		return nil
	}
	p, ok := ParseProbe(content)
	if !ok {
		return nil
	}
	return h.signer.AppendProbeReply(p.AppendReply(nil, Able), 0, h.peer, now)
}

// seal authenticates content, or returns nil where there is no session.
func (h *half) seal(content string, now time.Time) []byte {
	d, ok := h.signer.Append([]byte(content), 0, h.peer, now)
	if !ok {
		return nil
	}
	return d
}

func (h *half) opens(d []byte, now time.Time) bool {
	_, why := h.opener.Open(bytes.Clone(d), h.peer, now)
	return why == drop.None
}

// why is the reason for which a datagram is refused, accepted for none.
func (h *half) why(d []byte, now time.Time) Refusal {
	before := [refusals]uint64{}
	for i := range Refusals() {
		before[i] = h.opener.Refused(i)
	}
	if h.opens(d, now) {
		return accepted
	}
	for i := range Refusals() {
		if h.opener.Refused(i) != before[i] {
			return accepted + 1 + Refusal(i)
		}
	}
	return accepted
}

// greet is a probe and its answer.
func greet(six, four *half, now time.Time) bool {
	a := four.answer(six.probe(now), now)
	return a != nil && six.opens(a, now)
}

// exchange reports whether a query gets through, and its answer back.
func exchange(six, four *half, now time.Time) bool {
	q := six.seal("query", now)
	if q == nil || !four.opens(q, now) {
		return false
	}
	a := four.seal("answer", now)
	return a != nil && six.opens(a, now)
}

// met is two daemons that have a session.
func met(t testing.TB, now time.Time, keys ...Key) (six, four *half) {
	t.Helper()
	six, four = newSix(now, keys...), newFour(now, keys...)
	if !greet(six, four, now) || six.peer.Ready() || !six.peer.Greets() || !greet(six, four, now) || !six.peer.Ready() || six.peer.Greets() {
		t.Fatal("two probes must make a session, and one must not")
	}
	return six, four
}

// stepped is what time.Now returns at the moment t when the wall clock has been set by d meanwhile:
// the monotonic reading is that of t. Package time has no way to make one, so this writes its
// field: from the lowest, 30 bits of nanoseconds, 33 of seconds, one for a monotonic reading.
func stepped(t time.Time, d time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&t))
	*wall += uint64(int64(d/time.Second)) << 30
	return t
}
