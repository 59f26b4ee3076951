package load

import (
	"bytes"
	"math/bits"
	"net/netip"
	"time"
)

// receive takes one datagram and queues the message that follows from it. The address is the one of
// ours that the datagram came to, if it is known.
func (e *engine) receive(b []byte, local netip.Addr, now time.Duration) {
	e.now = now
	a, why := read(b, e.scratch)
	e.scratch = a.chain
	if why == malformed {
		e.faults[why]++
		return
	}
	n := a.xid & (slots - 1)
	if int(n) >= e.config.InFlight || (a.xid>>16 > e.sequence && e.sequence < slots) {
		e.faults[unexpected]++
		return
	}
	s := &e.slots[n]
	if !s.busy || s.xid != a.xid || (a.kind == offer && s.kind == request) {
		e.late++ // its exchange was given up, or it is a second copy
		return
	}
	if why != none { // flagsSet: the rest of the answer still counts
		e.faults[why]++
	}
	why = e.check(s, &a, local)
	if why == refused && s.kind == request && e.config.Shared {
		e.refused++
		e.forget(s.client)
		e.over(n)
		return
	}
	if why != none {
		e.faults[why]++
	}
	switch why {
	case none, misdelivered:
		e.follow(n, &a)
	case wrongClient, wrongChain: // the right answer may still come
	default:
		e.forget(s.client)
		e.over(n)
	}
}

// follow continues the exchange after a correct answer.
func (e *engine) follow(n uint32, a *answer) {
	s := &e.slots[n]
	switch s.kind {
	case discover:
		e.first.Add(e.now - s.sent)
		s.want, s.address = ack, a.address
		e.send(request, n, a.server)
		return
	case request:
		e.second.Add(e.now - s.sent)
		e.take(s.client, a)
	case renew:
		e.renewed++
		e.take(s.client, a)
	case inform:
		e.informed++
	}
	e.completed++
	e.exchange.Add(e.now - s.began)
	if s.kind != inform {
		e.giveBack(s, a.server)
	}
	e.over(n)
}

// take notes that a client has a lease.
func (e *engine) take(who uint32, a *answer) {
	c := &e.clients[who]
	if c.address != a.address {
		e.forget(who)
	}
	e.owners.set(a.address, who+1)
	c.address, c.server = a.address, a.server
	c.until = e.now + time.Duration(a.lease)*time.Second
}

// forget notes that a client has no lease any more.
func (e *engine) forget(who uint32) {
	c := &e.clients[who]
	if c.address != 0 && e.owners.of(c.address) == who+1 {
		e.owners.set(c.address, nobody)
	}
	c.address, c.server = 0, 0
}

// giveBack releases or declines leases, as many as the shares say.
func (e *engine) giveBack(s *slot, server uint32) {
	if e.config.Release+e.config.Decline == 0 {
		return
	}
	switch x := e.random.Float64(); {
	case x < e.config.Release:
		e.released++
		e.write(release, s, server)
		e.forget(s.client)
	case x < e.config.Release+e.config.Decline && s.kind == request:
		e.declined++
		e.write(decline, s, server)
		e.forget(s.client)
		e.owners.set(s.address, quarantine)
	}
}

// over ends an exchange, and with a closed loop starts the next one.
func (e *engine) over(n uint32) {
	e.finish(n)
	if e.config.Rate == 0 && !e.ended() {
		e.start()
	}
}

// check compares an answer with what was asked.
func (e *engine) check(s *slot, a *answer, local netip.Addr) fault {
	id := identifier(e.config.Seed, s.client)
	if !bytes.Equal(a.chaddr, id[9:]) || !bytes.Equal(a.clientID, id[:]) {
		return wrongClient
	}
	if e.config.Relays > 0 {
		e.chain.fill(e.expected, e.values(s.client, 0, 0, 0))
		if !bytes.Equal(a.chain, e.expected) {
			return wrongChain
		}
	} else if len(a.chain) > 0 {
		return wrongChain
	}
	switch a.kind {
	case s.want:
	case nak:
		return refused
	default:
		return wrongType
	}
	if why := e.content(s, a); why != none {
		return why
	}
	if e.config.sources != nil && local != e.config.source(s.client) {
		return misdelivered
	}
	return none
}

// content checks the address and the options.
func (e *engine) content(s *slot, a *answer) fault {
	for i, want := range e.config.required {
		if bits.OnesCount64(a.options[i]&want) != bits.OnesCount64(want) {
			return incomplete
		}
	}
	if !e.config.Bare && a.server == 0 {
		return incomplete
	}
	if s.kind == inform { // RFC 2131 §4.3.5
		if a.address != 0 || a.lease != 0 {
			return notForInform
		}
		return none
	}
	if a.address == 0 || (!e.config.Bare && a.lease == 0) {
		return incomplete
	}
	if s.want == ack && a.address != s.address {
		return otherAddress
	}
	if e.config.Expect.IsValid() && !e.config.Expect.Contains(ipv4(a.address)) {
		return wrongSubnet
	}
	switch owner := e.owners.of(a.address); {
	case owner == quarantine:
		return declinedGiven
	case s.want == offer && e.config.Shared:
	case owner != nobody && owner != s.client+1 && e.now < e.clients[owner-1].until:
		return twiceGiven
	}
	return none
}

func ipv4(a uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)})
}
