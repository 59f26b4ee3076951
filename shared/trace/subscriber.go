package trace

import (
	"bytes"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// Subscriber is the subscriber that a watch follows. A packet must match all fields that are set.
type Subscriber struct {
	HWAddr      []byte       // of the DHCPv4 message
	ClientID    []byte       // option 61
	Source      netip.Prefix // has the IPv6 address of the client, or of a relay on the way
	InterfaceID []byte       // of any relay on the way
	RemoteID    []byte       // the same, with the enterprise number
}

// IsZero reports whether nothing is set.
func (s *Subscriber) IsZero() bool {
	return s.HWAddr == nil && s.ClientID == nil && !s.Source.IsValid() && s.InterfaceID == nil && s.RemoteID == nil
}

// equal reports whether two subscribers are written alike.
func (s *Subscriber) equal(o *Subscriber) bool {
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	return s.Source == o.Source && same(s.HWAddr, o.HWAddr) && same(s.ClientID, o.ClientID) &&
		same(s.InterfaceID, o.InterfaceID) && same(s.RemoteID, o.RemoteID)
}

// Traits are what a packet says about its subscriber. Nil and invalid values are not known.
type Traits struct {
	HWAddr, ClientID []byte
	Source           netip.Addr    // of the datagram that reached dhcp6d
	Chain            *dhcp6.Packet // nil: not known
	// Answer means that the packet is an answer, which says less than its query. It belongs to the
	// subscriber if its query did. The query has the same Xid and hardware address.
	Answer bool
	Xid    uint32
}

// Read sets the fields that a DHCPv4 message has values for.
func (w *Traits) Read(m *dhcp4.Message) {
	w.HWAddr, w.Xid = m.CHAddr(), uint32(m.Xid())
	w.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
}

// is reports whether a packet belongs to the subscriber.
func (s *Subscriber) is(w *Traits) bool {
	if (s.HWAddr != nil && !bytes.Equal(s.HWAddr, w.HWAddr)) ||
		(s.ClientID != nil && !bytes.Equal(s.ClientID, w.ClientID)) {
		return false
	}
	source := !s.Source.IsValid() || s.Source.Contains(w.Source)
	interfaceID, remoteID := s.InterfaceID == nil, s.RemoteID == nil
	if w.Chain != nil {
		for i := range w.Chain.Relays() {
			r := w.Chain.Relay(i)
			source = source || s.Source.Contains(r.PeerAddress())
			interfaceID = interfaceID || bytes.Equal(s.InterfaceID, r.InterfaceID())
			remoteID = remoteID || bytes.Equal(s.RemoteID, r.RemoteID())
		}
	}
	return source && interfaceID && remoteID
}
