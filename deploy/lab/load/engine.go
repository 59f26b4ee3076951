package load

import (
	"bytes"
	"math/rand/v2"
	"time"
)

// DHCPv4 message types that the engine meets.
const (
	offer = 2
	ack   = 5
	nak   = 6
)

// A slot is an exchange in flight, or free.
type slot struct {
	busy    bool
	want    byte // message type
	renewal bool
	client  uint32
	xid     uint32
	address uint32
	began   time.Time
	sent    time.Time
}

// held is a client's lease; address 0 is none.
type held struct{ address, server uint32 }

// A sender takes a message of a client, which is good until the next flush.
type sender func(client uint32, message []byte)

// An engine decides what to send. It does no I/O and reads no clock.
type engine struct {
	config   Config
	discover *template
	request  *template
	renew    *template
	release  *template
	random   *rand.Rand

	start    time.Time
	last     time.Time // start or end of the last exchange
	slots    []slot
	free     []uint32
	sequence uint32 // makes transaction ids of a slot differ
	next     uint32 // client
	leases   []held
	owners   map[uint32]uint32 // address to client

	buffers                  [][]byte // for messages until the next flush
	used                     int
	scratch, query, expected []byte

	started, completed, renewed, lost, late, unsent uint64
	faults                                          map[Fault]uint64
	exchange, first, second                         Histogram
}

func newEngine(c Config) (*engine, error) {
	e := &engine{config: c, random: rand.New(rand.NewPCG(c.Seed, 1)), slots: make([]slot, c.InFlight),
		leases: make([]held, c.Clients), owners: make(map[uint32]uint32), faults: make(map[Fault]uint64),
		buffers: make([][]byte, 2*batch)}
	var err error
	if e.discover, e.request, e.renew, e.release, err = templates(c); err != nil {
		return nil, err
	}
	for i := range e.slots {
		e.free = append(e.free, uint32(len(e.slots)-1-i))
	}
	return e, nil
}

func (e *engine) begin(now time.Time) { e.start, e.last = now, now }

// ended says that no exchange may start any more.
func (e *engine) ended(now time.Time) bool {
	return e.config.Count > 0 && e.started >= uint64(e.config.Count) ||
		e.config.Duration > 0 && now.Sub(e.start) >= e.config.Duration
}

func (e *engine) done() bool { return e.ended(e.last) && len(e.free) == len(e.slots) }

// tick starts what is due and gives up what is late.
func (e *engine) tick(now time.Time, send sender) {
	e.last = now
	e.used = 0
	for i := range e.slots {
		if s := &e.slots[i]; s.busy && now.Sub(s.sent) > e.config.Timeout {
			e.lost++
			e.finish(uint32(i))
		}
	}
	due := uint64(len(e.slots)) + e.started
	if e.config.Rate > 0 {
		due = uint64(now.Sub(e.start).Seconds()*e.config.Rate) + 1
	}
	for e.started < due && len(e.free) > 0 && !e.ended(now) {
		e.begin1(now, send)
	}
}

// begin1 starts an exchange in a free slot.
func (e *engine) begin1(now time.Time, send sender) {
	n := e.free[len(e.free)-1]
	e.free = e.free[:len(e.free)-1]
	e.started++
	e.sequence++
	who := e.next
	e.next = (e.next + uint32(e.config.Stride)) % uint32(e.config.Clients)
	s := &e.slots[n]
	*s = slot{busy: true, want: offer, client: who, xid: e.sequence<<16 | n, began: now, sent: now}
	if l := e.leases[who]; l.address != 0 && e.random.Float64() < e.config.Renew {
		s.want, s.renewal, s.address = ack, true, l.address
		send(s.client, e.message(e.renew, s, 0))
		return
	}
	send(s.client, e.message(e.discover, s, 0))
}

// message fills a template for a slot into a buffer of its own.
func (e *engine) message(t *template, s *slot, server uint32) []byte {
	i := e.used % len(e.buffers)
	e.used++
	e.buffers[i] = t.fill(e.buffers[i], [5]uint32{s.client, e.port(s.client), s.xid, s.address, server})
	return e.buffers[i]
}

func (e *engine) port(client uint32) uint32 { return client % uint32(e.config.Ports) }

