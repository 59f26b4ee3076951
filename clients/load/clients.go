package load

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"
)

// held is the state of a client: its lease, and whether it is in an exchange.
type held struct {
	address, server uint32 // 0 is none
	until           time.Duration
	busy            bool
}

// owners maps each address to its owner. It is split into pages of neighbouring addresses, so that
// an address next to a known one costs no allocation.
type owners map[uint32]*[pageSize]uint32

const (
	pageBits = 10
	pageSize = 1 << pageBits

	nobody     = 0
	quarantine = 1<<32 - 1 // declined
)

// of returns the owner of an address: a client number plus 1, nobody, or quarantine.
func (o owners) of(address uint32) uint32 {
	if p := o[address>>pageBits]; p != nil {
		return p[address%pageSize]
	}
	return nobody
}

func (o owners) set(address, owner uint32) {
	p := o[address>>pageBits]
	if p == nil {
		if owner == nobody {
			return
		}
		p = new([pageSize]uint32)
		o[address>>pageBits] = p
	}
	p[address%pageSize] = owner
}

// count returns the number of addresses that clients have.
func (o owners) count() int {
	n := 0
	for _, p := range o {
		for _, owner := range p {
			if owner != nobody && owner != quarantine {
				n++
			}
		}
	}
	return n
}

// Identity returns the hardware address and the client identifier that a client has in a run with
// this seed.
func Identity(seed uint64, n uint32) (net.HardwareAddr, []byte) {
	id := identifier(seed, n)
	return hardware(seed, n), id[:]
}

// identifier is option 61 of a client (RFC 4361): ff, IAID, and a DUID-LL of its hardware address.
// The hardware address begins at octet 9.
func identifier(seed uint64, n uint32) [15]byte {
	a, b, c, d := byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return [15]byte{0xff, a, b, c, d, 0, 3, 0, 1, 2, byte(seed), a, b, c, d}
}

// source returns the source address of a client, if clients have addresses of their own.
func (c *Config) source(client uint32) netip.Addr {
	if n := uint32(len(c.sources)); n > 0 {
		return c.sources[client%n]
	}
	return netip.Addr{}
}

// consecutive returns n addresses that follow each other, from first on.
func consecutive(first netip.Addr, n int) []netip.Addr {
	addrs := make([]netip.Addr, 0, n)
	for a := first; len(addrs) < n; a = a.Next() {
		addrs = append(addrs, a)
	}
	return addrs
}

// link returns octets 4 to 7 of a client's link-address. Clients use the /64 prefixes from Link on
// in turn.
func (c *Config) link(client uint32) uint32 {
	a := c.Link.As16()
	return binary.BigEndian.Uint32(a[4:]) + client%uint32(c.Links)
}
