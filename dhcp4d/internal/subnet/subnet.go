// Package subnet finds the subnet of a query: protocol rules D4-12 to D4-14.
//
// It owns the tables made from all match entries. It knows no packets: a query
// is a handful of facts. The cost of a selection does not grow with the number
// of subnets, and nothing is allocated.
package subnet

import (
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// Facts are what a query tells about where its client is. Zero values are
// absent facts. The slices are only read.
type Facts struct {
	// Inner facts, octets that a client can write: they count only for queries
	// that a match entry with trust-inner claims.
	LinkSelection   netip.Addr // option 82 suboption 5 (RFC 3527)
	SubnetSelection netip.Addr // option 118 (RFC 3011)
	GIAddr          netip.Addr

	Relayed      bool
	LinkAddress  netip.Addr // of the innermost level that has a usable one, see Level
	InterfaceID  []byte     // these three of the innermost level only
	RemoteID     []byte     // with its enterprise number, as in option 37
	SubscriberID []byte

	Source    netip.Addr // suboption 60001: the client, or the outermost relay
	Interface []byte     // suboption 60000
	Peer      string     // name of the dhcp6d that sent the query
}

// Level takes the link-address of one relay level. Call it for each level,
// from the innermost outwards: the first that is neither :: nor link-local
// is the one that counts.
func (f *Facts) Level(link netip.Addr) {
	if !f.LinkAddress.IsValid() && !link.IsUnspecified() && !link.IsLinkLocalUnicast() {
		f.LinkAddress = link
	}
}

// Step is a step of the list in D4-12.
type Step uint8

// The steps. None: no subnet.
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

// Result is the outcome of a selection.
type Result struct {
	Subnet  *config.Subnet // nil: no subnet claims the query
	Step    Step           // the step that decided
	Entry   int            // index into Subnet.Match, -1 for the steps on inner facts
	Trusted bool           // a match entry with trust-inner claims the query
}

// Selector holds the tables. It is immutable and safe for concurrent use.
type Selector struct{}

// New makes the tables. The subnets are those of a compiled document, which
// has no equal claims.
func New(s *config.Subnets) *Selector { return &Selector{} }

// Select returns the subnet of a query (D4-12).
func (s *Selector) Select(f *Facts) Result { return Result{Entry: -1} }

// Explain tells step by step, one line each, how the selection went.
func (s *Selector) Explain(f *Facts) []string { return nil }
