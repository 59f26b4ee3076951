package udp

import "encoding/binary"

const (
	// maxSegments is the number that every kernel with UDP_SEGMENT takes; newer ones take more.
	maxSegments = 64
	// maxTrain is the most octets of a train, below the limit of an IP packet.
	maxTrain = 65535 - 40 - 8
)

// train is one message to the kernel: one packet, or several that go the same way and have the same
// length, the last of which may be shorter. The kernel cuts it into packets again (UDP_SEGMENT).
type train struct {
	head          *Packet // the first of them
	first, length int     // where they are in vectors and order, and how many
	octets        int     // of all payloads
	full          bool    // nothing may follow
	info          int     // octets of control in front of the segment length
}

// take adds a packet of so many octets and reports whether the train had room for it.
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

// sameWay reports whether two packets go to the same destination, from the same source and by the
// same interface.
func sameWay(p, q *Packet) bool {
	return p.Peer == q.Peer && p.Local == q.Local && p.Interface == q.Interface
}

// none is the train of a packet that has none.
const none = -1

// ways remembers the last train of each way, in a hash table without chains. When two ways have the
// same slot, the older one is forgotten: its train ends early, which does no harm.
type ways []int32 // number of the train + 1, by a hash of the way

// newWays makes a table for so many trains.
func newWays(trains int) ways {
	size := 2
	for size < 2*trains {
		size *= 2
	}
	return make(ways, size)
}

func (w ways) reset() { clear(w) }

func (w ways) get(p *Packet) int { return int(w[w.slot(p)]) - 1 }

func (w ways) put(p *Packet, train int) { w[w.slot(p)] = int32(train + 1) }

// slot hashes the fields that [sameWay] compares.
func (w ways) slot(p *Packet) uint64 {
	const odd = 0x9e3779b97f4a7c15
	to, from := p.Peer.Addr().As16(), p.Local.As16()
	h := binary.LittleEndian.Uint64(to[:8])
	h = h*odd ^ binary.LittleEndian.Uint64(to[8:])
	h = h*odd ^ binary.LittleEndian.Uint64(from[8:])
	h = (h ^ h>>32 ^ uint64(p.Peer.Port()) ^ uint64(p.Interface)<<16) * odd
	return h >> 40 & uint64(len(w)-1)
}
