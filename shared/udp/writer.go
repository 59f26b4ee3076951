package udp

import (
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// writer implements Writer. Message i sends trains[i]. The payloads of a train lie side by side in
// vectors; order says which packets they belong to.
type writer struct {
	conn    *Conn
	vectors []unix.Iovec
	order   []int // which packet of the batch vectors[i] is of
	names   []name
	control []byte
	msgs    []message
	trains  []train
	ways    ways
	member  []int // the train of each packet of the batch, or none
	// single is the segment length from which on packets are sent one by one. It starts above the
	// length of any datagram, falls when the kernel refuses a train of shorter segments, and is 0
	// if the kernel refuses every train.
	single int

	next, end int // the messages that send shall try
	sent      int
	errno     unix.Errno
	send      func(fd uintptr) bool // built once: a closure per call would allocate
}

// NewWriter makes a writer that hands at most batch packets to the kernel at a time. A socket may
// have several writers, each with one owner.
func (c *Conn) NewWriter(batch int) Writer {
	batch = max(batch, 1)
	w := &writer{
		conn:    c,
		vectors: make([]unix.Iovec, batch),
		order:   make([]int, batch),
		names:   make([]name, batch),
		control: make([]byte, batch*controlStride),
		msgs:    make([]message, batch),
		trains:  make([]train, 0, batch),
		member:  make([]int, batch),
		ways:    newWays(batch),
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
			w.fail(ps, w.errno)
			w.next++
		}
	}
	return sent
}

// transmit offers the messages from next to end to the kernel. The kernel takes at least the first,
// or errno says why not. transmit reports false when the socket is closed.
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

// layOut describes the packets to the kernel. Packets that go the same way become one train even if
// others are between them, because several relays ask at the same time. They keep their order. A
// packet with a destination of another address family gets its error here and no message.
func (w *writer) layOut(ps []Packet) {
	w.trains = w.trains[:0]
	w.ways.reset()
	for i := range ps {
		w.member[i] = w.join(&ps[i])
	}
	at := 0
	for i := range w.trains {
		t := &w.trains[i]
		t.first = at
		at += t.length
		w.describe(i)
		t.length = 0
	}
	for i := range ps {
		if w.member[i] == none {
			continue
		}
		t := &w.trains[w.member[i]]
		at := t.first + t.length
		t.length++
		w.order[at] = i
		w.vectors[at].Base = unsafe.SliceData(ps[i].Data)
		w.vectors[at].SetLen(len(ps[i].Data))
	}
}

// join puts the packet into a train, if need be a new one.
func (w *writer) join(p *Packet) int {
	if !w.conn.family.sendable(p) {
		p.Err = unix.EAFNOSUPPORT
		return none
	}
	p.Err = nil
	length := len(p.Data)
	alone := length == 0 || length >= w.single
	if !alone {
		if i := w.latest(p); i != none && w.trains[i].take(length) {
			return i
		}
	}
	w.trains = append(w.trains, train{head: p, length: 1, octets: length, full: alone})
	w.ways.put(p, len(w.trains)-1)
	return len(w.trains) - 1
}

// latest returns the last train that goes the packet's way.
func (w *writer) latest(p *Packet) int {
	if i := len(w.trains) - 1; i >= 0 && sameWay(w.trains[i].head, p) {
		return i // nearly always, so it is looked at first
	}
	if i := w.ways.get(p); i != none && sameWay(w.trains[i].head, p) {
		return i
	}
	return none
}

// describe fills message i with its train.
func (w *writer) describe(i int) {
	t, h := &w.trains[i], &w.msgs[i].header
	size := w.conn.family.putName(&w.names[i], t.head.Peer)
	control := w.control[i*controlStride:][:0:controlStride]
	if t.head.Interface != 0 || t.head.Local.IsValid() {
		control = w.conn.family.appendPacketInfo(control, t.head.Local, t.head.Interface)
	}
	t.info = len(control)
	if t.length > 1 {
		control = appendSegment(control, uint16(len(t.head.Data)))
	}
	h.Name, h.Namelen = (*byte)(unsafe.Pointer(&w.names[i])), size
	h.Iov = &w.vectors[t.first]
	h.SetIovlen(t.length)
	h.Control = unsafe.SliceData(control)
	h.SetControllen(len(control))
}

// aboutTrain reports whether an error may come from sending packets as a train: a device without
// checksum offload (EIO), segments longer than the path's MTU, which cannot be fragmented
// (EMSGSIZE, EINVAL before Linux 6.14), or a kernel or security module that does not know
// UDP_SEGMENT.
func aboutTrain(errno unix.Errno) bool {
	switch errno {
	case unix.EIO, unix.EMSGSIZE, unix.EINVAL, unix.ENOPROTOOPT, unix.EOPNOTSUPP:
		return true
	}
	return false
}

// singly sends the packets of the next train one by one after the kernel refused the train. If one
// of them goes through, the train was the problem and not its destination, and single is lowered.
func (w *writer) singly(ps []Packet) (sent int) {
	t, why := w.trains[w.next], w.errno
	h := &w.msgs[w.next].header
	h.SetControllen(t.info)
	h.SetIovlen(1)
	w.end = w.next + 1
	for at := t.first; at < t.first+t.length; at++ {
		p := &ps[w.order[at]]
		h.Iov = &w.vectors[at]
		switch {
		case !w.transmit():
			p.Err = net.ErrClosed
		case w.errno != 0:
			p.Err = w.errno
		default:
			sent++
		}
	}
	switch {
	case sent == 0:
	case why == unix.EMSGSIZE || why == unix.EINVAL:
		w.single = min(w.single, len(t.head.Data))
	default:
		w.single = 0
	}
	return sent
}

// closed sets the error of the packets that were not offered.
func (w *writer) closed(ps []Packet) {
	for ; w.next < len(w.trains); w.next++ {
		w.fail(ps, net.ErrClosed)
	}
}

// fail sets the error of the packets of the next message.
func (w *writer) fail(ps []Packet, err error) {
	t := w.trains[w.next]
	for _, i := range w.order[t.first:][:t.length] {
		ps[i].Err = err
	}
}
