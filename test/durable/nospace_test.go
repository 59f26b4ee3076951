package durable

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestDiskAtTheStart starts the daemons with their state on a disk that is full, or that can only
// be read. A daemon ends and says so, or knows every lease that was acknowledged. With space it
// starts, and nothing is lost.
func TestDiskAtTheStart(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		for _, how := range []string{"full", "read-only"} {
			t.Run(how+", store "+kind, func(t *testing.T) { diskAtTheStart(t, kind, how) })
		}
	}
}

func diskAtTheStart(t *testing.T, kind, how string) {
	b := newBench(t)
	state, good, none := filepath.Join(b.config.Dir, "state"), filepath.Join(b.config.Dir, "good"), filepath.Join(b.config.Dir, "none")
	for _, dir := range []string{state, none} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"),
		"DHCP6D_STATE_DIR="+filepath.Join(state, "dhcp6d"), "DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	without := slices.Clip(b.config.Env)
	with := append(without, "DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH="+filepath.Join(state, "lease.log"),
		"DHCP4D_OUTSIDE_SOCKET="+filepath.Join(state, "socket"), "DHCP4D_OUTSIDE_EVENTS="+filepath.Join(state, "events"))
	b.config.Env = with
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 8, Keep: true})
	stop := b.load(w)
	b.await("leases", func() bool { return w.Acks.Load() > 200 })
	stop()
	b.stop4()
	if err := os.CopyFS(good, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	// on gives a process a disk of its own with a copy of a directory.
	on := func(content string) []string {
		return []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=96m tmpfs "$0" || exit 9
			cp -a "$1/." "$0" || exit 9
			if [ "$2" = full ]; then cat /dev/zero > "$0/ballast" 2> /dev/null; else mount -o remount,ro "$0" || exit 9; fi
			shift 2; exec "$@"`, state, content, how}
	}
	says := map[string]string{"full": "no space left on device", "read-only": "read-only file system"}[how]
	judge := func(what string, half *servers.Half, err error, then func() error) {
		t.Helper()
		switch {
		case err == nil:
			ballast := filepath.Join(fmt.Sprintf("/proc/%d/root", half.PID()), state, "ballast")
			if how == "full" {
				if err := os.Remove(ballast); err != nil {
					t.Fatal(err)
				}
			}
			if err := then(); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			half.Kill()
			t.Logf("%s: it starts", what)
		case !strings.Contains(err.Error(), "exit status 1"), !strings.Contains(err.Error(), says), !strings.Contains(err.Error(), state):
			t.Errorf("%s: it does not say what is wrong: %v", what, err)
		default:
			t.Logf("%s: %v", what, err)
		}
	}
	known := func() error {
		n, lost, err := w.Verify(t.Context())
		if err == nil && (n == 0 || len(lost) > 0) {
			err = fmt.Errorf("%d of %d leases are lost", len(lost), n)
		}
		return err
	}
	for _, c := range []struct {
		what, content string
		env           []string
	}{
		{"dhcp4d with its state", good, with}, {"dhcp4d with none", none, with},
		{"dhcp4d without hooks", good, without}, {"dhcp4d without hooks and state", none, without},
	} {
		content, what := c.content, c.what
		b.config.Through, b.config.Env = on(content), c.env
		half, err := servers.StartV4(b.server, servers.Ours, b.config)
		then := known
		if how == "read-only" || content == none {
			then = func() error { return fmt.Errorf("it serves, and can keep nothing") }
		}
		judge(what, half, err, then)
	}
	b.config.Through, b.config.Env = nil, with
	b.start4()
	if err := known(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	b.faultless(w)
	if err := b.six.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{good, none} {
		b.config.Through6 = on(content)
		half, err := servers.StartV6(b.server, servers.Ours, b.config, true)
		judge("dhcp6d with "+filepath.Base(content), half, err, func() error { return nil })
	}
}
