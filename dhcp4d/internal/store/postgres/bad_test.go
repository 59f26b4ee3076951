package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// pool are a few addresses for which processes compete, as their clients see them.
type pool struct {
	sync.Mutex
	held   map[netip.Addr]lease.Binding   // by a client whose binding was stored, and who has not released it
	busy   map[netip.Addr]bool            // a process makes a commit for its client
	maybe  map[netip.Addr][]lease.Binding // of clients that have got no ACK, or whose release was not stored
	next   int                            // client
	stored int
	tried  int // commits
	faults []string
}

func (c *pool) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Sprintf(format, args...))
}

// choose returns records of a few addresses: a renewal or a release for a client that has the
// address, or a binding for a new client.
func (c *pool) choose(r *rand.Rand) (records []lease.Binding) {
	c.Lock()
	defer c.Unlock()
	now := lease.Time(time.Now().Unix())
	for _, n := range r.Perm(8)[:1+r.IntN(4)] {
		a := netip.AddrFrom4([4]byte{192, 0, 2, byte(n)})
		b, held := c.held[a]
		switch {
		case !held && len(c.maybe[a]) > 0 && r.IntN(4) > 0:
			b, c.maybe[a] = c.maybe[a][0], c.maybe[a][1:]
			b.State, b.Changed, b.Expires = lease.Released, now, now
		case held && c.busy[a], !held, r.IntN(3) == 0:
			c.next++
			b = bindingOf(a.String(), fmt.Sprint(c.next))
		case r.IntN(2) == 0:
			b.State, b.Changed, b.Expires = lease.Released, now, now
			delete(c.held, a) // from now on anybody may get it
		default:
			b.Changed, b.Expires = now, now+3600
			c.busy[a] = true
		}
		records = append(records, b)
	}
	return records
}

// learn takes the outcome of a commit.
func (c *pool) learn(records []lease.Binding, refused []store.Refusal, err error) {
	c.Lock()
	defer c.Unlock()
	c.tried++
	lost := map[int]bool{}
	for _, f := range refused {
		lost[f.Record] = true
	}
	for i, b := range records {
		holder, held := c.held[b.Addr]
		mine := held && string(holder.Client) == string(b.Client)
		if mine {
			delete(c.busy, b.Addr)
		}
		switch {
		case b.State == lease.Released && (err != nil || lost[i]), err != nil && !mine:
			c.maybe[b.Addr] = append(c.maybe[b.Addr], b)
		case err != nil, b.State == lease.Released:
		case mine && lost[i]:
			c.fault("%s of client %s is lost", b.Addr, b.Client)
		case lost[i]:
		case held && !mine:
			c.fault("%s is given to client %s, client %s has it", b.Addr, b.Client, holder.Client)
		default:
			c.held[b.Addr] = b
			c.stored++
		}
	}
}

// TestDB_4_BadConnections has three processes commit at once, each over a proxy that delays every
// message. Connections break at random, and stand still at random messages while others go on.
// STORE_BAD_SECONDS is how long.
func TestDB_4_BadConnections(t *testing.T) {
	t.Parallel()
	s := migrated(t)
	clients := &pool{held: map[netip.Addr]lease.Binding{}, busy: map[netip.Addr]bool{}, maybe: map[netip.Addr][]lease.Binding{}}
	end := make(chan struct{})
	var running, holds sync.WaitGroup
	var breaks, held int
	var all []*Store
	var proxies []*postgrestest.Proxy
	for range 3 {
		proxy, url := proxyOf(t, s)
		proxy.Delay(2 * time.Millisecond)
		p := openDatabase(t, url)
		storetest.Contents(t, p)
		all, proxies = append(all, p), append(proxies, proxy)
		running.Go(func() { compete(t, p, clients, end) })
	}
	for began := time.Now(); time.Since(began) < time.Duration(number(t, "STORE_BAD_SECONDS", 3))*time.Second; {
		time.Sleep(rand.N(50 * time.Millisecond))
		links := proxies[rand.IntN(3)].Links()
		if len(links) == 0 {
			continue
		}
		link := links[rand.IntN(len(links))]
		way := link.Sent
		if rand.IntN(2) == 0 {
			way = link.Heard
		}
		if rand.IntN(3) > 0 {
			held++
			way.Let(rand.IntN(8))
			holds.Go(func() {
				time.Sleep(rand.N([]time.Duration{20 * time.Millisecond, time.Second}[rand.IntN(8)/7]))
				way.Let(postgrestest.All)
			})
		}
		if rand.IntN(3) == 0 {
			breaks++
			link.Break()
		}
	}
	holds.Wait()
	close(end)
	running.Wait()
	table := storetest.Contents(t, openDatabase(t, s.URL()))
	for a, b := range clients.held {
		if got := table[storetest.Key(&b)]; string(got.Client) != string(b.Client) || got.State != lease.Bound {
			clients.fault("%s was stored for client %s, the table has %s of client %s", a, b.Client, got.State, got.Client)
		}
	}
	for _, f := range clients.faults {
		t.Error(f)
	}
	unknown := uint64(0)
	for _, p := range all {
		unknown += p.Stats().Unknown
		_ = p.Close()
	}
	t.Logf("%d commits, %d bindings stored, %d unknown outcomes, %d connections broken, %d held; %d faults",
		clients.tried, clients.stored, unknown, breaks, held, len(clients.faults))
	if clients.stored == 0 || unknown == 0 {
		t.Error("nothing was tried")
	}
}

// compete has a process commit until end is closed.
func compete(t *testing.T, p *Store, clients *pool, end chan struct{}) {
	r := rand.New(rand.NewPCG(rand.Uint64(), 1))
	for {
		select {
		case <-end:
			return
		default:
		}
		records := clients.choose(r)
		refused, err := p.Commit(records)
		clients.learn(records, refused, err)
		if p.Forgot() {
			t.Error("the database has forgotten nothing")
			return
		}
		switch {
		case errors.Is(err, store.ErrFailed):
			await(t, func() bool { return p.Reopen() == nil })
		case err != nil:
			t.Error(err)
		}
		if r.IntN(4) == 0 {
			_, _ = p.Foreign(nil) // its connection may break
			_ = p.Check()
		}
	}
}
