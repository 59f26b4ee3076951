package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestDiskAtTheStart starts the daemons with their state on a disk that is full, or that can only
// be read. A daemon ends and says what is wrong with the disk, or knows every lease that was
// acknowledged. On a disk with space it starts, and no lease is lost.
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
	state, good, empty := filepath.Join(b.config.Dir, "state"), filepath.Join(b.config.Dir, "good"), filepath.Join(b.config.Dir, "empty")
	for _, dir := range []string{state, empty} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"),
		"DHCP6D_STATE_DIR="+filepath.Join(state, "dhcp6d"), "DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	without := slices.Clip(b.config.Env)
	with := append(without, hooksThatKeep(state)...)
	b.config.Env = with
	w := b.fill()
	if err := os.CopyFS(good, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	// on returns the command that gives a process a disk of its own, with a copy of a directory.
	on := func(content string) []string {
		return []string{"unshare", "--mount", "sh", "-c", `mount -t tmpfs -o size=96m tmpfs "$0" || exit 9
			cp -a "$1/." "$0" || exit 9
			if [ "$2" = full ]; then cat /dev/zero > "$0/ballast" 2> /dev/null; else mount -o remount,ro "$0" || exit 9; fi
			shift 2; exec "$@"`, state, content, how}
	}
	says := map[string]string{"full": "no space left on device", "read-only": "read-only file system"}[how]
	judge := func(what string, half *servers.Half, start error, then func() error) {
		t.Helper()
		if start != nil {
			if err := errors.Join(explained(start, says), explained(start, state)); err != nil {
				t.Errorf("%s: %v", what, err)
			}
			t.Logf("%s: %v", what, start)
			return
		}
		if how == "full" {
			if err := os.Remove(filepath.Join(fmt.Sprintf("/proc/%d/root", half.PID()), state, "ballast")); err != nil {
				t.Fatal(err)
			}
		}
		if err := then(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		half.Kill()
		t.Logf("%s: it starts", what)
	}
	verified := func() error { return b.verify(w) }
	for _, c := range []struct {
		what, content string
		env           []string
	}{
		{"dhcp4d with its state", good, with}, {"dhcp4d without its state", empty, with},
		{"dhcp4d without hooks", good, without}, {"dhcp4d without hooks and state", empty, without},
	} {
		content, what := c.content, c.what
		b.config.Through, b.config.Env = on(content), c.env
		half, err := servers.StartV4(b.server, servers.Ours, b.config)
		then := verified
		if how == "read-only" || content == empty {
			then = func() error { return errors.New("it serves, and cannot keep leases") }
		}
		judge(what, half, err, then)
	}
	b.config.Through, b.config.Env = nil, with
	b.start4()
	if err := verified(); err != nil {
		t.Errorf("on a disk with space: %v", err)
	}
	b.faultless(w)
	if err := b.six.Stop(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{good, empty} {
		b.config.Through6 = on(content)
		half, err := servers.StartV6(b.server, servers.Ours, b.config, true)
		judge("dhcp6d with "+filepath.Base(content), half, err, func() error { return nil })
	}
}
