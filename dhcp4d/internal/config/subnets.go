package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Defaults are the values of the environment for subnets that do not configure them. Times are in
// seconds.
type Defaults struct {
	ServerID      netip.Addr   // zero: the first usable address of each subnet
	PeerServerIDs []netip.Addr // never given to clients
	Authoritative bool
	LeaseTime     uint32
	OfferHold     uint32
	DeclineTime   uint32
	Peers         []string // names a match entry's peer may have
}

// subnetDoc is a subnet as it stands in the document.
type subnetDoc struct {
	level
	at           *value
	prefixAt     *value
	prefix       netip.Prefix
	id           uint32
	name         string
	nameAt       *value
	network      string
	networkAt    *value
	drain        bool
	pools        []poolDoc
	poolsAt      *value
	exclude      []span
	excludeAt    []*value
	match        []matchDoc
	matchAt      *value
	reservations *value

	reservationsFile *value
}

func subnetFields(peers []string) []field[subnetDoc] {
	fields := []field[subnetDoc]{
		{"id", "number", "names the subnet in leases and metrics; must stay the same",
			func(r *reader, v *value, s *subnetDoc) { r.number(v, 1, 1<<32-1, &s.id) }},
		{"name", "text", "what people call the subnet, in lists, on the page and in metrics; no two subnets have one name",
			func(r *reader, v *value, s *subnetDoc) { r.subnetName(v, s) }},
		{"subnet", "IPv4 prefix", "the subnet", func(r *reader, v *value, s *subnetDoc) { r.subnetPrefix(v, s) }},
		{"pools", "list of ranges, IPv4 prefixes or pools", "addresses to hand out; the server identifier is kept out",
			func(r *reader, v *value, s *subnetDoc) {
				s.poolsAt = v
				s.pools = r.pools(v)
			}},
		{"exclude", "list of ranges", "addresses that no pool hands out", func(r *reader, v *value, s *subnetDoc) {
			for _, item := range r.List(v, "ranges") {
				if e, _, ok := r.span(item); ok {
					s.exclude, s.excludeAt = append(s.exclude, e), append(s.excludeAt, item)
				}
			}
		}},
		{"match", "list of match entries", "which queries the subnet is for", func(r *reader, v *value, s *subnetDoc) {
			s.matchAt = v
			s.match = r.matches(v, peers)
		}},
		{"network", "text", "name of the link that the subnet shares with others that give the same name: what a " +
			"match entry of one of them claims, any of them may serve", func(r *reader, v *value, s *subnetDoc) {
			r.text(v, 63, &s.network)
			s.networkAt = v
		}},
		{"state", "active or drain", "a subnet in state drain renews leases and gives out no new ones",
			func(r *reader, v *value, s *subnetDoc) {
				r.either(v, "drain", "active", &s.drain)
			}},
		{"reservations", "list of reservations", "addresses that are kept for a client or an attachment point",
			func(_ *reader, v *value, s *subnetDoc) { s.reservations = v }},
		{"reservations-file", "path of a file", "more reservations, as comma-separated values; it is read again on SIGHUP",
			func(_ *reader, v *value, s *subnetDoc) { s.reservationsFile = v }},
	}
	for _, f := range levelFields() {
		fields = append(fields, field[subnetDoc]{f.name, f.kind, f.meaning,
			func(r *reader, v *value, s *subnetDoc) { f.read(r, v, &s.level) }})
	}
	return fields
}

func (r *reader) subnetPrefix(v *value, s *subnetDoc) {
	text, ok := r.Scalar(v, "an IPv4 prefix")
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil || !p.Addr().Is4():
		r.Fail(v, "%q must be an IPv4 prefix such as 192.0.2.0/24", text)
	case p != p.Masked():
		r.Fail(v, "%s has bits set behind the prefix; did you mean %s?", p, p.Masked())
	case p.Bits() < 8 || !network.IsHost(p.Addr()):
		r.Fail(v, "%s cannot be a subnet: it must be within 1.0.0.0 to 223.255.255.255, of at least 8 bits", p)
	default:
		s.prefix, s.prefixAt = p, v
	}
}

// maxName bounds the name of a subnet, in octets: it is a label of metrics.
const maxName = 64

