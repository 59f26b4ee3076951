// Package subnet finds the subnet of a query.
//
// It owns the tables made from all match entries. It knows no packets: a query
// is a handful of facts. The cost of a selection does not grow with the number
// of subnets, and nothing is allocated.
//
// A match entry belongs to the first step of the list below whose keys it has;
// its other keys are further conditions. The first step with an entry that
// fits decides:
//
//	LinkSelection    octets inside the DHCPv4 message: they count only for
//	SubnetSelection  queries that an entry with trust-inner claims, and lead
//	GIAddr           only to subnets that have an entry so marked
//	LinkAndID        link-address or peer, with an identifier
//	Link             link-address, longest prefix
//	ID               interface-id, remote-id or subscriber-id
//	Source           IPv6 source address, longest prefix
//	Interface        interface name, or peer alone; the interface of a direct
//	                 query only when its source is link-local
//
// Within a step the entry with the longer link-address wins, then the one with
// interface-id, remote-id, subscriber-id, the longer prefix, peer, interface.
// No two entries that fit one query are equal in all of these, because the
// configuration refuses equal claims.
package subnet

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// Facts are what a query tells about where its client is. Zero values are
// absent facts. The slices are only read.
type Facts struct {
	LinkSelection   netip.Addr // option 82 suboption 5 (RFC 3527)
	SubnetSelection netip.Addr // option 118 (RFC 3011)
	GIAddr          netip.Addr // 0.0.0.0 is absent too

	Relayed      bool
	LinkAddress  netip.Addr // see Level
	InterfaceID  []byte     // these three of the innermost level only
	RemoteID     []byte     // with its enterprise number, as in option 37
	SubscriberID []byte

	Source    netip.Addr // the client, or the relay nearest to dhcp6d
	Interface []byte     // of dhcp6d
	Peer      string     // name of the dhcp6d
}

// Level takes the link-address of one relay level. Call it for each level,
// from the innermost outwards: the first that is neither :: nor link-local
// is the one that counts.
func (f *Facts) Level(link netip.Addr) {
	if !f.LinkAddress.IsValid() && !link.IsUnspecified() && !link.IsLinkLocalUnicast() {
		f.LinkAddress = link
	}
}

// Step is what a selection was decided by.
type Step uint8

// The steps, in the order in which they are tried. None: no subnet.
const (
	None Step = iota
	LinkSelection
	SubnetSelection
	GIAddr
	LinkAndID
	Link
	ID
	Source
	Interface
)

var stepNames = [...]string{
	None:            "nothing",
	LinkSelection:   "link selection (option 82)",
	SubnetSelection: "subnet selection (option 118)",
	GIAddr:          "giaddr",
	LinkAndID:       "link-address or peer with an identifier",
	Link:            "link-address",
	ID:              "identifier",
	Source:          "source address",
	Interface:       "interface or peer",
}

func (s Step) String() string { return stepNames[s] }

// Result is the outcome of a selection.
type Result struct {
	Subnet  *config.Subnet // nil: no subnet claims the query
	Step    Step           // what decided; LinkSelection without Subnet: it names none that may be chosen
	Entry   int            // index into Subnet.Match, -1 when inner octets decided
	Trusted bool           // the query comes from a 4o6 relay agent that a match entry trusts
}

// Selector holds the tables. It is immutable and safe for concurrent use.
type Selector struct {
	subnets []config.Subnet
	entries matcher           // of all subnets
	trusted matcher           // those with trust-inner
	marked  bart.Table[int32] // subnets with an entry that has trust-inner
}

// New makes the tables for the subnets of a document.
func New(s *config.Subnets) *Selector {
	sel := &Selector{subnets: s.All}
	for i := range s.All {
		for j := range s.All[i].Match {
			m := &s.All[i].Match[j]
			at := place{subnet: int32(i), entry: int32(j)}
			if m.TrustInner {
				sel.marked.Insert(s.All[i].Prefix, int32(i))
			}
			if !m.Claims() {
				continue
			}
			sel.entries.add(m, at)
			if m.TrustInner {
				sel.trusted.add(m, at)
			}
		}
	}
	sel.entries.sort()
	sel.trusted.sort()
	return sel
}

// Select returns the subnet of a query.
func (s *Selector) Select(f *Facts) Result {
	var scratch [maxKey]byte
	trusted := !s.trusted.empty() && s.trusted.find(f, &scratch).rank != 0
	if trusted {
		if f.LinkSelection.IsValid() {
			// RFC 3527 section 3: no other subnet may be used.
			return Result{s.inner(f.LinkSelection), LinkSelection, -1, true}
		}
		if sub := s.inner(f.SubnetSelection); sub != nil {
			return Result{sub, SubnetSelection, -1, true}
		}
		if sub := s.inner(f.GIAddr); sub != nil {
			return Result{sub, GIAddr, -1, true}
		}
	}
	found := s.entries.find(f, &scratch)
	if found.rank == 0 {
		return Result{Entry: -1, Trusted: trusted}
	}
	return Result{&s.subnets[found.subnet], found.rank.step(), int(found.entry), trusted}
}

// inner returns the marked subnet that an inner address lies in.
func (s *Selector) inner(a netip.Addr) *config.Subnet {
	if !a.IsValid() {
		return nil
	}
	if i, ok := s.marked.Lookup(a); ok {
		return &s.subnets[i]
	}
	return nil
}
