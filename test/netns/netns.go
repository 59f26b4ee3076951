// Package netns makes throw-away networks. A host is a network namespace. Hosts are joined by veth
// links, bridges and links with faults. Processes run on hosts, and every link can be recorded to
// pcap.
//
// [Lab.Close] removes all namespaces, interfaces, child processes and captures. The package knows
// nothing of DHCP, calls no external tool, and never touches the namespace that the program was
// started in.
//
// A namespace has no name and no mount. It exists as long as one locked thread is in it. Processes
// of a host get a parent-death signal bound to that thread. So when this program ends in any way,
// SIGKILL too, the kernel removes everything but temporary files. Close removes those; [Main] calls
// it on SIGINT and SIGTERM too.
//
// Addresses skip duplicate address detection and interfaces get no address by themselves, so a link
// is usable when the call returns. Checksum and segmentation offload are off unless an interface
// asks for them ([End.Offload]), so a capture shows what would be on a cable, checksums included.
package netns

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

// A Lab is a set of hosts and links. Any goroutine may call its methods.
type Lab struct {
	mu      sync.Mutex
	hosts   []*Host
	closers []io.Closer
	nextMAC uint32

	closing  sync.Once
	closeErr error
}

// New returns an empty lab. It fails if [Available] does.
func New() (*Lab, error) {
	if err := Available(); err != nil {
		return nil, err
	}
	l := &Lab{}
	register(l)
	return l, nil
}

// Close ends every process, capture and fault link, and gives up the namespaces. It may be called
// several times, also concurrently: each call returns when everything is gone.
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

// closeLater makes Close close c too. What was added last is closed first.
func (l *Lab) closeLater(c io.Closer) {
	l.mu.Lock()
	l.closers = append(l.closers, c)
	l.mu.Unlock()
}

// A Host is one network namespace with its loopback interface up.
type Host struct {
	// Name is only for messages. Two hosts may share one.
	Name string

	lab   *Lab
	ns    netns.NsHandle
	links *netlink.Handle
	calls chan func()
	leave chan struct{} // closed to end the thread
	ended chan struct{} // closed when the thread has ended
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

// live is the host: a thread that enters a new namespace and stays there. It is never unlocked, so
// the runtime ends the thread with the goroutine.
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

// Do runs f inside the host's namespace and returns its error. Sockets that f opens stay in the
// namespace, and may be used anywhere afterwards. f must not start goroutines that need the
// namespace, and must not call Do.
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

// Enter moves the calling goroutine's thread into the host's namespace. The thread must be locked
// and must never be unlocked. It is for work that takes long and would block other calls of Do.
func (h *Host) Enter() error {
	if err := netns.Set(h.ns); err != nil {
		return fmt.Errorf("host %s: entering its namespace: %w", h.Name, err)
	}
	return nil
}

// In is [Host.Do] for a function that returns a value.
func In[T any](h *Host, f func() (T, error)) (T, error) {
	var v T
	err := h.Do(func() (err error) {
		v, err = f()
		return err
	})
	return v, err
}

// Dial connects from inside the host's namespace, for scraping the metrics of a daemon there. The
// address must be numeric.
func (h *Host) Dial(network, address string) (net.Conn, error) {
	return In(h, func() (net.Conn, error) { return net.Dial(network, address) })
}

// InterfaceIndex returns the index of an interface inside the host.
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
