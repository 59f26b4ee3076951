package server

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// disk is a store in a state that the test chooses.
type disk struct{ state atomic.Int32 }

func (d *disk) State() commit.State { return commit.State(d.state.Load()) }

// ready remembers what a condition was told; empty is met.
type ready struct{ reason string }

func (r *ready) Met()                { r.reason = "" }
func (r *ready) Unmet(reason string) { r.reason = reason }

func TestProbesSayWhetherWeCanAcknowledge(t *testing.T) {
	key := ipc.Key{ID: 1, Secret: []byte("0123456789abcdef")}
	for name, keys := range map[string][]ipc.Key{"": nil, ", signed": {key}} {
		d, r := new(disk), &ready{reason: "not looked at yet"}
		b := newBench(t, keys...)
		b.server.Ability = &Ability{Store: d, Ready: r, Writer: b.ipc.NewWriter(8),
			Signer: b.end.NewSigner()}
		a := b.server.Ability
		six := ipctest.New(t, drop.DHCP6D, "dhcp4d", keys...)
		b.meet(t, six)
		ask := func(probe []byte) { b.server.batch([]udp.Packet{{Data: probe, Peer: sixd}}) }
		answer := func() (ipc.ProbeReply, bool) {
			t.Helper()
			sent := b.ipc.Sent(1)
			if sent[0].Peer != sixd {
				t.Errorf("sent to %v", sent[0].Peer)
			}
			return ipc.ParseProbeReply(six.Open(sent[0].Data))
		}
		mark := uint32(0)
		for _, step := range []struct {
			state commit.State
			want  ipc.Ability
		}{{commit.Working, ipc.Able}, {commit.Broken, ipc.StoreFailed}, {commit.Working, ipc.Able}, {commit.Hanging, ipc.StoreHangs}} {
			d.state.Store(int32(step.state))
			if told := a.look(b.clocks.Read().Wall); told > 0 {
				if got, ok := answer(); !ok || got.Mark != mark || got.Ability != step.want {
					t.Errorf("IPC-29 whoever probed before is told %+v%s, want %v", got, name, step.want)
				}
			} else if mark > 0 {
				t.Errorf("IPC-29 a change to %v is told to nobody%s", step.want, name)
			}
			mark++
			ask(six.Probe(mark))
			if got, ok := answer(); !ok || !got.Full || got.Mark != mark || got.Ability != step.want {
				t.Errorf("IPC-29 %v: %+v%s", step.state, got, name)
			}
			if (r.reason == "") != (step.want == ipc.Able) {
				t.Errorf("%v: ready: %q%s", step.state, r.reason, name)
			}
			ask(six.PlainProbe())
			if step.want == ipc.Able {
				if got, ok := answer(); !ok || got.Full {
					t.Errorf("IPC-26 %v: %+v%s", step.state, got, name)
				}
			} else if left := b.ipc.Sent(0); len(left) != 0 {
				t.Errorf("IPC-29 %v: a plain probe is answered by %x%s", step.state, left[0].Data, name)
			}
		}
		a.AnnounceStop()
		if got, ok := answer(); !ok || got.Ability != ipc.Leaving {
			t.Errorf("IPC-29 at the end: %+v%s", got, name)
		}
		ask(six.Probe(9))
		if got, ok := answer(); !ok || got.Ability != ipc.Leaving || got.Mark != 9 {
			t.Errorf("IPC-29 after the end: %+v%s", got, name)
		}
		if told := a.look(b.clocks.Read().Wall.Add(time.Minute)); told != 0 {
			t.Errorf("%d are told what they know%s", told, name)
		}
	}
}

func TestWhoNoLongerProbesIsToldNothing(t *testing.T) {
	d := new(disk)
	b := newBench(t)
	a := &Ability{Store: d, Ready: &ready{}, Writer: b.ipc.NewWriter(8), Signer: b.end.NewSigner()}
	now := time.Now()
	a.look(now)
	a.probed(way{to: sixd}, nil, ipc.Probe{Full: true}, now)
	d.state.Store(int32(commit.Broken))
	if told := a.look(now.Add(proberGone + time.Second)); told != 0 {
		t.Errorf("%d", told)
	}
}

// Every kind of answer leaves from the address that was asked. A socket that is bound to one
// address does not say which that was.
func TestIPC_30_AnswersLeaveFromTheAddressThatWasAsked(t *testing.T) {
	b := newBench(t)
	b.server.Ability = &Ability{Store: new(disk), Ready: &ready{}, Writer: b.ipc.NewWriter(8), Signer: b.end.NewSigner()}
	b.server.Ability.look(b.clocks.Read().Wall)
	offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 1)), direct))
	offered := offer.YIAddr().String()
	for _, asked := range []netip.Addr{{}, netip.MustParseAddr("2001:db8::7"), netip.MustParseAddr("192.0.2.200")} {
		ask := func(data []byte) udp.Packet {
			t.Helper()
			b.server.batch([]udp.Packet{{Data: data, Peer: sixd, Local: asked}})
			return b.ipc.Sent(1)[0]
		}
		for name, data := range map[string][]byte{
			"probe":    ipc.AppendFullProbe(nil, 1),
			"DISCOVER": frame(t, query(message(dhcp4.Discover, 1)), direct),
			"REQUEST":  frame(t, query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, offered), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))), direct),
			"foreign":  frame(t, query(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "10.0.0.1"))), direct),
		} {
			if p := ask(data); p.Local != asked || p.Peer != sixd {
				t.Errorf("the answer to a %s at %v leaves from %v for %v", name, asked, p.Local, p.Peer)
			}
		}
	}
	b.server.Ability.AnnounceStop()
	from := map[netip.Addr]bool{}
	for _, p := range b.ipc.Sent(1) {
		from[p.Local] = p.Peer == sixd
	}
	if len(from) != 3 || !from[netip.Addr{}] {
		t.Errorf("notices leave from %v", from)
	}
}
