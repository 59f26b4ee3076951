// Package netlab makes throw-away networks: hosts, each a network namespace
// of its own, joined by veth links, bridges and wires, with processes started
// inside and every link recorded to pcap where wanted.
//
// It owns namespaces, interfaces, child processes and captures, and gives all
// of them back in [Lab.Close]. It knows nothing about DHCP, calls no external
// tool, and never touches the namespace that the program was started in.
//
// A namespace here has no name and no mount: it lives in one locked thread,
// its interfaces live in it, and its processes carry a parent-death signal
// bound to that thread. So when this program ends, by whatever end (panic,
// SIGKILL, a crash), the kernel removes everything but temporary files, and
// those are removed by Close, which [Main] also runs on SIGINT and SIGTERM.
//
// Addresses are given without duplicate address detection and interfaces get
// no address by themselves, so a link is usable the moment the call returns.
// Checksum and segmentation offload are switched off on every interface that
// does not ask for them ([End.Offload]): what a capture shows is what would be
// on a cable, checksums included.
package netlab

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A Lab is a set of hosts and what joins them. Its methods may be called from
// any goroutine.
type Lab struct {
	mu      sync.Mutex
	hosts   []*Host
	closers []io.Closer
	nextMAC uint32

	closing  sync.Once
	closeErr error
}

// New returns an empty lab. It fails where [Available] does.
func New() (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	l := &Lab{}
	register(l)
	return l, nil
}

// Close ends every process, capture and wire and gives up the namespaces. It
// may be called more than once, also at the same time: all calls return when
// everything is gone.
func (l *Lab) Close() error {
	l.closing.Do(l.close)
	return l.closeErr
}

func (l *Lab) close() {
	l.mu.Lock()
	hosts, closers := l.hosts, l.closers
	l.hosts, l.closers = nil, nil
	l.mu.Unlock()

	var errs []error
	for _, c := range slices.Backward(closers) {
		errs = append(errs, c.Close())
	}
	for _, h := range slices.Backward(hosts) {
		h.close()
	}
	unregister(l)
	l.closeErr = errors.Join(errs...)
}

// closeLater makes c part of the lab's end; the last one added ends first.
func (l *Lab) closeLater(c io.Closer) {
	l.mu.Lock()
	l.closers = append(l.closers, c)
	l.mu.Unlock()
}

// A Host is one network namespace with its loopback interface up.
type Host struct {
	// Name is for messages only; two hosts may share one.
	Name string

	lab   *Lab
	ns    netns.NsHandle
	links *netlink.Handle
	calls chan func()
	leave chan struct{} // closed to end the thread
	ended chan struct{} // closed when it has
}

// Host adds a host to the lab.
func (l *Lab) Host(name string) (*Host, error) {
	h := &Host{Name: name, lab: l, calls: make(chan func()), leave: make(chan struct{}), ended: make(chan struct{})}
	ready := make(chan error)
	go h.live(ready)
	if err := <-ready; err != nil {
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	l.mu.Lock()
	l.hosts = append(l.hosts, h)
	l.mu.Unlock()
	return h, nil
}

// live is the host: a thread that entered a new namespace and never leaves
// it. It is never unlocked, so the runtime destroys the thread with it.
func (h *Host) live(ready chan<- error) {
	defer close(h.ended)
	runtime.LockOSThread()
	if err := h.enter(); err != nil {
		ready <- err
		return
	}
	ready <- nil
	for {
		select {
		case f := <-h.calls:
			f()
		case <-h.leave:
			h.links.Close()
			h.ns.Close()
			return
		}
	}
}

func (h *Host) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	var err error
	if h.ns, err = netns.Get(); err != nil {
		return fmt.Errorf("opening the new network namespace: %w", err)
	}
	if h.links, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("opening netlink: %w", err)
	}
	lo, err := h.links.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("finding the loopback interface: %w", err)
	}
	if err := h.links.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bringing the loopback interface up: %w", err)
	}
	return nil
}

func (h *Host) close() {
	close(h.leave)
	<-h.ended
}

// Do runs f inside the host's namespace and returns its error. Sockets that f
// opens stay in that namespace and may be used from anywhere afterwards. f
// must not start goroutines that count on the namespace, and must not call Do.
func (h *Host) Do(f func() error) error {
	type outcome struct {
		err     error
		paniced any
	}
	done := make(chan outcome, 1)
	call := func() {
		var o outcome
		defer func() {
			o.paniced = recover()
			done <- o
		}()
		o.err = f()
	}
	select {
	case h.calls <- call:
	case <-h.leave:
		return fmt.Errorf("host %s: the lab is closed", h.Name)
	}
	o := <-done
	if o.paniced != nil {
		panic(o.paniced)
	}
	return o.err
}

// Enter moves the calling goroutine's thread, which must be locked and never be
// unlocked, into the host's namespace: for what takes long and would keep Do
// from others.
func (h *Host) Enter() error {
	if err := netns.Set(h.ns); err != nil {
		return fmt.Errorf("host %s: entering its namespace: %w", h.Name, err)
	}
	return nil
}

// In is [Host.Do] for functions that return a value.
func In[T any](h *Host, f func() (T, error)) (T, error) {
	var v T
	err := h.Do(func() (err error) {
		v, err = f()
		return err
	})
	return v, err
}

// Dial connects from inside the host's namespace, for scraping what a daemon
// serves there. The address must be numeric.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return In(h, func() (net.Conn, error) { return net.Dial(network, address) })
}

// InterfaceIndex is the index of an interface inside the host.
func (h *Host) InterfaceIndex(name string) (int, error) {
	link, err := h.links.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("host %s: interface %s: %w", h.Name, name, err)
	}
	return link.Attrs().Index, nil
}

// TempDir makes a directory that Close removes.
func (l *Lab) TempDir() (string, error) {
	dir, err := os.MkdirTemp("", "dhcp4o6-lab-")
	if err != nil {
		return "", fmt.Errorf("making a temporary directory: %w", err)
	}
	l.closeLater(closerFunc(func() error { return os.RemoveAll(dir) }))
	return dir, nil
}

type closerFunc func() error

func (f closerFunc) Close() error { return f() }
