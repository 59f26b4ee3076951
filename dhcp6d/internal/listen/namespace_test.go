package listen

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// The tests run in their own network namespace: the test binary starts itself again in one, and if
// it is not root, in a user namespace too. Clients are in further namespaces, at the other ends of
// veth pairs.

const (
	inside = "DHCP6D_LISTEN_TEST_INSIDE"
	denied = "DHCP6D_LISTEN_TEST_DENIED"
)

func TestMain(m *testing.M) {
	if os.Getenv(inside) == "" {
		os.Exit(again(m))
	}
	if err := noDetection(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// again runs the tests in a new namespace. If the kernel refuses that, it runs them here, and those
// that need a namespace say so.
func again(m *testing.M) int {
	runtime.LockOSThread() // Pdeathsig is about the thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=yes")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if uid := os.Geteuid(); uid != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		_ = os.Setenv(denied, err.Error())
		return m.Run()
	}
	err := cmd.Wait()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// needNamespace skips a test if there is no namespace.
func needNamespace(t testing.TB) {
	t.Helper()
	if why := os.Getenv(denied); why != "" {
		skip.Test(t, "no network namespace to test in (root or unprivileged user namespaces are needed): "+why)
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noDetection makes new addresses usable at once in the thread's namespace.
func noDetection() error {
	for _, f := range []string{"default/accept_dad", "default/dad_transmits"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+f, []byte("0"), 0); err != nil {
			return fmt.Errorf("switch duplicate address detection off: %w", err)
		}
	}
	return nil
}

// host is a network namespace with a thread in it.
type host struct {
	t     testing.TB
	tasks chan func()
	gone  chan struct{} // closed when the thread has ended
	ns    int           // descriptor of the namespace
}

func newHost(t testing.TB) *host {
	t.Helper()
	h := &host{t: t, tasks: make(chan func()), gone: make(chan struct{})}
	ready := make(chan error)
	go func() {
		defer close(h.gone)
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			h.ns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if err == nil {
			err = noDetection()
		}
		ready <- err
		for task := range h.tasks {
			task()
		}
	}()
	check(t, <-ready)
	t.Cleanup(func() {
		close(h.tasks)
		<-h.gone
		_ = unix.Close(h.ns)
	})
	return h
}

// run runs f in the namespace.
func (h *host) run(f func()) {
	h.t.Helper()
	done := make(chan struct{})
	task := func() {
		defer close(done) // also when f ends the thread's goroutine by FailNow
		f()
	}
	select {
	case h.tasks <- task:
		<-done
	case <-h.gone:
		h.t.FailNow()
	}
}

var sameMAC = []byte{2, 0, 0, 0, 0, 1}

// connect makes a veth pair: name is here, eth0 on the host. Both are ready and have an MTU of
// 1500. The ends of all hosts have the same hardware address, so they have the same link-local
// address.
func (h *host) connect(name string) {
	h.t.Helper()
	addVeth(h.t, netlink.LinkAttrs{Name: name}, h)
	h.t.Cleanup(func() { delLink(name) })
	h.run(func() {
		link, err := netlink.LinkByName("eth0")
		if err == nil {
			err = netlink.LinkSetUp(link)
		}
		if err != nil {
			h.t.Error(err)
		}
	})
	eventually(h.t, "address at the far end", func() (ok bool) {
		h.run(func() { ok = ready("eth0") })
		return ok
	})
	eventually(h.t, "address at the near end", func() bool { return ready(name) })
}

// ready reports whether an interface of the thread's namespace is up and has an address to send
// from.
func ready(name string) bool {
	found, err := interfaces()
	return err == nil && slices.ContainsFunc(found, func(s device) bool {
		return s.Name == name && s.Up && len(s.Addresses) > 0
	})
}

// addVeth makes a pair with attrs on our end and brings our end up.
func addVeth(t testing.TB, attrs netlink.LinkAttrs, h *host) {
	t.Helper()
	attrs.TxQLen = -1
	attrs.MTU = 1500
	check(t, netlink.LinkAdd(&netlink.Veth{
		LinkAttrs: attrs, PeerName: "eth0", PeerHardwareAddr: sameMAC, PeerNamespace: netlink.NsFd(h.ns),
	}))
	link, err := netlink.LinkByName(attrs.Name)
	check(t, err)
	check(t, netlink.LinkSetUp(link))
}

func delLink(name string) {
	if link, err := netlink.LinkByName(name); err == nil {
		_ = netlink.LinkDel(link)
	}
}

func index(t testing.TB, name string) int {
	t.Helper()
	link, err := netlink.LinkByName(name)
	check(t, err)
	return link.Attrs().Index
}

// linkLocal returns the address that the hardware address gives (RFC 4291, appendix A).
var linkLocal = netip.MustParseAddr("fe80::ff:fe00:1")

// memberships returns the lines of the kernel's list that are about DHCP's groups, each as
// "interface group".
func memberships(t testing.TB) []string {
	t.Helper()
	b, err := os.ReadFile("/proc/thread-self/net/igmp6")
	check(t, err)
	var ms []string
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		switch f[2] {
		case "ff020000000000000000000000010002":
			ms = append(ms, f[1]+" ff02::1:2")
		case "ff050000000000000000000000010003":
			ms = append(ms, f[1]+" ff05::1:3")
		}
	}
	return ms
}
