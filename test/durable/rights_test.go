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
)

// nobody is the user that runs the daemons in a test of rights.
const nobody = 65534

// denial takes a right to a file from the user nobody.
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
	b.keep(kind, state)
	b.config.Env = append(b.config.Env, "DHCP6D_STATE_DIR="+filepath.Join(state, "dhcp6d"), "DHCP6D_DHCPV6_SERVERS=[2001:db8:c::9]:547")
	unprivileged := []string{
		"setpriv", fmt.Sprintf("--reuid=%d", nobody), fmt.Sprintf("--regid=%d", nobody), "--clear-groups",
		"--bounding-set=-all,+net_bind_service", "--inh-caps=-all,+net_bind_service", "--ambient-caps=+net_bind_service",
	}
	b.config.Through, b.config.Through6 = unprivileged, unprivileged
	owned := func(dir string) error {
		return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			return errors.Join(err, os.Chown(path, nobody, nobody))
		})
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(state, "dhcp6d"), 0o700), owned(state)); err != nil {
		t.Fatal(err)
	}
	w := b.fill()
	if err := errors.Join(os.CopyFS(good, os.DirFS(state)), owned(good)); err != nil {
		t.Fatal(err)
	}
	sixRuns, served := true, 0
	type try struct {
		name string
		denial
	}
	var tries []try
	for _, name := range filesOf(t, good) {
		for _, d := range denials {
			tries = append(tries, try{name, d})
		}
	}
	rand.Shuffle(len(tries), func(i, j int) { tries[i], tries[j] = tries[j], tries[i] })
	tries = tries[:min(len(tries), rounds(t, "DHCP4O6_DENIALS", 12))]
	// The files of dhcp6d come last, when clients no longer need it.
	slices.SortStableFunc(tries, func(a, b try) int { return cmp.Compare(ofSix(a.name), ofSix(b.name)) })
	for _, try := range tries {
		start, path := func() error { return b.tryV4(w) }, filepath.Join(state, try.name)
		if ofSix(try.name) > 0 {
			start = b.tryV6
			if sixRuns {
				if err := b.six.Stop(20 * time.Second); err != nil {
					t.Fatal(err)
				}
			}
			sixRuns = false
		}
		if err := errors.Join(os.RemoveAll(state), os.CopyFS(state, os.DirFS(good)), owned(state), try.do(path)); err != nil {
			t.Fatal(err)
		}
		what := try.name + " " + try.denial.name
		if err := start(); err == nil {
			served++
		} else if err := explained(err, filepath.Base(path), filepath.Base(filepath.Dir(path))); err != nil {
			t.Errorf("%s: %v", what, err)
		}
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
			t.Errorf("%s; after the rights were given back: %v", what, err)
		}
	}
	t.Logf("%d denials; the daemon served after %d of them", len(tries), served)
}

// ofSix returns 1 for a file of dhcp6d, else 0.
func ofSix(name string) int {
	if strings.HasPrefix(name, "dhcp6d/") {
		return 1
	}
	return 0
}
