package client

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// A world is a server for a session and its clock. Each line of the log is a second and an event,
// or the message that was sent.
type world struct {
	t       *testing.T
	mu      sync.Mutex // guards the fields after log, which a test changes while a session runs
	log     []string
	start   time.Time
	servers []byte // nil leaves option 88 out
	silent  bool   // no answer to DHCPv4
	dumb    bool   // no answer to DHCPv6
	nak     bool
	lease   time.Duration
}

func (w *world) note(format string, args ...any) {
	w.log = append(w.log, fmt.Sprintf("%d ", time.Since(w.start)/time.Second)+fmt.Sprintf(format, args...))
}

func (w *world) serve(b []byte) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	if b[0] == 11 {
		w.note("INFORMATION-REQUEST")
		if w.dumb {
			return nil
		}
		return informer(w.t, &w.servers)(b)
	}
	m := carried(w.t, b)
	what := m.MessageType().String()
	if m.MessageType() == dhcpv4.MessageTypeRequest {
		switch {
		case !m.ClientIPAddr.IsUnspecified() && b[1] == 0x80:
			what = "RENEW"
		case !m.ClientIPAddr.IsUnspecified():
			what = "REBIND"
		case !m.Options.Has(dhcpv4.OptionServerIdentifier):
			what = "REBOOT"
		}
	}
	w.note("%s", what)
	if w.silent {
		return nil
	}
	return lessor(w.t, func(r *dhcpv4.DHCPv4) {
		if w.lease > 0 {
			r.UpdateOption(dhcpv4.OptIPAddressLeaseTime(w.lease))
		}
		if w.nak && m.MessageType() == dhcpv4.MessageTypeRequest {
			r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
		}
	})(b)
}

