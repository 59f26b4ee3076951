package consult

import (
	"hash/maphash"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/index"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// Entry is what is known about a key. What a look at it needs comes first, in 64 octets with a key
// of up to 16: an entry is seldom in a cache of the processor.
type Entry struct {
	Until  time.Duration // the answer is good before
	Subnet uint32        // the answer is for it
	used   bool          // since the hand of the cache has passed it
	length uint8         // of the key; isLong: it is in long, else in short

	// Made is what the daemon has made of the answer, for the configuration For.
	Made, For any

	short [shortKey]byte
	long  string

	Answer             *outside.Answer
	octets             int
	hash, next, before uint32 // of the key; the neighbours in the ring
}

const (
	shortKey = 32 // the most octets of a key that needs no memory of its own
	isLong   = 255
)

// has reports whether the entry is about a key.
func (e *Entry) has(key []byte) bool {
	if e.length == isLong {
		return e.long == string(key)
	}
	return string(e.short[:e.length]) == string(key)
}

// setKey makes a new entry be about a key.
func (e *Entry) setKey(key []byte) {
	if len(key) > shortKey {
		e.length, e.long = isLong, string(key)
		return
	}
	e.length = uint8(copy(e.short[:], key))
}

// perEntry is how many octets of verdicts there may be for each entry that a cache may have.
const perEntry = 1 << 10

// overhead is about what an entry costs beside its octets.
const overhead = 256

// chunkSize is how many entries get their memory together.
const chunkSize = 256

// Cache is the verdicts that are known, by key. When there are too many, one goes that was not used
// for long: a hand goes around the ring of all, and takes the first that was not used since it last
// came by, or after some steps any. So a look at a verdict touches no other one, which would cost a
// cache miss of the processor each. What is no longer good stays until then: it may be all that is
// known while the program is away.
//
// Entries have numbers and lie in chunks, so that a look touches a slot of the index and an entry.
// With a map of Go it takes twice as long.
//
// A cache belongs to the packet loop.
type Cache struct {
	most, octets, n int

	seed   maphash.Seed
	index  index.Index
	chunks []*[chunkSize]Entry
	made   uint32 // how many entries have memory; number 0 is never used
	free   uint32 // an entry about no key, whose next is another one; 0: there is none
	hand   uint32 // 0: the cache is empty
}

// NewCache makes an empty cache.
func NewCache(most int) *Cache {
	c := &Cache{most: most, seed: maphash.MakeSeed()}
	c.clear()
	return c
}

// Resize changes how many entries there may be.
func (c *Cache) Resize(most int) {
	c.most = most
	c.shrink()
}

// Len returns the number of entries.
func (c *Cache) Len() int { return c.n }

// Get returns what is known about a key, nil if nothing is. The entry is valid until the next Put,
// Remove, Resize or Forget.
func (c *Cache) Get(key []byte, subnet uint32) *Entry {
	number := c.find(c.hash(key), key)
	if number == 0 {
		return nil
	}
	e := c.at(number)
	if e.Subnet != subnet {
		return nil
	}
	e.used = true
	return e
}

func (c *Cache) at(number uint32) *Entry { return &c.chunks[number/chunkSize][number%chunkSize] }

func (c *Cache) hash(key []byte) uint32 { return uint32(maphash.Bytes(c.seed, key)) }

// find returns the number of the entry about a key, 0 if there is none.
func (c *Cache) find(hash uint32, key []byte) uint32 {
	p := c.index.Walk(hash)
	for number := p.Next(); number != 0; number = p.Next() {
		if c.at(number).has(key) {
			return number
		}
	}
	return 0
}

// Put enters an answer.
func (c *Cache) Put(key []byte, subnet uint32, a outside.Answer, until time.Duration) *Entry {
	hash := c.hash(key)
	if old := c.find(hash, key); old != 0 {
		c.remove(old)
	}
	number := c.take()
	e := c.at(number)
	*e = Entry{Answer: &a, Subnet: subnet, Until: until, hash: hash}
	e.setKey(key)
	e.octets = overhead + 2*len(key) + len(a.Reason) + len(a.Pool)
	for _, class := range a.Classes {
		e.octets += 16 + len(class)
	}
	for _, o := range a.Options {
		e.octets += 32 + len(o.Value)
	}
	c.index.Add(hash, number)
	c.n++
	c.octets += e.octets
	c.link(number)
	c.shrink()
	return e
}

// take returns the number of an entry that is about no key.
func (c *Cache) take() uint32 {
	number := c.free
	if number != 0 {
		c.free = c.at(number).next
		return number
	}
	number = c.made
	c.made++
	if int(number/chunkSize) == len(c.chunks) {
		c.chunks = append(c.chunks, new([chunkSize]Entry))
	}
	return number
}

// Remove forgets what is known about a key.
func (c *Cache) Remove(key []byte) {
	if number := c.find(c.hash(key), key); number != 0 {
		c.remove(number)
	}
}

// Forget forgets everything.
func (c *Cache) Forget() {
	if c.n > 0 {
		c.clear()
	}
}

// clear takes new memory. To remove many entries takes long, and a program may have us do so often.
func (c *Cache) clear() {
	c.index = index.New(func(number uint32) uint32 { return c.at(number).hash },
		func(n int) []byte { return make([]byte, n) })
	c.chunks, c.made, c.free, c.hand = []*[chunkSize]Entry{new([chunkSize]Entry)}, 1, 0, 0
	c.octets, c.n = 0, 0
}

// steps is how many verdicts the hand passes for one that goes, so that the loop never waits.
const steps = 16

func (c *Cache) shrink() {
	for c.hand != 0 && (c.n > c.most || c.octets > c.most*perEntry) {
		for i := 0; i < steps && c.at(c.hand).used; i++ {
			c.at(c.hand).used = false
			c.hand = c.at(c.hand).next
		}
		c.remove(c.hand)
	}
}

// link puts an entry where the hand comes last.
func (c *Cache) link(number uint32) {
	e := c.at(number)
	if c.hand == 0 {
		e.next, e.before, c.hand = number, number, number
		return
	}
	e.next, e.before = c.hand, c.at(c.hand).before
	c.at(e.next).before, c.at(e.before).next = number, number
}

func (c *Cache) remove(number uint32) {
	e := c.at(number)
	c.index.Remove(e.hash, number)
	c.octets -= e.octets
	c.n--
	if c.hand == number {
		c.hand = e.next
	}
	if c.hand == number {
		c.hand = 0
	}
	c.at(e.next).before, c.at(e.before).next = e.before, e.next
	*e = Entry{next: c.free}
	c.free = number
}
