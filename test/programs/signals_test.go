package programs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// logged is a program that serves, with its log in a pipe of 16 KiB.
type logged struct {
	*exec.Cmd
	t    *testing.T
	log  *os.File // the end to read
	done chan error
}

// serving starts one of the programs that serve, and waits until it has begun.
func serving(t *testing.T, name string) *logged {
	t.Helper()
	path, err := servers.Find(name)
	if err != nil {
		netnstest.Skip(t, err.Error())
	}
	host, err := netnstest.Lab(t).Host("server")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	env := map[string][]string{
		"dhcp4d": {"DHCP4D_IPC_LISTEN=[::1]:6768", "DHCP4D_IPC_PEERS=[::1]:6767", "DHCP4D_STORE=journal:" + filepath.Join(dir, "leases"),
			"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: lo}]}]"},
		"dhcp6d":        {"DHCP6D_IPC_LISTEN=[::1]:6767", "DHCP6D_IPC_BACKENDS=[::1]:6768", "DHCP6D_INTERFACES=lo", "DHCP6D_STATE_DIR=" + dir},
		"dhcp4d-radius": {"RADIUS_SOCKET=" + filepath.Join(dir, "socket"), "RADIUS_SECRET=x", "RADIUS_SERVERS=[::1]:1812"},
	}[name]
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer write.Close()
	t.Cleanup(func() { read.Close() })
	if _, err := unix.FcntlInt(read.Fd(), unix.F_SETPIPE_SZ, 16<<10); err != nil {
		t.Fatal(err)
	}
	p := &logged{exec.Command(path), t, read, make(chan error, 1)}
	p.Env, p.Stderr = env, write
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
	if err := host.Do(p.Start); err != nil {
		t.Fatal(err)
	}
	go func() { p.done <- p.Wait() }()
	t.Cleanup(func() { _ = p.Process.Kill() }) // after its end this does nothing
	p.until("it begins", func() bool {
		_, err := os.Stat(filepath.Join(dir, "socket"))
		return err == nil || p.unread() > 0
	})
	return p
}

func (p *logged) until(what string, is func() bool) {
	p.t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// unread is how many octets of the log wait to be read.
func (p *logged) unread() int {
	n, err := unix.IoctlGetInt(int(p.log.Fd()), unix.TIOCINQ)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// hangUp sends SIGHUP n times. The daemons log each reload.
func (p *logged) hangUp(n int) {
	for range n {
		_ = p.Process.Signal(unix.SIGHUP)
		time.Sleep(5 * time.Millisecond)
	}
}

// ends sends SIGTERM, and more SIGHUPs, and checks that the program ends well.
func (p *logged) ends() {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.t.Fatalf("it has ended: %v", err)
	default:
	}
	_ = p.Process.Signal(unix.SIGTERM)
	for end := time.Now().Add(9 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		select {
		case err := <-p.done:
			if err != nil {
				p.t.Errorf("after SIGTERM: %v", err)
			}
			return
		default:
			_ = p.Process.Signal(unix.SIGHUP)
		}
	}
	p.t.Error("it does not end after SIGTERM")
}

// To systemd an end by SIGHUP is a good one, after which it does not start the program again. So a
// SIGHUP ends nothing, not even a program that stops.
func TestHangupsEndNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dhcp4d", "dhcp6d", "dhcp4d-radius"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serving(t, name)
			p.hangUp(20)
			p.ends()
		})
	}
}

// A program whose log nobody reads serves on, and stops when it is told to. Whoever reads the log
// again is told how many lines are lost.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dhcp4d", "dhcp6d"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serving(t, name)
			full := func() bool { p.hangUp(1); return p.unread() > 11<<10 }
			p.until("the pipe is full", full)
			p.hangUp(100)
			var said string
			p.until("a line about those that are lost", func() bool {
				p.hangUp(1)
				b := make([]byte, 4096)
				if p.unread() > 0 {
					n, _ := p.log.Read(b)
					said += string(b[:n])
				}
				return strings.Contains(said, "lines of the log are lost")
			})
			p.until("the pipe is full again", full)
			p.ends()
		})
	}
}

func TestALogWhoseReaderIsGone(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dhcp4d", "dhcp6d"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serving(t, name)
			p.log.Close()
			p.hangUp(50)
			p.ends()
		})
	}
}
