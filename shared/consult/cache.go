package consult

import (
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// Entry is what is known about a key. What a look at it needs comes first, in 64 octets: an entry
// is seldom in a cache of the processor.
type Entry struct {
	key    string
	Until  time.Duration // the answer is good before
	Subnet uint32        // the answer is for it
	used   bool          // since the hand of the cache has passed it

	// Made is what the daemon has made of the answer, for the configuration For.
	Made, For any

	Answer       *outside.Answer
	size         int
	next, before *Entry
}

// perEntry is how many octets of verdicts there may be for each entry that a cache may have.
const perEntry = 1 << 10

// overhead is about what an entry costs beside its octets.
const overhead = 256

// Cache is the verdicts that are known, by key. When there are too many, one goes that was not used
// for long: a hand goes around the ring of all, and takes the first that was not used since it last
// came by, or after some steps any. So a look at a verdict touches no other one, which would cost a
// cache miss of the processor each. What is no longer good stays until then: it may be all that is
// known while the program is away.
//
// A cache belongs to the packet loop.
type Cache struct {
	most, octets int
	entries      map[string]*Entry
	hand         *Entry // nil: the cache is empty
}

// NewCache makes an empty cache.
func NewCache(most int) *Cache {
	c := &Cache{most: most, entries: map[string]*Entry{}}
	c.Forget()
	return c
}

// Resize changes how many entries there may be.
func (c *Cache) Resize(most int) {
	c.most = most
	c.shrink()
}

// Len returns the number of entries.
func (c *Cache) Len() int { return len(c.entries) }

// Get returns what is known about a key, nil if nothing is.
func (c *Cache) Get(key []byte, subnet uint32) *Entry {
	e := c.entries[string(key)]
	if e == nil || e.Subnet != subnet {
		return nil
	}
	e.used = true
	return e
}

// Put enters an answer.
func (c *Cache) Put(key []byte, subnet uint32, a outside.Answer, until time.Duration) *Entry {
	if old := c.entries[string(key)]; old != nil {
		c.remove(old)
	}
	e := &Entry{Answer: &a, Subnet: subnet, Until: until, key: string(key)}
	e.size = overhead + 2*len(key) + len(a.Reason) + len(a.Pool)
	for _, class := range a.Classes {
		e.size += 16 + len(class)
	}
	for _, o := range a.Options {
		e.size += 32 + len(o.Value)
	}
	c.entries[e.key] = e
	c.octets += e.size
	c.link(e)
	c.shrink()
	return e
}

// Remove forgets what is known about a key.
func (c *Cache) Remove(key []byte) {
	if e := c.entries[string(key)]; e != nil {
		c.remove(e)
	}
}

// Forget forgets everything.
func (c *Cache) Forget() {
	c.entries = map[string]*Entry{} // to clear a large map takes long, and a program may have us do so often
	c.octets, c.hand = 0, nil
}

// steps is how many verdicts the hand passes for one that goes, so that the loop never waits.
const steps = 16

func (c *Cache) shrink() {
	for c.hand != nil && (len(c.entries) > c.most || c.octets > c.most*perEntry) {
		for i := 0; i < steps && c.hand.used; i++ {
			c.hand.used = false
			c.hand = c.hand.next
		}
		c.remove(c.hand)
	}
}

// link puts an entry where the hand comes last.
func (c *Cache) link(e *Entry) {
	if c.hand == nil {
		e.next, e.before, c.hand = e, e, e
		return
	}
	e.next, e.before = c.hand, c.hand.before
	e.next.before, e.before.next = e, e
}

func (c *Cache) remove(e *Entry) {
	delete(c.entries, e.key)
	c.octets -= e.size
	if c.hand == e {
		c.hand = e.next
	}
	if c.hand == e {
		c.hand = nil
	}
	e.next.before, e.before.next = e.before, e.next
}
