package udp

import "encoding/binary"

const (
	// maxSegments is what every kernel with UDP_SEGMENT takes (newer ones
	// take more).
	maxSegments = 64
	// maxTrain keeps a coalesced payload below what an IP packet can hold.
	maxTrain = 65535 - 40 - 8
)

// train is the packets that go as one message: one, or several of one way that
// the kernel cuts apart again (UDP_SEGMENT) and that are of one length, but for
// the last, which may be shorter.
type train struct {
	head          *Packet // the first of them
	first, length int     // where they are in vectors and order, and how many
	octets        int     // of all payloads
	full          bool    // nothing may follow
	info          int     // octets of control in front of the segment length
}

// take adds a packet of so many octets, if the train has room for it.
func (t *train) take(octets int) bool {
	segment := len(t.head.Data)
	if t.full || octets > segment || t.length == maxSegments || t.octets+octets > maxTrain {
		return false
	}
	t.length++
	t.octets += octets
	t.full = octets < segment
	return true
}

// sameWay tells whether two packets go the same way: to one destination, from
// one source, by one interface.
func sameWay(p, q *Packet) bool {
	return p.Peer == q.Peer && p.Local == q.Local && p.Interface == q.Interface
}

// none is the train of a packet that has none.
const none = -1

// ways remembers which train was the last of each way. It forgets when two
// ways fall on one place: then a train ends early, and nothing else is lost.
type ways []int32 // number of the train and one, by a hash of the way

// newWays is for so many trains.
func newWays(trains int) ways {
	size := 2
	for size < 2*trains {
		size *= 2
	}
	return make(ways, size)
}

func (w ways) reset() { clear(w) }

func (w ways) get(p *Packet) int { return int(w[w.place(p)]) - 1 }

func (w ways) put(p *Packet, train int) { w[w.place(p)] = int32(train + 1) }

// place mixes what [sameWay] compares.
func (w ways) place(p *Packet) uint64 {
	const odd = 0x9e3779b97f4a7c15
	to, from := p.Peer.Addr().As16(), p.Local.As16()
	h := binary.LittleEndian.Uint64(to[:8])
	h = h*odd ^ binary.LittleEndian.Uint64(to[8:])
	h = h*odd ^ binary.LittleEndian.Uint64(from[8:])
	h = (h ^ h>>32 ^ uint64(p.Peer.Port()) ^ uint64(p.Interface)<<16) * odd
	return h >> 40 & uint64(len(w)-1)
}
