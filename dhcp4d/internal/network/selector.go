package network

import (
	"net/netip"

	"github.com/gaissmai/bart"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Facts are what a query says about where its client is. Zero values are absent facts. The
// slices are only read.
type Facts struct {
	LinkSelection   netip.Addr // option 82 suboption 5 (RFC 3527)
	SubnetSelection netip.Addr // option 118 (RFC 3011)
	GIAddr          netip.Addr // 0.0.0.0 is absent too

	Relayed      bool
	LinkAddress  netip.Addr // of the client's link
	InterfaceID  []byte     // these three of the relay next to the client
	RemoteID     []byte     // with its enterprise number, as in option 37
	SubscriberID []byte

	Source    netip.Addr // the client, or the relay nearest to dhcp6d
	Interface []byte     // of dhcp6d
	Peer      string     // name of the dhcp6d

	Classes *expression.Evaluator // evaluates the classes of the query; nil: it is in none
}

// Locate sets the facts about the way that a query took.
func (f *Facts) Locate(p *attachment.Path) {
	f.Relayed = p.Packet.Relays() > 0
	f.LinkAddress = p.Link()
	if r, ok := p.Relay(); ok {
		f.InterfaceID, f.RemoteID, f.SubscriberID = r.InterfaceID(), r.RemoteID(), r.SubscriberID()
	}
	f.Source, f.Interface, f.Peer = p.Source, p.Interface, p.Server
}

// Step is the step that has decided a selection.
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
	Kind
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
	Kind:            "class",
}

func (s Step) String() string { return stepNames[s] }

// Result is the outcome of a selection.
type Result struct {
	Subnet  *Subnet // nil: no subnet claims the query
	Step    Step    // that has decided; LinkSelection without Subnet: it names none that may be chosen
	Entry   int     // index into Subnet.Match, -1 when inner octets decided
	Trusted bool    // the query comes from a 4o6 relay agent that a match entry trusts
}

// Selector holds the tables. It is immutable and safe for concurrent use.
type Selector struct {
	subnets []Subnet
	entries matcher           // of all subnets
	trusted matcher           // those with trust-inner
	marked  bart.Table[int32] // subnets with an entry that has trust-inner
	asks    bool              // some entry has a class
}

// Asks reports whether the selection depends on classes, so that Facts.Classes must be set.
func (s *Selector) Asks() bool { return s.asks }

// NewSelector makes the tables for subnets.
func NewSelector(s *Subnets) *Selector {
	sel := &Selector{subnets: s.All, trusted: matcher{onLink: true}}
	for i := range s.All {
		for j := range s.All[i].Match {
			m := &s.All[i].Match[j]
			at := candidate{subnet: int32(i), entry: int32(j)}
			if m.TrustInner {
				sel.mark(&s.All[i], int32(i))
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
	sel.asks = len(sel.entries.classes) > 0
	sel.entries.sort()
	sel.trusted.sort()
	return sel
}

// mark lets trusted inner octets select a subnet, and the others of its link.
func (s *Selector) mark(sub *Subnet, position int32) {
	s.marked.Insert(sub.Prefix, position)
	for _, other := range sub.Link {
		s.marked.Insert(other.Prefix, int32(other.Position))
	}
}

// Select returns the subnet of a query. Other subnets of its link may serve it, too.
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
func (s *Selector) inner(a netip.Addr) *Subnet {
	if !a.IsValid() {
		return nil
	}
	if i, ok := s.marked.Lookup(a); ok {
		return &s.subnets[i]
	}
	return nil
}
