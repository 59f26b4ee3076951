package config

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// Match is one entry of a subnet's match list: all its keys must fit. Zero
// values are keys that are not there.
type Match struct {
	Prefix       netip.Prefix // of the IPv6 source address
	Interface    string
	InterfaceID  []byte
	RemoteID     []byte // enterprise number and identifier, as in option 37
	SubscriberID []byte
	LinkAddress  netip.Prefix
	Peer         string // name of the dhcp6d
	TrustInner   bool   // link selection, option 118 and giaddr count for these queries, and may lead to this subnet
}

// Claims reports whether the entry has keys besides trust-inner. One without
// claims no query; it only lets trusted inner octets lead to its subnet.
func (m *Match) Claims() bool {
	return m.Prefix.IsValid() || m.Interface != "" || m.InterfaceID != nil || m.RemoteID != nil ||
		m.SubscriberID != nil || m.LinkAddress.IsValid() || m.Peer != ""
}

func matchFields(peers []string) []field[Match] {
	return []field[Match]{
		{"prefix", "IPv6 prefix or address", "IPv6 source address of the query; of a relayed query, the address of the relay nearest to dhcp6d", func(r *reader, v *value, m *Match) { r.prefix6(v, &m.Prefix) }},
		{"interface", "text", "interface of dhcp6d that the query came in by; alone, it counts for direct queries only when their source is link-local", func(r *reader, v *value, m *Match) { r.text(v, 15, &m.Interface) }},
		{"interface-id", "text, or 0x and hex", "option 18 of the relay nearest to the client", func(r *reader, v *value, m *Match) { r.octets(v, &m.InterfaceID) }},
		{"remote-id", "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex", "option 37 of the relay nearest to the client", func(r *reader, v *value, m *Match) { r.remoteID(v, &m.RemoteID) }},
		{"subscriber-id", "text, or 0x and hex", "option 38 of the relay nearest to the client", func(r *reader, v *value, m *Match) { r.octets(v, &m.SubscriberID) }},
		{"link-address", "IPv6 prefix or address", "link-address of the relay nearest to the client whose link-address is neither :: nor link-local", func(r *reader, v *value, m *Match) {
			if r.prefix6(v, &m.LinkAddress) && linkLocal.Overlaps(m.LinkAddress) && m.LinkAddress.Bits() >= linkLocal.Bits() {
				r.fail(v, "%s is link-local; such link-addresses tell nothing and are passed over", m.LinkAddress)
			}
		}},
		{"peer", "text", "the dhcp6d that sent the query, by the name or address of DHCP4D_IPC_PEERS", func(r *reader, v *value, m *Match) {
			if r.text(v, 255, &m.Peer); m.Peer != "" && !slices.Contains(peers, m.Peer) {
				r.fail(v, "%q is not in DHCP4D_IPC_PEERS, which has %s", m.Peer, strings.Join(peers, ", "))
			}
		}},
		{"trust-inner", "true or false", "the query comes from a 4o6 relay agent: its giaddr, option 118 and link selection (option 82) may choose among the subnets that have an entry so marked; an entry with this key alone only marks its subnet", func(r *reader, v *value, m *Match) { r.boolean(v, &m.TrustInner) }},
	}
}

var linkLocal = netip.MustParsePrefix("fe80::/10")

// matchDoc is a match entry and where it stands.
type matchDoc struct {
	Match
	at *value
}

func (r *reader) matches(v *value, peers []string) []matchDoc {
	var entries []matchDoc
	fields := matchFields(peers)
	for _, item := range r.list(v, "match entries") {
		m := matchDoc{at: item}
		before := len(r.mistakes)
		if !mapping(r, item, "a match entry", fields, &m.Match) || len(r.mistakes) > before {
			continue
		}
		if !m.Claims() && !m.TrustInner {
			r.fail(item, "has no key; give prefix, interface, interface-id, remote-id, subscriber-id, link-address or peer")
			continue
		}
		entries = append(entries, m)
	}
	return entries
}

// claim returns the keys of an entry as octets, equal for equal claims.
func (m *Match) claim() string {
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
	return string(b)
}

// checkClaims reports entries with equal keys (D4-12): which subnet would be
// chosen is not said.
func (r *reader) checkClaims(subnets []subnetDoc) {
	type owner struct{ subnet, line int }
	owners := map[string]owner{}
	trusting, marked := false, (*value)(nil)
	for i := range subnets {
		for _, m := range subnets[i].match {
			if !m.Claims() {
				if marked == nil {
					marked = m.at
				}
				continue
			}
			trusting = trusting || m.TrustInner
			claim := m.claim()
			first, taken := owners[claim]
			switch {
			case !taken:
				owners[claim] = owner{i, m.at.Line}
			case first.subnet == i:
				r.fail(m.at, "is the same entry as in line %d; leave one out", first.line)
			default:
				r.fail(m.at, "claims the same queries as the entry of subnet %d in line %d; give one of them another key", subnets[first.subnet].id, first.line)
			}
		}
	}
	if marked != nil && !trusting {
		r.fail(marked, "marks the subnet for trusted inner octets, but no entry says whose are trusted; give the 4o6 relay agent an entry such as {prefix: 2001:db8::5/128, trust-inner: true}")
	}
}

// String gives the entry as it could stand in the document.
func (m *Match) String() string {
	var parts []string
	key := func(name, value string, given bool) {
		if given {
			parts = append(parts, name+": "+value)
		}
	}
	key("link-address", m.LinkAddress.String(), m.LinkAddress.IsValid())
	key("interface-id", ShowOctets(m.InterfaceID), m.InterfaceID != nil)
	key("remote-id", "0x"+hex.EncodeToString(m.RemoteID), m.RemoteID != nil)
	key("subscriber-id", ShowOctets(m.SubscriberID), m.SubscriberID != nil)
	key("prefix", m.Prefix.String(), m.Prefix.IsValid())
	key("peer", m.Peer, m.Peer != "")
	key("interface", m.Interface, m.Interface != "")
	key("trust-inner", "true", m.TrustInner)
	return "{" + strings.Join(parts, ", ") + "}"
}

// ShowOctets gives an identifier as text where it is printable, else as 0x
// and hex.
func ShowOctets(b []byte) string {
	if len(b) > 1 && b[0] == '0' && b[1] == 'x' {
		return "0x" + hex.EncodeToString(b) // text that would be read as hex
	}
	for _, c := range b {
		if c < 0x21 || c > 0x7e {
			return "0x" + hex.EncodeToString(b)
		}
	}
	return string(b)
}