// subnetName accepts a name that can be a label of metrics, a word of a command and a cell of a
// table. It must not be a number, which would look like an id.
func (r *reader) subnetName(v *value, s *subnetDoc) {
	text, ok := r.Scalar(v, "a name")
	if !ok {
		return
	}
	_, number := strconv.ParseUint(text, 10, 64)
	switch {
	case len(text) > maxName:
		r.Fail(v, "the name has %d octets; at most %d are possible", len(text), maxName)
	case number == nil:
		r.Fail(v, "%q would be taken for an id; give a name with letters", text)
	case !utf8.ValidString(text) || strings.TrimSpace(text) != text ||
		strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }):
		r.Fail(v, "%q has blanks at its ends, or characters that cannot be printed; leave them out", text)
	default:
		s.name, s.nameAt = text, v
	}
}

// ParseSubnets compiles a subnets document. The error is a [document.Mistakes] with
// everything that is wrong with it.
func ParseSubnets(doc []byte, d Defaults) (*network.Subnets, error) {
	r := &reader{}
	root := r.Parse(string(doc), "give a list of subnets")
	if root == nil {
		return nil, r.Err()
	}
	classes := new(expression.Classes)
	top := level{scope: classes.Scope(), marked: map[string]int{}, Policy: network.Policy{
		ServerID:      d.ServerID,
		Authoritative: d.Authoritative,
		OfferHold:     d.OfferHold,
		DeclineTime:   d.DeclineTime,
		NextServer:    netip.IPv4Unspecified(),
		Lease: network.LeaseTimes{Times: lease.Times{Default: d.LeaseTime}, Renewal: network.DefaultRenewal,
			Rebinding: network.DefaultRebinding},
	}}
	var list *value
	if root.Kind == yaml.MappingNode {
		list = r.top(root, &top)
	} else {
		list = root.Within("subnets", root.Node)
	}
	if list == nil {
		return nil, r.Err()
	}
	docs := r.subnets(list, &top, d.Peers, classes)
	r.checkUnique(docs)
	r.checkNetworks(docs)
	r.checkClaims(docs)
	compiled := r.compile(docs, &top, d.PeerServerIDs, classes)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return compiled, nil
}

// top reads a document that is a mapping, and returns its list of subnets.
func (r *reader) top(root *value, top *level) (list *value) {
	fields := append(levelFields(), field[level]{"subnets", "list of subnets", "the subnets",
		func(_ *reader, v *value, _ *level) { list = v }})
	before := len(r.Mistakes)
	mapping(r, root, "the document's top", fields, top)
	r.checkRemoved(&top.options)
	if list == nil {
		r.Fail(root, "has no subnets; give a list of them under the key subnets")
	}
	if len(r.Mistakes) == before {
		times := *top // the subnets inherit what is written, without what checkTimes completes
		r.checkTimes(&times)
	}
	top.leaseAt, top.timersAt, top.serverAt = nil, nil, nil
	return list
}

func (r *reader) subnets(list *value, top *level, peers []string, classes *expression.Classes) []subnetDoc {
	items := r.List(list, "subnets")
	if list.Kind == yaml.SequenceNode && len(items) == 0 {
		r.Fail(list, "the list is empty; give at least one subnet")
	}
	fields := subnetFields(peers)
	docs := make([]subnetDoc, 0, len(items))
	for _, item := range items {
		s := subnetDoc{level: *top, at: item}
		s.options, s.classes, s.routing, s.scope, s.marked = optionsDoc{}, classList{}, nil, top.scope.Inner(), nil
		before := len(r.Mistakes)
		if !mapping(r, item, "a subnet", fields, &s) {
			continue
		}
		for i := range s.match {
			r.guard(&s.match[i], top.scope, classes)
		}
		r.checkRemoved(&s.options)
		broken := len(r.Mistakes) > before
		r.checkSubnet(&s)
		if !broken {
			r.checkTimes(&s.level)
		}
		docs = append(docs, s)
	}
	return docs
}

