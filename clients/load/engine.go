package load

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// DHCPv4 message types that the engine uses.
const (
	offer = 2
	ack   = 5
	nak   = 6
)

// A slot holds an exchange in flight, or is free. Slots with an exchange form a list in the order
// of their last message, so the overdue ones come first.
type slot struct {
	busy           bool
	want           byte // the message type that it waits for
	kind           kind // of the last message
	client         uint32
	xid            uint32
	address        uint32
	began          time.Duration // since the start of the run, like all times here
	sent           time.Duration
	earlier, later uint32
}

// An engine decides what to send and checks what arrives. It does no I/O, reads no clock, and does
// not allocate while it runs.
type engine struct {
	config    Config
	templates [kinds]template
	chain     template // what the relay levels of an answer must hold
	random    *rand.Rand

	now      time.Duration // the time of the last call
	slots    []slot        // the last one is the end of the list
	free     []uint32
	sequence uint32 // makes transaction ids of a slot differ
	next     uint32 // the next client
	clients  []held
	owners   owners

	// out holds messages until flush is called. The buffers keep the octets that all messages of a
	// kind have in common.
	out   [kinds]queue
	flush func()

	scratch, expected []byte
	counts
}

// counts are the figures that the report is made of.
type counts struct {
	started, completed, renewed, informed, released, declined uint64
	lost, late, unsent, refused                               uint64
	lastStart                                                 time.Duration
	completedByThen                                           uint64
	faults                                                    [len(faults)]uint64
	exchange, first, second                                   Histogram
}

// A queue holds the messages of one kind that wait to be sent.
type queue struct {
	packets []udp.Packet
	n       int
}

func newEngine(c Config) (*engine, error) {
	e := &engine{config: c, random: rand.New(rand.NewPCG(c.Seed, 1)), slots: make([]slot, c.InFlight+1),
		clients: make([]held, c.Clients), owners: make(owners)}
	var err error
	if e.templates, err = templates(c); err != nil {
		return nil, err
	}
	if e.chain, err = chainOf(e.templates[discover].octets); err != nil {
		return nil, err
	}
	e.expected = bytes.Clone(e.chain.octets)
	for k := range e.out {
		e.out[k].packets = make([]udp.Packet, batch)
		for i := range e.out[k].packets {
			e.out[k].packets[i].Data = bytes.Clone(e.templates[k].octets)
		}
	}
	for i := range e.slots {
		e.slots[i].earlier, e.slots[i].later = uint32(i), uint32(i)
	}
	if c.Held.IsValid() {
		first := c.Held.As4()
		for i := range e.clients {
			e.hold(uint32(i), binary.BigEndian.Uint32(first[:])+uint32(i))
		}
	}
	for i := range c.InFlight {
		e.free = append(e.free, uint32(c.InFlight-1-i))
	}
	return e, nil
}

// ended reports whether no further exchange may start.
func (e *engine) ended() bool {
	return (e.config.Count > 0 && e.started >= uint64(e.config.Count)) ||
		(e.config.Duration > 0 && e.now >= e.config.Duration)
}

func (e *engine) done() bool { return e.ended() && len(e.free) == e.config.InFlight }

// tick ends exchanges whose answer is overdue, and starts those that are due.
func (e *engine) tick(now time.Duration) {
	e.now = now
	end := uint32(e.config.InFlight)
	for n := e.slots[end].later; n != end && now-e.slots[n].sent > e.config.Timeout; n = e.slots[end].later {
		e.lost++
		e.finish(n)
	}
	due := e.started + uint64(len(e.free))
	if e.config.Rate > 0 {
		due = min(due, uint64(now.Seconds()*e.config.Rate)+1)
	}
	for e.started < due && !e.ended() {
		if !e.start() {
			return
		}
	}
}

// start begins an exchange in a free slot. It returns false if no client is idle.
func (e *engine) start() bool {
	who, ok := e.idle()
	if !ok {
		return false
	}
	n := e.free[len(e.free)-1]
	e.free = e.free[:len(e.free)-1]
	e.started++
	e.lastStart, e.completedByThen = e.now, e.completed
	e.sequence++
	c := &e.clients[who]
	c.busy = true
	s := &e.slots[n]
	*s = slot{busy: true, client: who, xid: e.sequence<<16 | n, address: c.address, began: e.now, earlier: n, later: n}
	server := c.server
	switch k := e.choose(c); k {
	case renew, inform:
		s.want = ack
		e.send(k, n, server)
	default:
		s.want, s.address = offer, 0
		e.send(discover, n, 0)
	}
	return true
}

// hold gives a client a lease that lasts longer than the run.
func (e *engine) hold(who, address uint32) {
	e.clients[who] = held{address: address, until: math.MaxInt64}
	e.owners.set(address, who+1)
}

// idle returns the next client that is in no exchange.
func (e *engine) idle() (uint32, bool) {
	for range batch {
		who := e.next
		if e.config.Shuffle {
			who = e.random.Uint32N(uint32(e.config.Clients))
		}
		e.next = uint32((uint64(who) + uint64(e.config.Stride)) % uint64(e.config.Clients))
		if !e.clients[who].busy {
			return who, true
		}
	}
	return 0, false
}

// choose returns the first message of a client's exchange.
func (e *engine) choose(c *held) kind {
	renewals := e.config.Renew + e.config.Inform
	if renewals == 0 || c.address == 0 || e.now >= c.until {
		return discover
	}
	switch x := e.random.Float64(); {
	case x < e.config.Renew:
		return renew
	case x < renewals:
		return inform
	}
	return discover
}

// send writes a message of a slot. From now on the slot waits for the answer.
func (e *engine) send(k kind, n, server uint32) {
	s := &e.slots[n]
	s.kind, s.sent = k, e.now
	e.unlink(n)
	end := uint32(e.config.InFlight)
	last := e.slots[end].earlier
	s.earlier, s.later = last, end
	e.slots[last].later, e.slots[end].earlier = n, n
	e.write(k, s, server)
}

// write puts a message into its queue.
func (e *engine) write(k kind, s *slot, server uint32) {
	q := &e.out[k]
	if q.n == len(q.packets) {
		e.flush()
	}
	p := &q.packets[q.n]
	q.n++
	e.templates[k].fill(p.Data, e.values(s.client, s.xid, s.address, server))
	if e.config.sources != nil {
		p.Local = e.config.source(s.client)
	}
}

func (e *engine) values(client, xid, address, server uint32) values {
	return values{client, client % uint32(e.config.Ports), e.config.link(client), xid, address, server}
}

// unlink takes a slot out of the list. A slot that is in no list is linked to itself.
func (e *engine) unlink(n uint32) {
	s := &e.slots[n]
	e.slots[s.earlier].later, e.slots[s.later].earlier = s.later, s.earlier
	s.earlier, s.later = n, n
}

func (e *engine) finish(n uint32) {
	s := &e.slots[n]
	e.unlink(n)
	s.busy = false
	e.clients[s.client].busy = false
	e.free = append(e.free, n)
}