// live runs a session for some time, during which things happen. It compares the log with what is
// expected, one line each.
func live(t *testing.T, w *world, s *Session, o Options, last time.Duration, want string, happens ...change) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w.t, w.start = t, time.Now()
		s.Client = newClient(t, &script{serve: w.serve}, o)
		s.Changed = func(e Event, l *Lease) error { w.note("%s", e); return nil }
		ctx, cancel := context.WithTimeout(t.Context(), last)
		defer cancel()
		for _, c := range happens {
			go func() {
				time.Sleep(c.after)
				w.mu.Lock()
				defer w.mu.Unlock()
				c.change()
			}()
		}
		if err := s.Run(ctx); err != nil && !s.Once {
			t.Errorf("ended with %v", err)
		}
		if got := strings.Join(w.log, ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// after makes something happen at that time.
func after(d time.Duration, f func()) change { return change{d, f} }

type change struct {
	after  time.Duration
	change func()
}

// first is the time of the first message if the waits are exactly 4, 8, … s.
var exact = Retransmit{First: 4 * time.Second, Max: 64 * time.Second, Tries: 5}

func TestSession(t *testing.T) {
	given := Options{Retransmit: exact}
	learning := Options{Retransmit: exact, Servers: []netip.Addr{}}
	none := learning
	const got = "0 DISCOVER, 0 REQUEST, 0 obtained"
	t.Run("renews at T1, half of the lease, and releases at the end", func(t *testing.T) {
		live(t, &world{}, &Session{Release: true}, given, 7000*time.Second,
			got+", 1800 RENEW, 1800 renewed, 3600 RENEW, 3600 renewed, 5400 RENEW, 5400 renewed, 7000 RELEASE, 7000 released")
	})
	t.Run("keeps the lease at the end", func(t *testing.T) {
		live(t, &world{}, &Session{}, given, time.Minute, got+", 60 kept")
	})
	t.Run("renews again after half of what remains to T2, at least a minute, then rebinds, then starts again", func(t *testing.T) {
		w := &world{lease: 1600 * time.Second} // T1 800, T2 1400
		live(t, w, &Session{}, given, 1620*time.Second,
			got+", 800 RENEW, 1100 RENEW, 1250 RENEW, 1325 RENEW, 1385 RENEW, 1400 REBIND, 1500 REBIND, 1560 REBIND, "+
				"1600 lost, 1600 DISCOVER, 1604 DISCOVER, 1612 DISCOVER", after(time.Second, func() { w.silent = true }))
	})
	t.Run("rebinds when the server is back after T2", func(t *testing.T) {
		w := &world{lease: 1600 * time.Second}
		live(t, w, &Session{}, given, 1510*time.Second,
			got+", 800 RENEW, 1100 RENEW, 1250 RENEW, 1325 RENEW, 1385 RENEW, 1400 REBIND, 1500 REBIND, 1500 rebound, 1510 kept",
			after(time.Second, func() { w.silent = true }), after(1450*time.Second, func() { w.silent = false }))
	})
	t.Run("starts again after a NAK", func(t *testing.T) {
		w := &world{}
		live(t, w, &Session{}, given, 1900*time.Second,
			got+", 1800 RENEW, 1800 lost, 1800 DISCOVER, 1800 REQUEST, 1810 DISCOVER, 1810 REQUEST, 1810 obtained, 1900 kept",
			after(time.Second, func() { w.nak = true }), after(1805*time.Second, func() { w.nak = false }))
	})
	t.Run("Q-12 sends nothing without option 88 and asks for it after a day", func(t *testing.T) {
		live(t, &world{}, &Session{}, learning, 86401*time.Second,
			"0 INFORMATION-REQUEST, 0 missing, 86400 INFORMATION-REQUEST, 86400 missing")
	})
	t.Run("Q-13, D6-33 asks again on the refresh time, stops when option 88 is gone, and asks for its address when it is back", func(t *testing.T) {
		w := &world{servers: []byte{}, lease: 400000 * time.Second}
		live(t, w, &Session{Release: true}, none, 300000*time.Second,
			"0 INFORMATION-REQUEST, 0 learned, "+got+", 86400 INFORMATION-REQUEST, 172800 INFORMATION-REQUEST, 172800 stopped, "+
				"172800 INFORMATION-REQUEST, 172800 missing, 259200 INFORMATION-REQUEST, 259200 learned, 259200 REBOOT, 259200 confirmed, "+
				"300000 RELEASE, 300000 released",
			after(100000*time.Second, func() { w.servers = nil }), after(200000*time.Second, func() { w.servers = []byte{} }))
	})
	t.Run("Q-13 a refresh that nobody answers changes nothing and is repeated", func(t *testing.T) {
		w := &world{servers: []byte{}, lease: 400000 * time.Second}
		live(t, w, &Session{Refresh: 1000 * time.Second}, learning, 1120*time.Second,
			"0 INFORMATION-REQUEST, 0 learned, "+got+", 1000 INFORMATION-REQUEST, 1001 INFORMATION-REQUEST, 1003 INFORMATION-REQUEST, "+
				"1007 INFORMATION-REQUEST, 1015 INFORMATION-REQUEST, 1091 INFORMATION-REQUEST, 1120 kept",
			after(time.Second, func() { w.dumb = true }), after(1050*time.Second, func() { w.dumb = false }))
	})
	t.Run("Q-13 no longer asks for an offer when option 88 is gone", func(t *testing.T) {
		w := &world{servers: []byte{}, silent: true}
		live(t, w, &Session{Refresh: 10 * time.Second}, learning, 15*time.Second,
			"0 INFORMATION-REQUEST, 0 learned, 0 DISCOVER, 4 DISCOVER, 10 INFORMATION-REQUEST, 10 INFORMATION-REQUEST, 10 missing",
			after(time.Second, func() { w.servers = nil }))
	})
	t.Run("declines what is in use and waits ten seconds", func(t *testing.T) {
		n := 0
		live(t, &world{}, &Session{InUse: func(*Lease) bool { n++; return n == 1 }}, given, time.Minute,
			"0 DISCOVER, 0 REQUEST, 0 DECLINE, 0 declined, 10 DISCOVER, 10 REQUEST, 10 obtained, 60 kept")
	})
	former := func(age time.Duration) *Lease {
		return &Lease{Address: netip.MustParseAddr("192.0.2.9"), Server: netip.MustParseAddr("192.0.2.1"),
			Obtained: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Add(-age), Duration: time.Hour, T1: 30 * time.Minute, T2: 50 * time.Minute}
	}
	t.Run("asks for the lease of before a restart", func(t *testing.T) {
		live(t, &world{}, &Session{Former: former(time.Minute)}, given, time.Minute, "0 REBOOT, 0 confirmed, 60 kept")
	})
	t.Run("starts anew when it has ended meanwhile", func(t *testing.T) {
		live(t, &world{}, &Session{Former: former(time.Hour)}, given, time.Minute, got+", 60 kept")
	})
	t.Run("starts anew when it is refused", func(t *testing.T) {
		w := &world{nak: true}
		live(t, w, &Session{Former: former(0), Once: true}, given, time.Minute, "0 REBOOT, 0 DISCOVER, 0 REQUEST")
	})
	t.Run("uses it on when nobody answers", func(t *testing.T) {
		w := &world{silent: true}
		live(t, w, &Session{Former: former(0)}, given, 5*time.Minute,
			"0 REBOOT, 4 REBOOT, 12 REBOOT, 28 REBOOT, 60 REBOOT, 124 resumed, 300 kept")
	})
	t.Run("once: the first lease", func(t *testing.T) { live(t, &world{}, &Session{Once: true}, given, time.Minute, got) })
	t.Run("once: no more transmissions than it is told", func(t *testing.T) {
		live(t, &world{silent: true}, &Session{Once: true}, given, time.Hour,
			"0 DISCOVER, 4 DISCOVER, 12 DISCOVER, 28 DISCOVER, 60 DISCOVER")
	})
	t.Run("an error of who is told ends it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			full := errors.New("disk full")
			w := &world{t: t}
			s := Session{Client: newClient(t, &script{serve: w.serve}, given), Changed: func(Event, *Lease) error { return full }}
			if err := s.Run(t.Context()); !errors.Is(err, full) {
				t.Errorf("ended with %v", err)
			}
		})
	})
}

func TestParseLease(t *testing.T) {
	s := &script{serve: lessor(t, nil)}
	l, err := newClient(t, s, Options{}).Obtain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseLease(l.Response.Carried, l.Obtained)
	if err != nil || again.Address != l.Address || again.Server != l.Server || !again.End().Equal(l.End()) || again.T1 != l.T1 || again.T2 != l.T2 || again.Mask != l.Mask {
		t.Errorf("%+v became %+v, %v", l, again, err)
	}
	if _, err := ParseLease(carried(t, s.sent[0].datagram).ToBytes(), l.Obtained); err == nil {
		t.Error("a DISCOVER was taken for a lease")
	}
}