// checkSubnet checks what a subnet must have.
func (r *reader) checkSubnet(s *subnetDoc) {
	if s.id == 0 && s.at.Get("id") == nil {
		r.Fail(s.at, "has no id; give it a number that stays the same")
	}
	if !s.prefix.IsValid() && s.at.Get("subnet") == nil {
		r.Fail(s.at, "has no subnet; give it an IPv4 prefix such as 192.0.2.0/24")
	}
	if s.poolsAt == nil && s.reservations == nil && s.reservationsFile == nil {
		r.Fail(s.at, "has no pools and no reservations; give it pools, or `pools: []` if it shall hand out no address")
	}
	if s.matchAt == nil && s.network == "" {
		r.Fail(s.at, "has no match, so that no query can reach it; give it match entries, "+
			"such as `match: [{prefix: 2001:db8:1::/64}]`, or `match: []` if nothing shall")
	}
	for i, e := range s.exclude {
		if s.prefix.IsValid() && !e.within(prefixSpan(s.prefix)) {
			r.Fail(s.excludeAt[i], "%s is not within the subnet %s", e, s.prefix)
		}
	}
}

// checkNetworks reports networks that no query can reach, and warns of those that have one subnet.
func (r *reader) checkNetworks(docs []subnetDoc) {
	subnets, reached := map[string]int{}, map[string]bool{}
	for i := range docs {
		d := &docs[i]
		subnets[d.network]++
		reached[d.network] = reached[d.network] || d.matchAt != nil
	}
	for i := range docs {
		switch d := &docs[i]; {
		case d.network == "":
		case !reached[d.network]:
			r.Fail(d.networkAt, "no subnet of the network %s has match, so that no query can reach it; "+
				"give one of them match entries", d.network)
			reached[d.network] = true // one report for each network
		case subnets[d.network] == 1:
			r.Warn(d.networkAt, "no other subnet is in the network %s; subnets that share a link give the same name",
				d.network)
		}
	}
}

// checkUnique reports ids, names and subnets that occur twice, and subnets that overlap.
func (r *reader) checkUnique(docs []subnetDoc) {
	lines, named := map[uint32]int{}, map[string]int{}
	var byAddress []*subnetDoc
	for i := range docs {
		s := &docs[i]
		if s.id != 0 {
			if line := lines[s.id]; line != 0 {
				r.Fail(s.at, "the id %d is taken by the subnet in line %d", s.id, line)
			} else {
				lines[s.id] = s.at.Line
			}
		}
		if s.name != "" {
			if line := named[s.name]; line != 0 {
				r.Fail(s.nameAt, "the name %q is taken by the subnet in line %d", s.name, line)
			} else {
				named[s.name] = s.at.Line
			}
		}
		if s.prefix.IsValid() {
			byAddress = append(byAddress, s)
		}
	}
	slices.SortStableFunc(byAddress, func(a, b *subnetDoc) int {
		if c := a.prefix.Addr().Compare(b.prefix.Addr()); c != 0 {
			return c
		}
		return a.prefix.Bits() - b.prefix.Bits()
	})
	for i := 1; i < len(byAddress); i++ {
		outer, s := byAddress[i-1], byAddress[i]
		if !outer.prefix.Overlaps(s.prefix) {
			continue
		}
		r.Fail(s.prefixAt, "%s overlaps the subnet %s in line %d", s.prefix, outer.prefix, outer.prefixAt.Line)
		byAddress[i] = outer // the wider one, which the next may overlap too
	}
}

