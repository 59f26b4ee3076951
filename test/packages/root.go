// Package packages installs the Debian packages in a clean Debian, as a user does, without systemd
// and under a systemd of its own.
//
// It makes a root from Debian's archive with mmdebstrap, and boots it with systemd-nspawn in
// namespaces. It changes nothing on this host.
package packages

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Root is a clean Debian in a directory.
type Root struct {
	Dir string

	container *exec.Cmd // while it is booted
	init      string    // its first process, as a process of this host
}

// New makes a root in a new directory below dir. RootEnv may name a tar of one to take.
func New(ctx context.Context, dir string) (*Root, error) {
	r := &Root{Dir: filepath.Join(dir, "root")}
	if tar := os.Getenv(RootEnv); tar != "" {
		if err := os.Mkdir(r.Dir, 0o755); err != nil { //nolint:gosec // a root directory is for everybody
			return nil, err
		}
		_, err := command(ctx, "tar", "-C", r.Dir, "-xf", tar)
		return r, err
	}
	suite := "bookworm"
	if s := os.Getenv(SuiteEnv); s != "" {
		suite = s
	}
	_, err := command(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io",
		"--include=systemd,systemd-sysv,dbus,iproute2,logrotate,curl", suite, r.Dir)
	return r, err
}

// RootEnv names a tar with a root, for a machine that reaches no archive. SuiteEnv names another
// release of Debian.
const (
	RootEnv  = "DHCP4O6_PACKAGES_ROOT"
	SuiteEnv = "DHCP4O6_PACKAGES_SUITE"
)

// Run runs a shell script in the root: in a bare chroot, or in the booted system.
func (r *Root) Run(ctx context.Context, script string) (string, error) {
	shell := []string{"env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "sh", "-ec",
		script}
	if r.container != nil {
		return command(ctx, append([]string{"nsenter", "--target", r.init, "--all"}, shell...)...)
	}
	return command(ctx, append([]string{"chroot", r.Dir}, shell...)...)
}

// Boot starts the root's systemd, and returns when it has started everything.
func (r *Root) Boot(ctx context.Context) error {
	var said bytes.Buffer
	c := exec.CommandContext(ctx, "systemd-nspawn", "--quiet", "--directory="+r.Dir, "--register=no", "--keep-unit",
		"--private-network", "--boot")
	c.Stdout, c.Stderr = &said, &said
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	r.container = c
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	for {
		select {
		case err := <-ended:
			r.container = nil
			return fmt.Errorf("the system has ended: %w: %s", err, said.String())
		default:
		}
		if r.init = child(c.Process.Pid); r.init != "" {
			// It is "degraded" if this host keeps a unit of Debian from starting.
			if out, _ := r.Run(ctx, "systemctl is-system-running --wait"); strings.Contains(out, "running") ||
				strings.Contains(out, "degraded") {
				return nil
			}
		}
	}
}

// Close ends the booted system.
func (r *Root) Close() error {
	if r.container == nil {
		return nil
	}
	return r.container.Process.Kill()
}

// child is the first process of a container.
func child(nspawn int) string {
	p := strconv.Itoa(nspawn)
	children, _ := os.ReadFile(filepath.Join("/proc", p, "task", p, "children")) // it may have ended
	for c := range strings.FieldsSeq(string(children)) {
		if name, err := os.ReadFile(filepath.Join("/proc", c, "comm")); err == nil && string(name) == "systemd\n" {
			return c
		}
	}
	return ""
}

// command runs a program and returns its standard output. An error has what it said.
func command(ctx context.Context, argv ...string) (string, error) {
	var out, said bytes.Buffer
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Stdout, c.Stderr = &out, &said
	if err := c.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s%s", strings.Join(argv, " "), err, out.String(), said.String())
	}
	return out.String(), nil
}
