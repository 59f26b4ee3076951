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

// train is a run of packets that go as one message: one packet, or several
// that the kernel cuts apart again (UDP_SEGMENT).
type train struct {
	first, length int
	info          int // octets of control in front of the segment length
}

// writer implements Writer. Message i sends trains[i]; packet j of the batch
// has its payload in vectors[j], so a train's payloads lie side by side.
type writer struct {
	conn    *Conn
	vectors []unix.Iovec
	names   []name
	control []byte
	msgs    []message
	trains  []train
	// single is the segment length from which on packets go singly. It
	// starts above what a datagram can hold, falls when the kernel refuses a
	// train of shorter segments, and is 0 where it refuses every train.
	single int

	next, end int // the messages that send shall try
	sent      int
	errno     unix.Errno
	send      func(fd uintptr) bool // built once: a closure per call would allocate
}

// NewWriter makes a writer that hands at most batch packets to the kernel at a
// time. A socket may have several writers, each with one owner.
func (c *Conn) NewWriter(batch int) Writer {
	batch = max(batch, 1)
	w := &writer{
		conn:    c,
		vectors: make([]unix.Iovec, batch),
		names:   make([]name, batch),
		control: make([]byte, batch*controlStride),
		msgs:    make([]message, batch),
		trains:  make([]train, 0, batch),
	}
	if c.gso {
		w.single = maxDatagram + 1
	}
	w.send = func(fd uintptr) bool {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, fd,
			uintptr(unsafe.Pointer(&w.msgs[w.next])), uintptr(w.end-w.next), 0, 0, 0)
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
	w.layOut(ps)
	again := 0
	for w.next = 0; w.next < len(w.trains); {
		w.end = len(w.trains)
		if !w.transmit() {
			w.closed(ps)
			return sent
		}
		switch {
		case w.errno == 0:
			for _, t := range w.trains[w.next:][:w.sent] {
				sent += t.length
			}
			w.next += w.sent
			if w.next < w.end {
				w.conn.tellRefusals()
			}
		case w.trains[w.next].length > 1 && aboutTrain(w.errno):
			sent += w.singly(ps)
			w.next++
		case w.conn.aboutEarlier(w.errno) && again < repeats:
			again++
		default:
			fail(w.packets(ps), w.errno)
			w.next++
		}
	}
	return sent
}

// transmit offers the messages from next to end to the kernel, which takes at
// least the first or says why not in errno; false when the socket is closed.
func (w *writer) transmit() bool {
	for {
		if err := w.conn.raw.Write(w.send); err != nil {
			return false
		}
		if w.errno != unix.EINTR {
			return true
		}
	}
}

// layOut describes the packets to the kernel, coalescing neighbours where that
// changes nothing for the receiver. Packets that this socket cannot name a
// destination for get their error here and no message.
func (w *writer) layOut(ps []Packet) {
	w.trains = w.trains[:0]
	for i := 0; i < len(ps); {
		t := train{first: i, length: w.couple(ps[i:])}
		for j := i; j < i+t.length; j++ {
			ps[j].Err = nil
			w.vectors[j].Base = unsafe.SliceData(ps[j].Data)
			w.vectors[j].SetLen(len(ps[j].Data))
		}
		if !w.describe(&t, &ps[i]) {
			fail(ps[i:i+t.length], unix.EAFNOSUPPORT)
		}
		i += t.length
	}
}

// describe fills the next message with a train; false when an address is of
// the wrong family.
func (w *writer) describe(t *train, p *Packet) bool {
	i := len(w.trains)
	h := &w.msgs[i].header
	size, ok := putName(&w.names[i], w.conn.v4, p.Peer)
	if !ok {
		return false
	}
	control := w.control[i*controlStride:][:0:controlStride]
	if p.Interface != 0 || p.Local.IsValid() {
		if control, ok = appendPacketInfo(control, w.conn.v4, p.Local, p.Interface); !ok {
			return false
		}
	}
	t.info = len(control)
	if t.length > 1 {
		control = appendSegment(control, uint16(len(p.Data)))
	}
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&w.names[i])), size
	h.Iov = &w.vectors[t.first]
	h.SetIovlen(t.length)
	h.Control = unsafe.SliceData(control)
	h.SetControllen(len(control))
	w.trains = append(w.trains, *t)
	return true
}

// couple returns how many packets from the first on can go as one train: of
// one destination, source, interface and length, the last one may be shorter.
func (w *writer) couple(ps []Packet) int {
	p := &ps[0]
	segment := len(p.Data)
	if segment == 0 || segment >= w.single {
		return 1
	}
	n, total := 1, segment
	for n < len(ps) && n < maxSegments {
		q := &ps[n]
		length := len(q.Data)
		if length == 0 || length > segment || total+length > maxTrain ||
			q.Peer != p.Peer || q.Local != p.Local || q.Interface != p.Interface {
			break
		}
		n++
		total += length
		if length < segment {
			break
		}
	}
	return n
}

// aboutTrain tells whether an error may come from sending as a train: a device
// without checksum offload (EIO), segments longer than the path's MTU, which
// cannot be fragmented (EMSGSIZE, EINVAL before Linux 6.14), a kernel or
// security module that knows no UDP_SEGMENT.
func aboutTrain(errno unix.Errno) bool {
	switch errno {
	case unix.EIO, unix.EMSGSIZE, unix.EINVAL, unix.ENOPROTOOPT, unix.EOPNOTSUPP:
		return true
	}
	return false
}

// singly sends the packets of the next train one by one after the kernel
// refused them as a whole, and learns from it: when one of them goes through,
// the train was at fault and not its destination.
func (w *writer) singly(ps []Packet) (sent int) {
	t, why := w.trains[w.next], w.errno
	h := &w.msgs[w.next].header
	h.SetControllen(t.info)
	h.SetIovlen(1)
	w.end = w.next + 1
	for j := t.first; j < t.first+t.length; j++ {
		h.Iov = &w.vectors[j]
		switch {
		case !w.transmit():
			ps[j].Err = net.ErrClosed
		case w.errno != 0:
			ps[j].Err = w.errno
		default:
			sent++
		}
	}
	switch {
	case sent == 0:
	case why == unix.EMSGSIZE || why == unix.EINVAL:
		w.single = min(w.single, len(ps[t.first].Data))
	default:
		w.single = 0
	}
	return sent
}

// packets are those of the next message.
func (w *writer) packets(ps []Packet) []Packet {
	t := w.trains[w.next]
	return ps[t.first:][:t.length]
}

// closed marks what was not tried.
func (w *writer) closed(ps []Packet) {
	for ; w.next < len(w.trains); w.next++ {
		fail(w.packets(ps), net.ErrClosed)
	}
}

func fail(ps []Packet, err error) {
	for i := range ps {
		ps[i].Err = err
	}
}