func (r *reader) compile(docs []subnetDoc, top *level, peerIDs []netip.Addr,
	classes *expression.Classes) *network.Subnets {
	all := make([]network.Subnet, 0, len(docs))
	in := &interner{known: map[string]*option.Set{}}
	global := r.set(&top.options, top.scope)
	top.flex = r.identity(top.flexAt, top.scope)
	if top.limitAt != nil {
		top.LimitBy = r.valueOf(top.limitAt, top.scope)
	}
	asked, named := map[int]bool{}, map[string]bool{}
	for i := range docs {
		d := &docs[i]
		if !d.prefix.IsValid() {
			continue
		}
		r.serverID(d, peerIDs)
		never := append([]netip.Addr{d.ServerID}, peerIDs...)
		if d.limitAt == top.limitAt {
			d.LimitBy = top.LimitBy
		} else {
			d.LimitBy = r.valueOf(d.limitAt, d.scope)
			if d.Limit == 0 {
				r.Warn(d.limitAt, "says what a limit counts by, and the subnet has no limit; give it one")
			}
		}
		s := network.Subnet{ID: d.id, Name: d.name, Prefix: d.prefix, Drain: d.drain, Network: d.network,
			Policy: d.Policy}
		for _, m := range d.match {
			s.Match = append(s.Match, m.Match)
		}
		var mask option.Builder
		mask.Put(dhcp4.OptSubnetMask, maskOctets(d.prefix))
		d.options.routing = d.options.over(top.options.routing)
		r.checkRouting(d.options.routing)
		for _, class := range slices.Concat(top.routing, d.routing) {
			r.checkRouting(class.over(d.options.routing))
		}
		s.Options = in.set(r.set(&d.options, d.scope).Over(global).Over(mask.Set()))
		s.Pools = r.compilePools(d, d.pools, never, in)
		for i := range s.Pools {
			named[s.Pools[i].Name] = true
			for _, number := range s.Pools[i].Only {
				asked[number] = true
			}
		}
		if d.flexAt == top.flexAt {
			d.flex = top.flex
		} else {
			d.flex = r.identity(d.flexAt, d.scope)
		}
		s.Reservations = r.compileReservations(d, top, never, in)
		s.Classes = d.classes.compile(r, asked, d.scope)
		r.checkNames(&d.classes, named)
		all = append(all, s)
	}
	r.checkNames(&top.classes, named)
	compiled := network.NewSubnets(all, classes, top.classes.compile(r, asked, top.scope))
	compiled.Warnings, compiled.Names, compiled.Marked = r.Told(), top.scope, top.marked
	compiled.Files = slices.ContainsFunc(docs, func(d subnetDoc) bool { return d.reservationsFile != nil })
	return compiled
}

// checkNames reports pools that classes name and that do not exist.
func (r *reader) checkNames(l *classList, named map[string]bool) {
	for i := range l.all {
		for _, name := range l.all[i].Pools {
			if !named[name] {
				r.Fail(l.pools[i], "no pool has the name %s; give it to one", name)
			}
		}
	}
}

func maskOctets(p netip.Prefix) []byte {
	return addr4(^uint32(0) << (32 - p.Bits())).AsSlice()
}

// serverID completes and checks the server identifier (RFC 2131 section 4.3.1). It must be the
// address of a host, and none of the peers'.
func (r *reader) serverID(d *subnetDoc, peerIDs []netip.Addr) {
	whole := prefixSpan(d.prefix)
	if !d.ServerID.IsValid() {
		first := whole.first
		if d.prefix.Bits() <= 30 {
			first++
		}
		d.ServerID = addr4(first)
	}
	at := d.serverAt
	if at == nil {
		at = d.at
	}
	n := number4(d.ServerID)
	switch {
	case slices.Contains(peerIDs, d.ServerID):
		r.Fail(at, "the server identifier %s is a peer's (DHCP4D_PEER_SERVER_IDS); each server of a subnet needs its "+
			"own, give server-id", d.ServerID)
	case d.prefix.Bits() <= 30 && (n == whole.first || n == whole.last):
		r.Fail(at, "the server identifier %s is the network's own or the broadcast address of %s", d.ServerID, d.prefix)
	}
}

// interner keeps one copy of equal option sets.
type interner struct {
	known map[string]*option.Set
}

func (in *interner) set(s *option.Set) *option.Set {
	if s == nil {
		return nil
	}
	key := s.Key()
	if known := in.known[key]; known != nil {
		return known
	}
	in.known[key] = s
	return s
}

func showSeconds(n uint32) string {
	switch {
	case n == lease.Infinite:
		return "infinite"
	case n%86400 == 0:
		return strconv.Itoa(int(n/86400)) + "d"
	case n%3600 == 0:
		return strconv.Itoa(int(n/3600)) + "h"
	case n%60 == 0:
		return strconv.Itoa(int(n/60)) + "m"
	}
	return strings.TrimSpace(fmt.Sprint(n) + "s")
}
