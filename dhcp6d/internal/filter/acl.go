package filter

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// ACLName is the configured name of the access list hook.
const ACLName = "acl"

// ACL says who is served. Who is on Deny is not; if Allow has entries, nobody
// is who is not on it.
type ACL struct {
	Allow, Deny []Rule
}

// Filter makes the hook for the point pkt6_receive. Its cost grows with the
// logarithm of the number of prefixes and not with that of identifiers.
//
// A prefix is compared with the datagram's source and, for a relayed message,
// with the address that names the client's link and with the client's own as
// its relay saw it. An identifier denies at whatever level of the relay chain
// it stands, and allows only at the innermost: a client that makes up a level
// of its own cannot hide the ones added above it.
func (a ACL) Filter() hook.Filter[Event] {
	allow, deny := compile(a.Allow), compile(a.Deny)
	return hook.Filter[Event]{Name: ACLName, Run: func(e *Event) drop.Reason {
		p, source := e.Packet, e.Peer.Addr()
		if deny.addresses(p, source) {
			return hook.Drop
		}
		for i := range p.Relays() {
			if deny.identifiers(p.Relay(i)) {
				return hook.Drop
			}
		}
		if len(a.Allow) == 0 || allow.addresses(p, source) {
			return hook.Continue
		}
		if n := p.Relays(); n > 0 && allow.identifiers(p.Relay(n-1)) {
			return hook.Continue
		}
		return hook.Drop
	}}
}

// list is a list of rules compiled for lookup.
type list struct {
	prefixes     []netip.Prefix // sorted, none inside another
	interfaceIDs map[string]struct{}
	remoteIDs    map[string]struct{}
}

func compile(rules []Rule) *list {
	l := &list{interfaceIDs: map[string]struct{}{}, remoteIDs: map[string]struct{}{}}
	for _, r := range rules {
		switch {
		case r.InterfaceID != nil:
			l.interfaceIDs[string(r.InterfaceID)] = struct{}{}
		case r.RemoteID != nil:
			l.remoteIDs[string(r.RemoteID)] = struct{}{}
		default:
			l.prefixes = append(l.prefixes, r.Prefix)
		}
	}
	slices.SortFunc(l.prefixes, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	// A prefix comes right after the one that it lies in, or after others that
	// lie in that one too.
	outer := l.prefixes[:0]
	for _, p := range l.prefixes {
		if n := len(outer); n == 0 || !outer[n-1].Contains(p.Addr()) {
			outer = append(outer, p)
		}
	}
	l.prefixes = outer
	return l
}

func (l *list) contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(l.prefixes, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return found || i > 0 && l.prefixes[i-1].Contains(a)
}

// addresses tells whether an address that a packet comes from is listed.
func (l *list) addresses(p *dhcp6.Packet, source netip.Addr) bool {
	if len(l.prefixes) == 0 {
		return false
	}
	if l.contains(source) {
		return true
	}
	n := p.Relays()
	return n > 0 && (l.contains(p.Relay(n-1).PeerAddress()) || l.contains(p.LinkAddress()))
}

// identifiers tells whether an identifier that a relay added is listed.
func (l *list) identifiers(r dhcp6.Relay) bool {
	if id := r.InterfaceID(); id != nil && len(l.interfaceIDs) > 0 {
		if _, ok := l.interfaceIDs[string(id)]; ok {
			return true
		}
	}
	if id := r.RemoteID(); id != nil && len(l.remoteIDs) > 0 {
		if _, ok := l.remoteIDs[string(id)]; ok {
			return true
		}
	}
	return false
}
