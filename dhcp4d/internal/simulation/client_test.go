package simulation

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// A place is the attachment point of a client.
type place struct {
	link int // 1 and 9 are links behind relays, 2 is a link of dhcp6d
	port int
}

func (p place) String() string {
	if p.link == 2 {
		return "directly"
	}
	return fmt.Sprintf("link %d port %d", p.link, p.port)
}

// state is a state of a client (RFC 2131 figure 5).
type state int

const (
	idle state = iota // pauses before it begins again
	selecting
	requesting
	rebooting
	bound
	renewing // or rebinding: it sends the same message
	away     // switched off, or out of touch
)

// A promise is the lease that a client believes to have. Its end is in true time, and counts from
// the first sending of the request (RFC 2131 section 4.4.1).
type promise struct {
	addr         netip.Addr
	since, until time.Duration
	place        place
	unsure       bool // a repair of the store may have lost its record; nobody else may have the address
	void         bool // the operator has released the address or destroyed the store
}

func (p *promise) holds(now time.Duration) bool { return p.addr.IsValid() && now < p.until }

// A client asks for one address and keeps it.
type client struct {
	w    *stage
	n    int
	id   []byte
	key  []byte
	hw   [16]byte
	rng  *rand.Rand
	at   place
	mute bool // it only keeps its lease, as at the end of a run

	state   state
	changes int // of the state; a timer of an earlier state does nothing
	xid     dhcp4.Xid
	first   time.Duration // when the request with this xid was first sent
	tries   int
	offered netip.Addr
	server  netip.Addr
	held    promise
	last    netip.Addr    // of the last lease that has expired
	t1, t2  time.Duration // true time
	sent    int           // datagrams so far
	naks    int
	heard   time.Duration // when it last got an answer to its request
}

func newClient(w *stage, n int, at place) *client {
	c := &client{w: w, n: n, at: at, id: []byte{0xff, 0, byte(n)}, rng: rand.New(rand.NewPCG(w.plan.Seed, 1000+uint64(n)))}
	c.hw = [16]byte{2, 0, 0, 0, 0, byte(n)}
	c.key = lease.AppendKey(nil, c.id, 1, c.hw[:6])
	return c
}

func (c *client) String() string { return fmt.Sprintf("client %d", c.n) }

// after runs fn after d, unless the client has changed its state by then.
func (c *client) after(d time.Duration, fn func()) {
	changes := c.changes
	c.w.at(c.w.now()+d+time.Duration(c.rng.IntN(1000)), func() {
		if c.changes == changes {
			fn()
		}
	})
}

// become changes the state.
func (c *client) become(s state) { c.state, c.changes, c.tries = s, c.changes+1, 0 }

// between returns a random time from a to b.
func (c *client) between(a, b time.Duration) time.Duration {
	return a + time.Duration(c.rng.Int64N(int64(b-a)+1))
}

// backOff returns how long to wait for an answer (RFC 2131 section 4.1).
func (c *client) backOff() time.Duration {
	d := 4 * time.Second << min(c.tries, 4)
	c.tries++
	return d + c.between(-time.Second, time.Second)
}

// begin starts without a lease: with a DISCOVER, or by asking for the address of an expired lease.
func (c *client) begin() {
	if c.last.IsValid() && c.rng.IntN(2) == 0 {
		c.become(rebooting)
		c.xid = dhcp4.Xid(c.rng.Uint32())
		c.first = c.w.now()
		c.recall()
		return
	}
	c.become(selecting)
	c.xid = dhcp4.Xid(c.rng.Uint32())
	c.discover()
}

func (c *client) discover() {
	var options []byte
	if c.held.addr.IsValid() && c.rng.IntN(2) == 0 {
		options = dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, c.held.addr)
	}
	c.send(dhcp4.Discover, netip.Addr{}, options)
	if c.tries > 4 {
		c.after(c.between(5*time.Second, 30*time.Second), c.begin)
		return
	}
	c.after(c.backOff(), c.discover)
}

