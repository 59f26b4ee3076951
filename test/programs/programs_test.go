// Package programs tests the programs of clients/cmd and the demonstration as users run them: by
// flags, output, signals and exit status.
package programs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

func TestMain(m *testing.M) {
	status := netnstest.Main(m)
	_ = os.RemoveAll(built) // a temporary directory
	os.Exit(status)
}

// built is the directory of the programs under test, after [build].
var built string

// build builds the programs, with the race detector if the tests have it.
var build = sync.OnceValue(func() (err error) {
	if built, err = os.MkdirTemp("", "dhcp4o6-programs-"); err != nil {
		return err
	}
	args := []string{"build", "-buildvcs=false", "-o", built}
	if raceEnabled {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../../clients/cmd/...", "../cmd/demo")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return nil
})

// command returns the path of a program under test.
func command(t *testing.T, name string) string {
	t.Helper()
	if err := build(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(built, name)
}

// start starts a program under test on a host.
func start(t *testing.T, h *netns.Host, name string, args ...string) *netns.Process {
	t.Helper()
	p, err := h.Start(nil, append([]string{command(t, name)}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// says waits until a process has written all of these texts, in this order.
func says(t *testing.T, p *netns.Process, texts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	err := p.WaitFor(ctx, func() error {
		rest := p.Output()
		for _, text := range texts {
			var found bool
			if _, rest, found = strings.Cut(rest, text); !found {
				return errors.New("it does not say " + text)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// call is a run of a program that ends by itself.
type call struct {
	name   string
	args   []string
	status int
	says   string
}

// ends runs a program once for each call.
func ends(t *testing.T, h *netns.Host, name string, calls []call) {
	t.Helper()
	for _, c := range calls {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, h, name, c.args...)
			status, err := p.Wait(t.Context())
			if err != nil || status != c.status || !strings.Contains(p.Output(), c.says) {
				t.Errorf("status %d, %v, want %d and %q:\n%s", status, err, c.status, c.says, p.Output())
			}
		})
	}
}

// daemons skips the test if they are not built.
func daemons(t *testing.T) {
	t.Helper()
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
}

// network is the shared topology without servers.
func network(t *testing.T) *topology.Network {
	t.Helper()
	daemons(t)
	s, err := topology.New(netnstest.Lab(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}
