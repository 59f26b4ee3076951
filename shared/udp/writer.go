package udp

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSegments is what every kernel with UDP_SEGMENT takes (newer ones
	// take more).
	maxSegments = 64
	// maxTrain keeps a coalesced payload below what an IP packet can hold.
	maxTrain = 65535 - 40 - 8
)

// writer implements Writer. A message is one packet or a train of packets that
// the kernel cuts apart again; message i holds the packets first[i] up to
// first[i+1], whose payloads are vectors of the same numbers.
type writer struct {
	conn    *Conn
	vectors []unix.Iovec
	names   []name
	control []byte
	msgs    []message
	first   []int
	// trains is the segment length from which on packets go singly: one more
	// than a datagram can hold at first, lower once the kernel refused a
	// train of shorter ones, 0 when it refuses them all.
	trains int

	next, sent int
	send       func(fd uintptr) bool // built once: a closure per call would allocate
	errno      unix.Errno
}

// NewWriter makes a writer that hands at most batch packets to the kernel at a
// time. A socket may have several writers, each with one owner.
func (c *Conn) NewWriter(batch int) Writer {
	w := &writer{
		conn:    c,
		vectors: make([]unix.Iovec, batch),
		names:   make([]name, batch),
		control: make([]byte, batch*controlStride),
		msgs:    make([]message, 0, batch),
		first:   make([]int, 0, batch+1),
	}
	if c.gso {
		w.trains = maxDatagram + 1
	}
	w.send = func(fd uintptr) bool {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&w.msgs[w.next])), uintptr(len(w.msgs)-w.next), 0, 0, 0)
		w.sent, w.errno = int(n), errno
		return errno != unix.EAGAIN
	}
	return w
}

// Write implements [Writer].
func (w *writer) Write(ps []Packet) (sent int) {
	for len(ps) > 0 {
		n := min(len(ps), len(w.vectors))
		sent += w.write(ps[:n])
		ps = ps[n:]
	}
	return sent
}

// write sends at most a batch.
func (w *writer) write(ps []Packet) (sent int) {
	_ = net.ErrClosed
	return 0
}
