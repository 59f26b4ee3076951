// Package ipctest is the other half of the link for tests of a daemon.
package ipctest

import (
	"bytes"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Half is a daemon that authenticates what it sends to one peer.
type Half struct {
	t       testing.TB
	Backend string // name of the dhcp4d of the two
	End     *ipc.End
	Peer    *ipc.Peer
	Signer  *ipc.Signer
	Opener  *ipc.Opener
	Now     func() time.Time
}

// started is long enough ago for every signature of a test.
var started = time.Unix(1_700_000_000, 0)

// New makes a half, whose peer or own name is backend. Its clock stands, so that what it takes does
// not depend on how long a test takes. A test that lets time pass sets Now.
func New(t testing.TB, d drop.Daemon, backend string, keys ...ipc.Key) *Half {
	e, now := ipc.NewEnd(d, keys, true), time.Now()
	return &Half{t, backend, e, e.Peer(backend), e.NewSigner(), e.NewOpener(started), func() time.Time { return now }}
}

// Sign returns the content authenticated.
func (h *Half) Sign(content []byte) []byte {
	h.t.Helper()
	d, ok := h.Signer.Append(bytes.Clone(content), 0, h.Peer, h.Now())
	if !ok {
		h.t.Fatal("IPC-27 no session with the peer")
	}
	return d
}

// Probe returns a full probe with a greeting.
func (h *Half) Probe(mark uint32) []byte {
	h.t.Helper()
	d, ok := h.Signer.AppendProbe(ipc.AppendFullProbe(nil, mark), 0, h.Peer, h.Now())
	if !ok {
		h.t.Fatal("IPC-27 a full probe cannot be authenticated")
	}
	return d
}

// PlainProbe returns a plain probe, which daemons send that know no sessions.
func (h *Half) PlainProbe() []byte {
	h.t.Helper()
	d, ok := h.Signer.AppendProbe(ipc.AppendProbe(nil), 0, h.Peer, h.Now())
	if !ok {
		h.t.Fatal("IPC-27 a plain probe cannot be authenticated")
	}
	return d
}

// Answer opens a probe and returns its answer.
func (h *Half) Answer(probe []byte) []byte {
	h.t.Helper()
	p, ok := ipc.ParseProbe(h.Open(probe))
	if !ok {
		h.t.Fatalf("%x is no probe", probe)
	}
	return h.Signer.AppendProbeReply(p.AppendReply(nil, ipc.Able), 0, h.Peer, h.Now())
}

// Open returns the content of a datagram that must be genuine.
func (h *Half) Open(datagram []byte) []byte {
	h.t.Helper()
	content, why := h.Opener.Open(bytes.Clone(datagram), h.Peer, h.Now())
	if why != drop.None {
		h.t.Fatalf("IPC-27 %x is %v", datagram, why)
	}
	return content
}

// Meet makes a session: ask sends a probe to the daemon under test and returns its answer.
func (h *Half) Meet(ask func(probe []byte) (answer []byte)) {
	h.t.Helper()
	for range 2 {
		h.Open(ask(h.Probe(0)))
	}
	if !h.Peer.Ready() {
		h.t.Fatal("IPC-27 two probes made no session")
	}
}
