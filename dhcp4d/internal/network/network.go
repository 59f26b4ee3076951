// Package network is what the operator has configured: subnets with their pools, reservations,
// classes, match entries and policies, and the selector, which finds the subnet of a query.
//
// The values never change once they are made: a packet takes one *Subnets at its start and uses it
// to its end, and a reload makes a new one. The package checks nothing, and reads neither YAML nor
// the environment: package config does both. It knows no packets: a query is a few [Facts], and
// package expression evaluates the conditions of classes.
//
// # How a subnet is chosen
//
// A match entry belongs to the first step of this list whose keys it has. Its other keys are
// further conditions. The first step with an entry that fits decides:
//
//	LinkSelection    octets inside the DHCPv4 message: they count only for
//	SubnetSelection  queries that an entry with trust-inner claims, and lead
//	GIAddr           only to subnets that have an entry so marked
//	LinkAndID        link-address or peer, with an identifier
//	Link             link-address, longest prefix
//	ID               interface-id, remote-id or subscriber-id
//	Source           IPv6 source address, longest prefix
//	Interface        interface name, or peer alone; trust-inner counts only for
//	                 relayed queries and for link-local sources
//
// Within a step the entry with the longer link-address wins, then the one with interface-id,
// remote-id, subscriber-id, the longer prefix, peer, interface, class. Two entries that fit one
// query can be equal in all of these only if their classes differ, because the configuration
// refuses equal claims. Then the first one in the document wins. The cost of a selection grows with
// the number of entries that have a class, not with the number of subnets. A selection does not
// allocate.
//
// Subnets of one network share a link ([Subnet.Link]). The selection finds the first of them for a
// query; which one serves it depends on leases, and so package server decides that.
package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/gaissmai/bart"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Subnets are all subnets of a configuration.
type Subnets struct {
	All []Subnet // in the order of the document
	// Classes are the conditions of all classes, those of the top and those of subnets.
	Classes    *expression.Classes
	TopClasses *ClassList // a later class wins over an earlier one
	// Names are the classes of the document's top, by name.
	Names *expression.Scope
	// Marked are the numbers of those of them that only rules put queries into.
	Marked map[string]int
	// Files reports whether the document names files, which a reload reads again.
	Files bool
	// Warnings are what is valid but probably not meant.
	Warnings []string

	byID     map[uint32]int32
	byName   map[string]int32
	byPrefix bart.Table[int32]
}

// NewSubnets makes the indexes over subnets whose ids, names and prefixes are distinct. It keeps
// all.
func NewSubnets(all []Subnet, classes *expression.Classes, top *ClassList) *Subnets {
	s := &Subnets{All: all, Classes: classes, TopClasses: top, byID: make(map[uint32]int32, len(all)),
		byName: map[string]int32{}}
	links := map[string][]*Subnet{}
	for i := range all {
		sub := &all[i]
		sub.Position, sub.TopClasses = i, top
		if sub.Network != "" {
			links[sub.Network] = append(links[sub.Network], sub)
		}
		s.byID[sub.ID] = int32(i)
		if sub.Name != "" {
			s.byName[sub.Name] = int32(i)
		}
		s.byPrefix.Insert(sub.Prefix, int32(i))
	}
	for i := range all {
		sub := &all[i]
		if l := links[sub.Network]; len(l) > 1 {
			sub.Link = l
		}
		sub.Refuses = slices.ContainsFunc(sub.Pools, func(p Pool) bool { return p.Refused != NotRefused })
		sub.Groups = group(sub.Pools, sub.Link...)
		sub.ranges = rangesOf(sub.Pools)
	}
	return s
}

// ByID returns the subnet with an id, nil if there is none.
func (s *Subnets) ByID(id uint32) *Subnet {
	if i, ok := s.byID[id]; ok {
		return &s.All[i]
	}
	return nil
}

// ByName returns the subnet with a name, nil if there is none.
func (s *Subnets) ByName(name string) *Subnet {
	if i, ok := s.byName[name]; ok {
		return &s.All[i]
	}
	return nil
}

// Containing returns the subnet that an IPv4 address lies in, nil if none.
func (s *Subnets) Containing(a netip.Addr) *Subnet {
	if i, ok := s.byPrefix.Lookup(a); ok {
		return &s.All[i]
	}
	return nil
}

