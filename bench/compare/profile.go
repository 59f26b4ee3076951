package compare

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/bench/flame"
)

// A profile is a perf that samples both of our daemons during one run. It samples by the clock,
// because virtual machines have no counters for perf.
type profile struct {
	cmd  *exec.Cmd
	said bytes.Buffer
	dir  string
	data string
}

// startProfile samples the halves of s until close. The kernel's symbols need root.
func startProfile(s *subject) (*profile, error) {
	dir, err := os.MkdirTemp("", "profile-")
	if err != nil {
		return nil, fmt.Errorf("making a directory for a profile: %w", err)
	}
	p := &profile{dir: dir, data: filepath.Join(dir, "perf.data")}
	p.cmd = exec.Command("perf", "record", "-q", "-g", "-F", "999", "-e", "cpu-clock", "-o", p.data,
		"-p", strconv.Itoa(s.six.PID())+","+strconv.Itoa(s.fours[0].PID()))
	p.cmd.Stderr = &p.said
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting perf (Debian: linux-perf): %w", err), os.RemoveAll(dir))
	}
	return p, nil
}

// end ends the sampling. Calling it again does nothing.
func (p *profile) end() {
	_ = p.cmd.Process.Signal(unix.SIGINT)
	_ = p.cmd.Wait() // perf ends by the signal, which is an error
}

// close ends the sampling and deletes the data.
func (p *profile) close() {
	p.end()
	_ = os.RemoveAll(p.dir) // a temporary directory
}

// draw ends the sampling and draws a flame graph of each half, to out-dhcp6d.svg and
// out-dhcp4d.svg.
func (p *profile) draw(s *subject, l Load, out string) error {
	p.end()
	if _, err := os.Stat(p.data); err != nil {
		return fmt.Errorf("perf has recorded nothing: %s", p.said.String())
	}
	for _, half := range []struct {
		name string
		pid  int
	}{{"dhcp6d", s.six.PID()}, {"dhcp4d", s.fours[0].PID()}} {
		stacks, err := exec.Command("perf", "script", "-i", p.data, "--pid", strconv.Itoa(half.pid), "-F",
			"comm,ip,sym").Output()
		if err != nil {
			return fmt.Errorf("reading the profile of %s: %w", half.name, err)
		}
		root, err := flame.Read(bytes.NewReader(stacks), half.name)
		if err != nil {
			return err
		}
		var b bytes.Buffer
		if err := root.Draw(&b, fmt.Sprintf("%s, %v", half.name, l)); err != nil {
			return err
		}
		if err := os.WriteFile(out+"-"+half.name+".svg", b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing a flame graph: %w", err)
		}
	}
	return nil
}