func (e *engine) finish(n uint32) {
	e.slots[n].busy = false
	e.free = append(e.free, n)
}

// receive takes one datagram and sends what follows from it.
func (e *engine) receive(b []byte, now time.Time, send sender) {
	e.last = now
	a, why := read(b, e.scratch)
	e.scratch = a.chain
	if why == Malformed {
		e.faults[why]++
		return
	}
	n := a.xid & (slots - 1)
	if int(n) >= len(e.slots) || a.xid>>16 > e.sequence&0xffff && e.sequence <= 0xffff {
		e.faults[Unexpected]++
		return
	}
	s := &e.slots[n]
	if !s.busy || s.xid != a.xid || a.kind == offer && s.want == ack && !s.renewal {
		e.late++ // of an exchange that was given up, or a second copy
		return
	}
	if why == "" {
		why = e.check(s, &a)
	}
	if why != "" {
		e.faults[why]++
		if why == WrongClient || why == WrongChain {
			return // the right answer may still come
		}
		if why != FlagsSet {
			e.leases[s.client] = held{}
			e.finish(n)
			e.again(now, send)
			return
		}
	}
	if s.want == offer {
		e.first.Add(now.Sub(s.sent))
		s.want, s.address, s.sent = ack, a.address, now
		send(s.client, e.message(e.request, s, a.server))
		return
	}
	e.complete(s, &a, now, send)
	e.finish(n)
	e.again(now, send)
}

// complete books the lease of an exchange that ended well.
func (e *engine) complete(s *slot, a *answer, now time.Time, send sender) {
	e.completed++
	e.exchange.Add(now.Sub(s.began))
	if s.renewal {
		e.renewed++
	} else {
		e.second.Add(now.Sub(s.sent))
	}
	if old := e.leases[s.client].address; old != a.address && e.owners[old] == s.client {
		delete(e.owners, old)
	}
	e.owners[a.address] = s.client
	e.leases[s.client] = held{a.address, a.server}
	if e.config.Release {
		send(s.client, e.message(e.release, s, a.server))
		delete(e.owners, a.address)
		e.leases[s.client] = held{}
	}
}

// again keeps a closed loop closed.
func (e *engine) again(now time.Time, send sender) {
	if e.config.Rate == 0 && len(e.free) > 0 && !e.ended(now) {
		e.begin1(now, send)
	}
}

// check holds an answer to what was asked.
func (e *engine) check(s *slot, a *answer) Fault {
	id := identifier(e.config.Seed, s.client)
	if !bytes.Equal(a.chaddr, id[9:]) || !bytes.Equal(a.clientID, id[:]) {
		return WrongClient
	}
	if e.config.Relays > 0 && !bytes.Equal(a.chain, e.mirror(s.client)) {
		return WrongChain
	}
	switch a.kind {
	case s.want:
	case nak:
		return Refused
	default:
		return WrongType
	}
	if a.address == 0 || !e.config.Bare && (a.server == 0 || a.lease == 0) {
		return Incomplete
	}
	if s.want == ack && a.address != s.address {
		return OtherAddress
	}
	if owner, taken := e.owners[a.address]; taken && owner != s.client {
		return TwiceGiven
	}
	return ""
}

// identifier is option 61 of a client (RFC 4361): ff, IAID, DUID-LL of its
// hardware address, which begins at octet 9.
func identifier(seed uint64, n uint32) [15]byte {
	a, b, c, d := byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return [15]byte{0xff, a, b, c, d, 0, 3, 0, 1, 2, byte(seed), a, b, c, d}
}

// mirror is what the relay levels of an answer must hold: those of the query.
func (e *engine) mirror(who uint32) []byte {
	e.query = e.discover.fill(e.query, [5]uint32{who, e.port(who)})
	b := e.query
	chain := e.expected[:0]
	for len(b) >= 34 && b[0] == typeRelayForward {
		chain = append(chain, b[1:34]...)
		var inner []byte
		for o := b[34:]; len(o) > 0; {
			code, value, rest, ok := option6(o)
			if !ok {
				panic("load: the template's relay chain cannot be read")
			}
			switch code {
			case optionInterfaceID:
				chain = append(chain, value...)
			case optionRelayMsg:
				inner = value
			}
			o = rest
		}
		b = inner
	}
	e.expected = chain
	return chain
}
