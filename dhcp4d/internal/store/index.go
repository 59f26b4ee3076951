package store

import "encoding/binary"

// An index says where in a journal the latest record of a binding is: 8 octets
// of a table that is at most seven eighths full. Bindings that share an
// address by port sets, of which there are few, are in a map.
type index struct {
	entries []entry // a power of two; collisions go to the next
	used    int
	shift   uint // of the hash
	shared  map[uint64]uint32
}

// An entry is an address and a place; place 0 is none.
type entry struct{ addr, at uint32 }

// place is a record of a segment, by the low half of the segment's number.
func place(segment uint32, nth int) uint32 { return segment<<16 | uint32(nth) }

// keyOf takes a record's key apart: see appendKey.
func keyOf(record []byte) (addr, ports uint32) {
	return binary.BigEndian.Uint32(record[1:]), binary.BigEndian.Uint32(record[5:])
}

func (x *index) reset() { *x = index{} }

func (x *index) octets() int { return 8*len(x.entries) + 64*len(x.shared) }

func (x *index) slot(addr uint32) uint32 { return addr * 0x9e3779b1 >> x.shift }

// find is where addr is or would be.
func (x *index) find(addr uint32) uint32 {
	mask := uint32(len(x.entries) - 1)
	i := x.slot(addr)
	for x.entries[i].at != 0 && x.entries[i].addr != addr {
		i = (i + 1) & mask
	}
	return i
}

// get is the place of the record that has the key of this one, 0 for none.
func (x *index) get(record []byte) uint32 {
	addr, ports := keyOf(record)
	switch {
	case ports != 0:
		return x.shared[uint64(addr)<<32|uint64(ports)]
	case x.used == 0:
		return 0
	}
	return x.entries[x.find(addr)].at
}

// put notes the place of a record and returns the place that it had.
func (x *index) put(record []byte, at uint32) (old uint32, had bool) {
	addr, ports := keyOf(record)
	if ports != 0 {
		k := uint64(addr)<<32 | uint64(ports)
		if x.shared == nil {
			x.shared = make(map[uint64]uint32)
		}
		old, had = x.shared[k]
		x.shared[k] = at
		return old, had
	}
	if x.used >= len(x.entries)/8*7 {
		x.grow()
	}
	e := &x.entries[x.find(addr)]
	old = e.at
	*e = entry{addr, at}
	if old == 0 {
		x.used++
	}
	return old, old != 0
}

// remove forgets a binding and returns the place that it had.
func (x *index) remove(record []byte) (old uint32, had bool) {
	addr, ports := keyOf(record)
	if ports != 0 {
		k := uint64(addr)<<32 | uint64(ports)
		old, had = x.shared[k]
		delete(x.shared, k)
		return old, had
	}
	if x.used == 0 {
		return 0, false
	}
	hole := x.find(addr)
	if old = x.entries[hole].at; old == 0 {
		return 0, false
	}
	x.used--
	// Entries behind the hole that collided on their way move up.
	mask := uint32(len(x.entries) - 1)
	for i := (hole + 1) & mask; x.entries[i].at != 0; i = (i + 1) & mask {
		if home := x.slot(x.entries[i].addr); (i-home)&mask >= (i-hole)&mask {
			x.entries[hole] = x.entries[i]
			hole = i
		}
	}
	x.entries[hole] = entry{}
	return old, true
}

func (x *index) grow() {
	old := x.entries
	n := max(1024, 2*len(old))
	x.entries = make([]entry, n)
	x.shift = 32
	for ; n > 1; n >>= 1 {
		x.shift--
	}
	for _, e := range old {
		if e.at != 0 {
			x.entries[x.find(e.addr)] = e
		}
	}
}