// PoolNames returns the names that pools have, each once.
func (s *Subnets) PoolNames() (names []string) {
	for i := range s.All {
		for _, p := range s.All[i].Pools {
			if p.Name != "" && !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	return names
}

// Subnet is one subnet with all settings of its leases. Defaults, the document's top and the
// environment are merged in.
type Subnet struct {
	Position int // in Subnets.All

	ID     uint32
	Name   string // what people call it, empty if it has no name
	Prefix netip.Prefix
	Drain  bool // leases are renewed, but no new ones are given
	// Network names the link that the subnet shares with others, empty if it has none. Link has all
	// subnets of it in the order of the document, this one among them, nil if it is alone.
	Network string
	Link    []*Subnet
	Policy
	Pools        []Pool // in the order of the document
	ranges       []poolRange
	Groups       *Groups // of the pools; nil: any client may have any of them
	Refuses      bool    // some pool is refused
	Match        []Match
	Reservations Reservations
	TopClasses   *ClassList  // Subnets.TopClasses
	Classes      *ClassList  // of the subnet, over those of the top
	Options      *option.Set // global ones, laid over by the subnet's
}

// String returns the id of the subnet, and its name if it has one.
func (s *Subnet) String() string {
	if s.Name == "" {
		return strconv.FormatUint(uint64(s.ID), 10)
	}
	return fmt.Sprintf("%d (%s)", s.ID, s.Name)
}

// Grants reports whether an address may be given to the client of a reservation, which may be nil:
// it is a host's in the subnet, not the server's, and reserved for nobody else.
func (s *Subnet) Grants(a netip.Addr, to *Reservation) bool {
	if !IsHost(a) || !s.Prefix.Contains(a) || a == s.ServerID {
		return false
	}
	if s.Prefix.Bits() < 31 && (!s.Prefix.Contains(a.Prev()) || !s.Prefix.Contains(a.Next())) {
		return false // of the network, or for broadcasts
	}
	of := s.Reservations.At(a)
	return of == nil || of == to
}

// PoolOf returns the index of the pool that holds an address, -1 if none does.
func (s *Subnet) PoolOf(a netip.Addr) int {
	i, found := slices.BinarySearchFunc(s.ranges, a, func(r poolRange, a netip.Addr) int {
		budget.Spend(1)
		return r.First.Compare(a)
	})
	if !found {
		i--
	}
	if i < 0 || s.ranges[i].Last.Less(a) {
		return -1
	}
	return int(s.ranges[i].pool)
}

// AppendClasses appends the classes that the query of e is in, the one that wins last.
func (s *Subnet) AppendClasses(in []*Class, e *expression.Evaluator) []*Class {
	return s.Classes.AppendOf(s.TopClasses.AppendOf(in, e), e)
}

// AsksIdentity reports whether IgnoresID depends on classes.
func (s *Subnet) AsksIdentity() bool {
	top := s.TopClasses != nil && s.TopClasses.ignoring != nil
	own := s.Classes != nil && s.Classes.ignoring != nil
	return !s.IgnoreID && (top || own)
}

// IgnoresID reports whether the hardware address alone is the client of the query of e.
func (s *Subnet) IgnoresID(e *expression.Evaluator) bool {
	return s.IgnoreID || s.TopClasses.ignores(e) || s.Classes.ignores(e)
}

// Longest is the longest lease time that any client of the subnet gets.
func (s *Subnet) Longest() uint32 {
	longest := max(s.Lease.Max, s.TopClasses.Longest(), s.Classes.Longest())
	for i := range s.Pools {
		longest = max(longest, s.Pools[i].Times.Max)
	}
	for _, r := range s.Reservations.All() {
		longest = max(longest, r.Times.Max)
	}
	return longest
}

// OptionsFor returns what a client of some classes sees: global < subnet < pool < classes <
// reservation. The pool is an index or -1, and r may be nil. Memory is overwritten with the options
// of the classes, and is part of the result.
func (s *Subnet) OptionsFor(in []*Class, pool int, r *Reservation, memory []*option.Set) option.Layers {
	for _, c := range in {
		memory = append(memory, c.Options)
	}
	l := option.Layers{Classes: memory, Base: s.Options}
	if pool >= 0 {
		l.Pool = s.Pools[pool].Options
	}
	if r != nil {
		l.Top = r.Options
	}
	return l
}
