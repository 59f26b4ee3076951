package network

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Match is one entry of a subnet's match list: all its keys must fit. A zero value means that the
// key is absent.
type Match struct {
	Prefix       netip.Prefix // of the IPv6 source address
	Interface    string
	InterfaceID  []byte
	RemoteID     []byte // enterprise number and identifier, as in option 37
	SubscriberID []byte
	LinkAddress  netip.Prefix
	Peer         string // name of the dhcp6d
	Class        string // name of the class
	ClassNumber  int    // its number in Subnets.Classes
	TrustInner   bool   // whether link selection, option 118 and giaddr of these queries count, and may select this subnet
}

// Claims reports whether the entry has keys besides trust-inner. An entry without other keys claims
// no query: it only lets trusted inner octets select its subnet.
func (m *Match) Claims() bool { return m.ClaimsOrigin() || m.Class != "" }

// ClaimsOrigin reports whether the entry has keys about where a query comes from.
func (m *Match) ClaimsOrigin() bool {
	return m.Prefix.IsValid() || m.Interface != "" || m.InterfaceID != nil || m.RemoteID != nil ||
		m.SubscriberID != nil || m.LinkAddress.IsValid() || m.Peer != ""
}

// Claim returns the keys of an entry as octets. They are equal for entries that claim the same
// queries.
func (m *Match) Claim() string {
	var b []byte
	text := func(s []byte, set bool) {
		if !set {
			b = append(b, 0xff, 0xff)
			return
		}
		b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
		b = append(b, s...)
	}
	prefix := func(p netip.Prefix) {
		a := p.Addr().As16()
		text(append(a[:], byte(p.Bits())), true)
	}
	for _, p := range []netip.Prefix{m.Prefix, m.LinkAddress} {
		if p.IsValid() {
			prefix(p)
		} else {
			text(nil, false)
		}
	}
	text([]byte(m.Interface), m.Interface != "")
	text(m.InterfaceID, m.InterfaceID != nil)
	text(m.RemoteID, m.RemoteID != nil)
	text(m.SubscriberID, m.SubscriberID != nil)
	text([]byte(m.Peer), m.Peer != "")
	text([]byte(m.Class), m.Class != "")
	return string(b)
}

// String returns the entry in the form of the document.
func (m *Match) String() string {
	var parts []string
	key := func(name, value string, given bool) {
		if given {
			parts = append(parts, name+": "+value)
		}
	}
	key("link-address", m.LinkAddress.String(), m.LinkAddress.IsValid())
	key("interface-id", octets.Show(m.InterfaceID), m.InterfaceID != nil)
	key("remote-id", "0x"+hex.EncodeToString(m.RemoteID), m.RemoteID != nil)
	key("subscriber-id", octets.Show(m.SubscriberID), m.SubscriberID != nil)
	key("prefix", m.Prefix.String(), m.Prefix.IsValid())
	key("peer", m.Peer, m.Peer != "")
	key("interface", m.Interface, m.Interface != "")
	key("class", m.Class, m.Class != "")
	key("trust-inner", "true", m.TrustInner)
	return "{" + strings.Join(parts, ", ") + "}"
}
