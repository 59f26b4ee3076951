package config

import (
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

func matchFields(peers []string) []field[matchDoc] {
	return []field[matchDoc]{
		{"prefix", "IPv6 prefix or address", "IPv6 source address of the query; of a relayed query, " +
			"the address of the relay nearest to dhcp6d", func(r *reader, v *value, m *matchDoc) { r.prefix6(v, &m.Prefix) }},
		{"interface", "text", "interface of dhcp6d, by the name that the kernel has for it, that the query came in " +
			"by; alone, it takes what no other entry claims, whatever the source address",
			func(r *reader, v *value, m *matchDoc) {
				if r.text(v, 255, &m.Interface); len(m.Interface) > interfaceName {
					r.Fail(v, "%q has more than %d characters; dhcp6d sends the kernel's name of an interface, "+
						"not an alternative one", m.Interface, interfaceName)
				}
			}},
		{"interface-id", "text, or 0x and hex", "option 18 of the relay nearest to the client",
			func(r *reader, v *value, m *matchDoc) {
				r.identifier(v, octetsKind, octets.Parse, &m.InterfaceID)
			}},
		{"remote-id", "enterprise:text, enterprise:0x and hex, or 0x and the whole option in hex",
			"option 37 of the relay nearest to the client", func(r *reader, v *value, m *matchDoc) {
				r.identifier(v, octets.RemoteIDKind, octets.ParseRemoteID, &m.RemoteID)
			}},
		{"subscriber-id", "text, or 0x and hex", "option 38 of the relay nearest to the client",
			func(r *reader, v *value, m *matchDoc) {
				r.identifier(v, octetsKind, octets.Parse, &m.SubscriberID)
			}},
		{"link-address", "IPv6 prefix or address", "link-address of the relay nearest to the client whose " +
			"link-address is neither :: nor link-local", func(r *reader, v *value, m *matchDoc) {
			if r.prefix6(v, &m.LinkAddress) && config.LinkLocal(m.LinkAddress) {
				r.Fail(v, "%s is link-local; such link-addresses tell nothing and are passed over", m.LinkAddress)
			}
		}},
		{"peer", "text", "the dhcp6d that sent the query, by the name or address of DHCP4D_IPC_PEERS",
			func(r *reader, v *value, m *matchDoc) {
				if r.text(v, 255, &m.Peer); m.Peer != "" && !slices.Contains(peers, m.Peer) {
					r.Fail(v, "%q is not in DHCP4D_IPC_PEERS, which has %s", m.Peer, strings.Join(peers, ", "))
				}
			}},
		{"class", "text", "name of a class of the document's top that the query is in",
			func(r *reader, v *value, m *matchDoc) {
				r.text(v, 63, &m.Class)
				m.classAt = v
			}},
		{"trust-inner", "true or false", "the query comes from a 4o6 relay agent: its giaddr, " +
			"option 118 and link selection (option 82) may choose among the subnets that have an entry so marked; " +
			"an entry with this key alone only marks its subnet",
			func(r *reader, v *value, m *matchDoc) { r.Boolean(v, &m.TrustInner) }},
	}
}

// interfaceName is the longest name that the kernel gives an interface.
const interfaceName = 15

// matchDoc is a match entry and where it stands.
type matchDoc struct {
	network.Match
	at, classAt *value
}

// guard finds the class of a match entry. Match entries select the subnet, so the class must not
// depend on a reservation, which belongs to a subnet.
func (r *reader) guard(m *matchDoc, scope *expression.Scope, classes *expression.Classes) {
	if m.Class == "" {
		return
	}
	number, ok := scope.Lookup(m.Class)
	switch {
	case !ok:
		r.Fail(m.classAt, "no class %s is defined at the document's top; %s", m.Class,
			expression.Suggest(m.Class, scope.Names()))
	case classes.UsesKnown(number):
		r.Fail(m.classAt, "the class %s depends on whether the client has a reservation, "+
			"which is known only when there is a subnet", m.Class)
	case m.TrustInner && !m.ClaimsOrigin():
		r.Fail(m.at,
			"trust-inner needs a key that says where the query comes from: whoever is in a class says so himself")
	default:
		m.ClassNumber = number
	}
}

func (r *reader) matches(v *value, peers []string) []matchDoc {
	var entries []matchDoc
	fields := matchFields(peers)
	for _, item := range r.List(v, "match entries") {
		m := matchDoc{at: item}
		before := len(r.Mistakes)
		if !mapping(r, item, "a match entry", fields, &m) || len(r.Mistakes) > before {
			continue
		}
		if !m.Claims() && !m.TrustInner {
			r.Fail(item, "has no key; give prefix, interface, interface-id, remote-id, subscriber-id, link-address, "+
				"peer or class")
			continue
		}
		entries = append(entries, m)
	}
	return entries
}

// checkClaims reports entries with equal keys (D4-12), because nothing says which of their subnets
// a query gets.
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
			claim := m.Claim()
			first, taken := owners[claim]
			switch {
			case !taken:
				owners[claim] = owner{i, m.at.Line}
			case first.subnet == i:
				r.Fail(m.at, "is the same entry as in line %d; leave one out", first.line)
			default:
				r.Fail(m.at, "claims the same queries as the entry of subnet %d in line %d; give one of them another "+
					"key, or, if both are on one link, the same network and only one of them the entry",
					subnets[first.subnet].id, first.line)
			}
		}
	}
	if marked != nil && !trusting {
		r.Fail(marked, "marks the subnet for trusted inner octets, but no entry says whose are trusted; "+
			"give the 4o6 relay agent an entry such as {prefix: 2001:db8::5/128, trust-inner: true}")
	}
}
