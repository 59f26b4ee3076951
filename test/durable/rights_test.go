package durable

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// nobody is who runs the daemons in a test of rights.
const nobody = 65534

// denial is what keeps nobody from a file.
type denial struct {
	name string
	do   func(path string) error
}

var denials = []denial{
	{"has mode 000", func(path string) error { return os.Chmod(path, 0) }},
	{"can only be read", func(path string) error { return os.Chmod(path, 0o400) }},
	{"has another owner", func(path string) error { return os.Chown(path, 0, 0) }},
	{"is in a directory of mode 000", func(path string) error { return os.Chmod(filepath.Dir(path), 0) }},
	{"is in a directory that can only be read", func(path string) error { return os.Chmod(filepath.Dir(path), 0o500) }},
	{"is in a directory of another owner", func(path string) error { return os.Chown(filepath.Dir(path), 0, 0) }},
}

// TestRightsAtTheStart takes rights to files of the state from daemons that are not root, one at a
// time. A daemon then starts and knows every lease that was acknowledged, or ends and names the
// file. Once it has its rights again, nothing is lost. DHCP4O6_DENIALS is how many are tried.
func TestRightsAtTheStart(t *testing.T) {
	t.Parallel()
	for _, kind := range stores {
		t.Run("store "+kind, func(t *testing.T) {
			t.Parallel()
			rightsAtTheStart(t, kind)
		})
	}
}

func rightsAtTheStart(t *testing.T, kind string) {
	b := newBench(t)
	if err := os.Chmod(filepath.Dir(b.config.Dir), 0o755); err != nil {
		t.Fatal(err)
	}
	b.config.Patience = 2 * time.Minute
	state, good := filepath.Join(b.config.Dir, "state"), filepath.Join(b.config.Dir, "good")
	b.config.Env = append(b.config.Env, "DHCP4D_STORE="+kind+":"+filepath.Join(state, "leases"),
		"DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH="+filepath.Join(state, "lease.log"),
		"DHCP4D_OUTSIDE_SOCKET="+filepath.Join(state, "socket"), "DHCP4D_OUTSIDE_EVENTS="+filepath.Join(state, "events"),
		"DHCP6D_STATE_DIR="+filepath.Join(state, "dhcp6d"), "DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	unprivileged := []string{"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups",
		"--bounding-set=-all,+net_bind_service", "--inh-caps=-all,+net_bind_service", "--ambient-caps=+net_bind_service"}
	b.config.Through, b.config.Through6 = unprivileged, unprivileged
	owned := func(dir string) error {
		return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, nobody, nobody))
		})
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(state, "dhcp6d"), 0o700), owned(state)); err != nil {
		t.Fatal(err)
	}
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 8, Keep: true})
	stop := b.load(w)
	b.await("leases", func() bool { return w.Acks.Load() > 200 })
	stop()
	b.stop4()
	if err := errors.Join(os.CopyFS(good, os.DirFS(state)), owned(good)); err != nil {
		t.Fatal(err)
	}
	// started says whether dhcp4d serves all leases, or how it ended.
	started := func() (err error) {
		if b.four, err = servers.StartV4(b.server, servers.Ours, b.config); err != nil {
			return err
		}
		n, lost, err := w.Verify(t.Context())
		b.faultless(w)
		if err == nil && (n == 0 || len(lost) > 0) {
			err = fmt.Errorf("%d of %d leases are lost", len(lost), n)
		}
		return errors.Join(err, b.four.Stop(20*time.Second))
	}
	started6 := func() error {
		half, err := servers.StartV6(b.server, servers.Ours, b.config, true)
		if err != nil {
			return err
		}
		return half.Stop(20 * time.Second)
	}
	six := true // it runs
	names, served, refused := filesOf(t, good), 0, 0
	judge := func(what, name string, err error) {
		t.Helper()
		dir := filepath.Base(filepath.Dir(filepath.Join(state, name)))
		switch {
		case err == nil:
			served++
		case !strings.Contains(err.Error(), "exit status 1"):
			t.Errorf("%s: %v", what, err)
		case !strings.Contains(err.Error(), filepath.Base(name)) && !strings.Contains(err.Error(), dir):
			t.Errorf("%s: it does not say what is wrong: %v", what, err)
		default:
			refused++
		}
	}
	type try struct {
		name string
		denial
	}
	var tries []try
	for _, name := range names {
		for _, d := range denials {
			tries = append(tries, try{name, d})
		}
	}
	rand.Shuffle(len(tries), func(i, j int) { tries[i], tries[j] = tries[j], tries[i] })
	tries = tries[:min(len(tries), rounds(t, "DHCP4O6_DENIALS", 12))]
	// Those of dhcp6d come last, when clients no longer need it.
	slices.SortStableFunc(tries, func(a, b try) int { return cmp.Compare(ofSix(a.name), ofSix(b.name)) })
	for _, try := range tries {
		start, what := started, try.name+" "+try.denial.name
		if ofSix(try.name) > 0 {
			start = started6
			if six {
				if err := b.six.Stop(20 * time.Second); err != nil {
					t.Fatal(err)
				}
			}
			six = false
		}
		if err := errors.Join(os.RemoveAll(state), os.CopyFS(state, os.DirFS(good)), owned(state), try.do(filepath.Join(state, try.name))); err != nil {
			t.Fatal(err)
		}
		judge(what, try.name, start())
		err := filepath.WalkDir(state, func(path string, d fs.DirEntry, err error) error {
			mode := fs.FileMode(0o600)
			if d.IsDir() {
				mode = 0o700
			}
			return errors.Join(err, os.Chmod(path, mode), os.Chown(path, nobody, nobody))
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := start(); err != nil {
			t.Errorf("%s, and then has its rights again: %v", what, err)
		}
	}
	t.Logf("of %d denials %d were served and %d refused", len(tries), served, refused)
}

// ofSix is 1 for a file of dhcp6d.
func ofSix(name string) int {
	if strings.HasPrefix(name, "dhcp6d/") {
		return 1
	}
	return 0
}