// request asks for the address that was offered.
func (c *client) request() {
	if c.tries == 0 {
		c.first = c.w.now()
	}
	if c.tries > 3 {
		c.begin()
		return
	}
	o := dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, c.offered)
	o = dhcp4.AppendAddr(o, dhcp4.OptServerIdentifier, c.server)
	if c.w.plan.wishes && c.n%3 == 0 {
		o = dhcp4.AppendUint32(o, dhcp4.OptLeaseTime, uint32(30+c.n*20))
	}
	c.send(dhcp4.Request, netip.Addr{}, o)
	c.after(c.backOff(), c.request)
}

// reboot begins INIT-REBOOT: the client asks for the address of its lease.
func (c *client) reboot() {
	c.become(rebooting)
	c.xid = dhcp4.Xid(c.rng.Uint32())
	c.first = c.w.now()
	c.confirm()
}

func (c *client) confirm() {
	switch now := c.w.now(); {
	case !c.held.holds(now):
		c.ends(expired)
		return
	case c.tries > 3:
		// Without an answer it keeps using its lease (RFC 2131 section 3.2).
		c.become(bound)
		c.live()
		return
	}
	c.send(dhcp4.Request, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, c.held.addr))
	c.after(c.backOff(), c.confirm)
}

// recall asks for the address of an expired lease, as a client with a slow clock does. If it is
// refused, it begins with a DISCOVER.
func (c *client) recall() {
	if c.tries > 1 {
		c.last = netip.Addr{}
		c.begin()
		return
	}
	c.send(dhcp4.Request, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, c.last))
	c.after(c.backOff(), c.recall)
}

// renew extends the lease.
func (c *client) renew() {
	now := c.w.now()
	if !c.held.holds(now) {
		c.ends(expired)
		return
	}
	if c.state != renewing {
		c.become(renewing)
		c.xid = dhcp4.Xid(c.rng.Uint32())
		c.first = now
	}
	c.send(dhcp4.Request, c.held.addr, nil)
	next := c.t2
	if now >= c.t2 {
		next = c.held.until
	}
	pause := max((next-now)/2, 4*time.Second)
	if c.mute {
		pause = min(pause, 30*time.Second)
	}
	c.after(min(pause, max(c.held.until-now, time.Millisecond)), c.renew)
}

const expired = "has expired"

// ends ends the client's lease for a reason. The client begins again soon.
func (c *client) ends(why string) {
	if c.held.addr.IsValid() {
		c.w.say(c.held.addr, "%v stops using %v: it %s", c, c.held.addr, why)
	}
	c.last = netip.Addr{}
	if why == expired && c.w.plan.recalls && !c.mute {
		c.last = c.held.addr
	}
	c.held = promise{}
	c.become(idle)
	c.after(c.between(0, 2*time.Second), c.begin)
}

// pause ends the client's lease after a RELEASE or a DECLINE. The client begins again when that
// datagram has certainly arrived, so that it cannot end the next lease.
func (c *client) pause() {
	c.held = promise{}
	c.become(idle)
	c.after(maxDelay+c.between(time.Second, 20*time.Second), c.begin)
}

// live decides what a bound client does next: renew, or something rarer.
func (c *client) live() {
	now := c.w.now()
	renewal := max(c.t1-now, time.Second)
	if c.mute {
		c.after(min(renewal, 30*time.Second), c.renew)
		return
	}
	if c.rng.Float64() >= c.w.plan.restless {
		c.after(renewal, c.renew)
		return
	}
	span := max(c.held.until-now, time.Second)
	c.after(c.between(0, min(span, 2*renewal)), c.surprise)
}

// surprise does something else than renewing.
func (c *client) surprise() {
	if c.mute {
		c.renew()
		return
	}
	if !c.held.holds(c.w.now()) {
		c.ends(expired)
		return
	}
	switch a := c.held.addr; c.rng.IntN(8) {
	case 0, 1:
		c.w.say(a, "%v releases %v", c, a)
		c.send(dhcp4.Release, a, dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, c.server))
		c.pause()
	case 2:
		c.w.say(a, "%v declines %v", c, a)
		o := dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, a)
		c.send(dhcp4.Decline, netip.Addr{}, dhcp4.AppendAddr(o, dhcp4.OptServerIdentifier, c.server))
		c.pause()
	case 3:
		c.reboot()
	case 4:
		c.w.say(a, "%v is reset and forgets %v", c, a)
		c.held = promise{}
		c.begin()
	case 5:
		c.move()
	default:
		// The client is away, in most cases until the lease has ended.
		c.become(away)
		d := c.between(0, c.held.until-c.w.now()+c.w.plan.lease)
		c.w.say(a, "%v is out of touch for %v", c, d.Round(time.Second))
		c.after(d, func() {
			if c.held.holds(c.w.now()) {
				c.renew()
				return
			}
			c.ends(expired)
		})
	}
}

