package hooks

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

func changeOf(e lease.Event, n byte) *event.Lease {
	return &event.Lease{Event: e, Interface: "eth1",
		Binding: lease.Binding{
			ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, n})}, Subnet: 7, State: lease.Bound, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, n},
			Client: []byte{lease.KeyIdentifier, 0xff, n}, Source: netip.MustParseAddr("2001:db8::9"),
			RemoteID: []byte("\x00\x00\x00\x09a"), Start: 1000, Changed: 2000, Expires: 5600,
		},
		Relays: []event.Relay{{LinkAddress: netip.MustParseAddr("2001:db8::1"), PeerAddress: netip.MustParseAddr("fe80::1"), InterfaceID: []byte("p\x00")}},
	}
}

// program writes a shell script and returns its path.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

func runOf(t *testing.T, v runVariables, before *run) *run {
	t.Helper()
	if v.Timeout == 0 {
		v.Timeout = 60
	}
	if v.Workers == 0 {
		v.Workers = 2
	}
	if v.Queue == 0 {
		v.Queue = 64
	}
	r, err := newRun(&v, hook.Env{Log: slog.New(slog.DiscardHandler), Registry: prometheus.NewRegistry()}, before)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// waiting returns how many changes wait for a program.
func waiting(r *run) (n int) {
	for _, jobs := range r.pool.workers {
		n += len(jobs)
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

func TestFacts(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	r := runOf(t, runVariables{Command: program(t, `{ echo "$# $1"; env; } > `+out+".tmp && mv "+out+".tmp "+out+"\n")}, nil)
	defer r.Close()
	for _, tt := range []struct {
		event lease.Event
		state lease.State
		want  []string
	}{
		{lease.EventAllocated, lease.Bound, []string{"1 leases4_committed", "LEASE4_ADDRESS=192.0.2.5", "LEASE4_HWADDR=02:00:00:00:00:05", "LEASE4_HWADDR_TYPE=1",
			"LEASE4_CLIENT_ID=ff:05", "LEASE4_STATE=default", "LEASE4_SUBNET_ID=7", "LEASE4_CLTT=2000", "LEASE4_VALID_LIFETIME=3600",
			"LEASES4_SIZE=1", "LEASES4_AT0_ADDRESS=192.0.2.5", "DELETED_LEASES4_SIZE=0", "LEASE4_EVENT=allocated", "LEASE4_START=1000", "LEASE4_EXPIRES=5600",
			"LEASE4_REMOTE_ID=00:00:00:09:61",
			"QUERY4_IFACE_NAME=eth1", "QUERY4_REMOTE_ADDR=2001:db8::9", "RELAYS6_SIZE=1", "RELAYS6_AT0_LINK_ADDRESS=2001:db8::1",
			"RELAYS6_AT0_PEER_ADDRESS=fe80::1", "RELAYS6_AT0_INTERFACE_ID=70:00", "RELAYS6_AT0_REMOTE_ID="}},
		{lease.EventRenewed, lease.Bound, []string{"1 lease4_renew", "LEASE4_STATE=default"}},
		{lease.EventReleased, lease.Released, []string{"1 lease4_release", "LEASE4_STATE=released"}},
		{lease.EventDeclined, lease.Declined, []string{"1 lease4_decline", "LEASE4_STATE=declined"}},
		{lease.EventExpired, lease.Bound, []string{"1 lease4_expire", "LEASE4_STATE=expired-reclaimed", "LEASE4_REMOTE_ID=00:00:00:09:61"}},
		{lease.EventReclaimed, lease.NoState, []string{"1 lease4_recover", "LEASE4_STATE=expired-reclaimed"}},
	} {
		t.Run(tt.event.String(), func(t *testing.T) {
			e := changeOf(tt.event, 5)
			e.Binding.State = tt.state
			r.add(e)
			var text []byte
			eventually(t, "the program has run", func() (ok bool) { text, _ = os.ReadFile(out); return len(text) > 0 })
			if err := os.Remove(out); err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(text), "\n")
			for _, w := range tt.want {
				if !slices.Contains(lines, w) {
					t.Errorf("lacks %q:\n%s", w, text)
				}
			}
		})
	}
	eventually(t, "all are counted", func() bool { return testutil.ToFloat64(r.pool.m.ok) == 6 })
}

func TestFactsOfALeaseWithoutEndOrIdentifier(t *testing.T) {
	e := changeOf(lease.EventAllocated, 1)
	e.Binding.Expires, e.Binding.Client, e.Binding.Source = lease.Never, []byte{lease.KeyHardware, 1, 2}, netip.Addr{}
	facts := runFacts(e)
	for _, want := range []string{"LEASE4_EXPIRES=never", "LEASE4_VALID_LIFETIME=4294967295", "LEASE4_CLIENT_ID=", "QUERY4_REMOTE_ADDR="} {
		if !slices.Contains(facts, want) {
			t.Errorf("lacks %q: %q", want, facts)
		}
	}
}

func TestOrder(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	r := runOf(t, runVariables{Command: program(t, `echo "$LEASE4_ADDRESS $LEASE4_CLTT" >> `+out+"\n"), Workers: 4, Queue: 400}, nil)
	for i := range 20 {
		for n := range byte(4) {
			e := changeOf(lease.EventRenewed, n)
			e.Binding.Changed = lease.Time(i)
			r.add(e)
		}
	}
	eventually(t, "all have run", func() bool { return testutil.ToFloat64(r.pool.m.ok) == 80 })
	r.Close()
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	for l := range strings.Lines(string(text)) {
		var a string
		var at int
		if _, err := fmt.Sscan(l, &a, &at); err != nil || at != next[a] {
			t.Fatalf("%q comes when %d was due", l, next[a])
		}
		next[a]++
	}
}

func TestTrouble(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		timeout    config.Seconds
		result     func(*runMetrics) prometheus.Counter
	}{
		{"a program that fails", "exit 3\n", 0, func(m *runMetrics) prometheus.Counter { return m.failed }},
		{"a program that is killed", "kill -9 $$\n", 0, func(m *runMetrics) prometheus.Counter { return m.failed }},
		{"a program that hangs", "sleep 1000\n", 1, func(m *runMetrics) prometheus.Counter { return m.timeout }},
		{"a program whose children hang", "sleep 1000 & sleep 1000\n", 1, func(m *runMetrics) prometheus.Counter { return m.timeout }},
		{"a program that writes without end", "yes\n", 1, func(m *runMetrics) prometheus.Counter { return m.timeout }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := runOf(t, runVariables{Command: program(t, tt.text), Timeout: tt.timeout}, nil)
			defer r.Close()
			r.add(changeOf(lease.EventAllocated, 1))
			eventually(t, "it is counted", func() bool { return testutil.ToFloat64(tt.result(r.pool.m)) == 1 })
		})
	}
	t.Run("a program that is gone", func(t *testing.T) {
		path := program(t, "")
		r := runOf(t, runVariables{Command: path}, nil)
		defer r.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		r.add(changeOf(lease.EventAllocated, 1))
		eventually(t, "it is counted", func() bool { return testutil.ToFloat64(r.pool.m.notStarted) == 1 })
	})
	t.Run("a program that was never there is said at the start", func(t *testing.T) {
		if _, err := newRun(&runVariables{Command: "/nonexistent/program"}, hook.Env{}, nil); err == nil || !strings.Contains(err.Error(), "DHCP4D_RUN_COMMAND") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("programs slower than changes: the queue is bounded, nobody waits, what is lost is counted", func(t *testing.T) {
		hold := filepath.Join(t.TempDir(), "hold")
		r := runOf(t, runVariables{Command: program(t, "while [ ! -e "+hold+" ]; do sleep 0.01; done\n"), Workers: 1, Queue: 10}, nil)
		for range 1000 {
			r.add(changeOf(lease.EventRenewed, 1)) // returns at once, or the test never ends
		}
		if n := waiting(r); n > 10 {
			t.Errorf("%d wait", n)
		}
		if err := os.WriteFile(hold, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		eventually(t, "all are accounted for", func() bool { return testutil.ToFloat64(r.pool.m.ok)+testutil.ToFloat64(r.pool.m.lost) == 1000 })
		if testutil.ToFloat64(r.pool.m.lost) < 900 {
			t.Errorf("%v are lost", testutil.ToFloat64(r.pool.m.lost))
		}
		r.Close()
	})
	t.Run("stopping ends what hangs, and counts what waits", func(t *testing.T) {
		grace := closeGrace
		closeGrace = 10 * time.Millisecond
		defer func() { closeGrace = grace }()
		r := runOf(t, runVariables{Command: program(t, "sleep 1000\n"), Workers: 1, Queue: 10}, nil)
		for range 5 {
			r.add(changeOf(lease.EventRenewed, 1))
		}
		eventually(t, "the first runs", func() bool { return waiting(r) == 4 })
		r.Close()
		if lost := testutil.ToFloat64(r.pool.m.lost); lost != 4 {
			t.Errorf("%v are lost, want 4", lost)
		}
	})
}

// TestWhatAProgramLeavesBehind checks that children in the background are killed, also those that
// left their process group.
func TestWhatAProgramLeavesBehind(t *testing.T) {
	for name, text := range map[string]string{
		"a child in the background":           "sleep 1000 &\necho $! > OUT\n",
		"a child with a session of its own":   "setsid sh -c 'echo $$ > OUT; exec sleep 1000' &\nwhile [ ! -s OUT ]; do :; done\n",
		"a grandchild whose parent has ended": "setsid sh -c 'setsid sh -c \"echo \\$\\$ > OUT; exec sleep 1000\" & ' \nwhile [ ! -s OUT ]; do :; done\n",
		"a child that has ended":              "(exit 3) &\necho $! > OUT\n",
		"a program that is killed itself":     "setsid sh -c 'echo $$ > OUT; exec sleep 1000' &\nwhile [ ! -s OUT ]; do :; done\nkill -9 $$\n",
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "pid")
			r := runOf(t, runVariables{Command: program(t, strings.ReplaceAll(text, "OUT", out))}, nil)
			r.add(changeOf(lease.EventAllocated, 1))
			eventually(t, "the program has ended", func() bool {
				return testutil.ToFloat64(r.pool.m.ok)+testutil.ToFloat64(r.pool.m.failed) == 1
			})
			pid, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil {
				t.Errorf("process %s is still there", pid)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAReloadOfRunLosesNoChange(t *testing.T) {
	out, hold := filepath.Join(t.TempDir(), "out"), filepath.Join(t.TempDir(), "hold")
	wait := "while [ ! -e " + hold + " ]; do sleep 0.01; done\n"
	first := runOf(t, runVariables{Command: program(t, wait+"echo first >> "+out+"\n"), Workers: 1, Queue: 10}, nil)
	if runOf(t, runVariables{Command: first.command, Workers: 9, Queue: 1}, first) != first {
		t.Error("a reload without a change makes another hook")
	}
	for range 3 {
		first.add(changeOf(lease.EventRenewed, 1))
	}
	second := runOf(t, runVariables{Command: program(t, "echo second >> "+out+"\n"), Workers: 1, Queue: 10}, first)
	second.add(changeOf(lease.EventRenewed, 1))
	if err := first.Close(); err != nil { // as the reload does once second is in use
		t.Error(err)
	}
	if err := os.WriteFile(hold, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all programs have run", func() bool { return testutil.ToFloat64(second.pool.m.ok) == 4 })
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(out)
	if err != nil || string(text) != "first\nfirst\nfirst\nsecond\n" {
		t.Errorf("the programs wrote %q, %v", text, err)
	}
	if n := testutil.ToFloat64(second.pool.m.lost); n != 0 {
		t.Errorf("%v changes are lost", n)
	}
}
