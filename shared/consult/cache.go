package consult

import (
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// Entry is what is known about a key.
type Entry struct {
	Answer outside.Answer
	Subnet uint32        // the verdict is for it
	Until  time.Duration // it is good before

	// Made is what the daemon has made of the answer, for the configuration For.
	Made, For any

	key           string
	size          int
	newer, before *Entry
}

// perEntry is how many octets of verdicts there may be for each entry that a cache may have.
const perEntry = 1 << 10

// overhead is about what an entry costs beside its octets.
const overhead = 256

// Cache is the verdicts that are known, by key, the least recently used of which go when there are
// too many. It belongs to the packet loop. What is no longer good stays until then: it may be all
// that is known while the program is away.
type Cache struct {
	most, octets int
	entries      map[string]*Entry
	ring         Entry // newer is the least recently used, before the most recently used
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
	if c.ring.before != e {
		e.unlink()
		c.link(e)
	}
	return e
}

// Put enters an answer.
func (c *Cache) Put(key []byte, subnet uint32, a outside.Answer, until time.Duration) *Entry {
	if old := c.entries[string(key)]; old != nil {
		c.remove(old)
	}
	e := &Entry{Answer: a, Subnet: subnet, Until: until, key: string(key)}
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
	c.octets = 0
	c.ring.newer, c.ring.before = &c.ring, &c.ring
}

func (c *Cache) shrink() {
	for len(c.entries) > c.most || c.octets > c.most*perEntry {
		if c.ring.newer == &c.ring {
			return
		}
		c.remove(c.ring.newer)
	}
}

func (c *Cache) remove(e *Entry) {
	e.unlink()
	delete(c.entries, e.key)
	c.octets -= e.size
}

// link makes an entry the most recently used one.
func (c *Cache) link(e *Entry) {
	e.before, e.newer = c.ring.before, &c.ring
	e.before.newer, c.ring.before = e, e
}

func (e *Entry) unlink() { e.before.newer, e.newer.before = e.newer, e.before }
