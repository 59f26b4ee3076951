package udp

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	maxDatagram = 65535
	// Rows are a little further apart than 64 KiB. At a power of two all of them would begin in the
	// same few cache lines.
	rowStride = 1<<16 + 1<<10
	// controlStride holds packet info, a timestamp and a segment length.
	controlStride = 128
	// maxRows is the number of rows with coalescing, where one row may hold many packets.
	maxRows = 64
)

// reader implements Reader. With coalescing a row may hold more packets than a batch. The rows from
// next up to filled are received and not yet returned; offset is how much of row next was returned.
type reader struct {
	conn    *Conn
	size    int // of a row
	stride  int
	rows    []byte
	control []byte
	names   []name
	vectors []unix.Iovec
	msgs    []message
	packets []Packet

	filled, next, offset int

	receive func(fd uintptr) bool // built once: a closure per call would allocate
	errno   unix.Errno
}

// NewReader makes a reader of at most batch packets at a time. A socket has one reader.
func (c *Conn) NewReader(batch int) Reader {
	batch = max(batch, 1)
	n := batch // rows
	if c.gro {
		n = min(n, maxRows)
	}
	size := c.options.MaxDatagram
	stride := size
	if size <= 0 || c.gro {
		size, stride = maxDatagram, rowStride
	}
	r := &reader{
		conn:    c,
		size:    size,
		stride:  stride,
		rows:    make([]byte, n*stride),
		control: make([]byte, n*controlStride),
		names:   make([]name, n),
		vectors: make([]unix.Iovec, n),
		msgs:    make([]message, n),
		packets: make([]Packet, 0, batch),
	}
	for i := range r.msgs {
		r.vectors[i].Base = &r.rows[i*stride]
		r.vectors[i].SetLen(size)
		h := &r.msgs[i].header
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Control = &r.control[i*controlStride]
		h.Iov = &r.vectors[i]
		h.SetIovlen(1)
	}
	r.filled = n // so that the first fill prepares every row
	r.next = n
	r.receive = func(fd uintptr) bool {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.msgs[0])),
			uintptr(len(r.msgs)), 0, 0, 0)
		r.errno = errno
		if errno != 0 {
			return errno != unix.EAGAIN
		}
		r.filled = int(n)
		return true
	}
	return r
}

// Read implements [Reader].
func (r *reader) Read() ([]Packet, error) {
	r.packets = r.packets[:0]
	if r.next >= r.filled {
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
	for r.next < r.filled && len(r.packets) < cap(r.packets) {
		r.split()
	}
	return r.packets, nil
}

// fill waits for at least one row, or for Wake.
func (r *reader) fill() error {
	for {
		r.prepare()
		if err := r.conn.raw.Read(r.receive); err != nil {
			if r.conn.awake(err) {
				r.next, r.offset = 0, 0
				return nil
			}
			if !r.conn.receiveRest(r.receive) {
				return net.ErrClosed
			}
		}
		switch r.errno {
		case 0:
			r.next, r.offset = 0, 0
			return nil
		case unix.EINTR, unix.ECONNREFUSED, unix.ECONNRESET, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EMSGSIZE:
			// The error is about a datagram sent earlier. The call has removed it from the socket.
			r.conn.tellRefusals()
		default:
			return fmt.Errorf("receive: %w", os.NewSyscallError("recvmmsg", r.errno))
		}
	}
}

// prepare resets the fields that the last receive changed.
func (r *reader) prepare() {
	for i := range r.msgs[:r.filled] {
		h := &r.msgs[i].header
		h.Namelen = sizeofName6
		h.SetControllen(controlStride)
		h.Flags = 0
	}
	r.filled = 0
}

// split returns the packets of row next, as many as there is room for.
func (r *reader) split() {
	m := &r.msgs[r.next]
	var p Packet
	p.Peer, p.Interface = r.conn.family.peer(&r.names[r.next])
	segment := r.conn.family.readControl(r.control[r.next*controlStride:][:m.header.Controllen], &p)
	row := r.rows[r.next*r.stride:][:m.length:r.size]
	if m.header.Flags&unix.MSG_TRUNC != 0 {
		p.Truncated, segment = true, 0
	}
	if segment <= 0 || segment >= len(row) {
		p.Data = row
		r.packets = append(r.packets, p)
		r.next++
		return
	}
	for r.offset < len(row) && len(r.packets) < cap(r.packets) {
		end := min(r.offset+segment, len(row))
		p.Data = row[r.offset:end:end]
		r.packets = append(r.packets, p)
		r.offset = end
	}
	if r.offset == len(row) {
		r.next++
		r.offset = 0
	}
}