// move moves the client to another attachment point.
func (c *client) move() {
	to := c.w.somewhere(c.rng)
	a := c.held.addr
	c.w.say(a, "%v moves from %v to %v", c, c.at, to)
	same := to.link == c.at.link
	c.at = to
	if same {
		c.reboot()
		return
	}
	c.ends("belongs to another link")
}

// take takes a reply that dhcp4d sent at a moment of true time.
func (c *client) take(m *dhcp4.Message, sent time.Duration) {
	if m.Xid() != c.xid || c.state == idle || c.state == away || c.state == bound {
		return
	}
	now := c.w.now()
	switch kind := m.Type(); {
	case kind == dhcp4.Offer && c.state == selecting:
		c.heard = now
		c.offered = m.YIAddr()
		c.server, _ = m.Addr(dhcp4.OptServerIdentifier)
		c.become(requesting)
		c.request()
	case kind == dhcp4.NAK && c.state != selecting:
		c.heard = now
		why, _ := m.Option(dhcp4.OptMessage)
		c.naks++
		if c.state != requesting {
			c.w.rules.refused(c, string(why))
		}
		c.ends(fmt.Sprintf("was refused (%s)", why))
	case kind == dhcp4.ACK && c.state != selecting:
		c.heard = now
		c.server, _ = m.Addr(dhcp4.OptServerIdentifier)
		seconds, _ := m.Uint32(dhcp4.OptLeaseTime)
		length := time.Duration(seconds) * time.Second
		if old := c.held.addr; old.IsValid() && old != m.YIAddr() {
			c.w.say(old, "%v gives up %v for %v", c, old, m.YIAddr())
		}
		how := [...]string{requesting: "takes", rebooting: "confirms", renewing: "renews"}[c.state]
		c.last = netip.Addr{}
		c.held = promise{addr: m.YIAddr(), since: now, until: c.first + length, place: c.at}
		c.held.void = c.w.rules.takenSince(c.held.addr, sent)
		c.t1, c.t2 = c.first+length/2, c.first+length*7/8
		c.become(bound)
		c.w.rules.promised(c, how)
		c.live()
	}
}

// send sends a message to dhcp4d by way of a dhcp6d.
func (c *client) send(kind dhcp4.MessageType, ciaddr netip.Addr, options []byte) {
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: c.xid, CIAddr: ciaddr, CHAddr: c.hw})
	m = dhcp4.AppendType(m, kind)
	m = dhcp4.AppendOption(m, dhcp4.OptClientIdentifier, c.id)
	m = dhcp4.AppendEnd(append(m, options...))
	c.sent++
	c.w.rules.query(c, frameOf(c.at, c.n, m))
}

// frameOf returns the datagram that dhcp6d makes of a client's message.
func frameOf(at place, n int, message []byte) []byte {
	linkLocal := netip.MustParseAddr(fmt.Sprintf("fe80::%x", 0x100+n))
	m := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, message)
	source := netip.AddrPortFrom(linkLocal, 546)
	if at.link != 2 {
		o := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, fmt.Appendf(nil, "port-%d", at.port))
		link := netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", at.link))
		m = dhcp6.AppendRelayForward(nil, 0, link, linkLocal, o, m)
		source = netip.AddrPortFrom(link, 547)
	}
	var p dhcp6.Packet
	if why := p.Parse(m); why != drop.None {
		panic(why.Label())
	}
	f, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth2"), Source: source})
	if why != drop.None {
		panic(why.Label())
	}
	return f
}
