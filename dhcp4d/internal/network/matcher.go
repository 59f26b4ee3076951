package network

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/gaissmai/bart"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// candidate is a match entry that may claim a query: its position, and its rank.
type candidate struct {
	subnet, entry int32
	rank          rank
}

// rank orders match entries: the greatest that fits decides. From the highest bits: the step, the
// length of link-address, one bit each for interface-id, remote-id and subscriber-id, the length of
// prefix, one bit each for peer, interface and class. Lengths count from 1, and 0 means that the
// key is absent. The rank also identifies the shape of an entry: entries of equal rank have the
// same keys, of the same lengths. No entry has rank 0.
type rank uint32

const (
	rankClass      = 1 << 0
	rankInterface  = 1 << 1
	rankPeer       = 1 << 2
	rankPrefix     = 3 // shift, 8 bits
	rankSubscriber = 1 << 11
	rankRemote     = 1 << 12
	rankInterID    = 1 << 13
	rankLink       = 14 // shift, 8 bits
	rankStep       = 22 // shift

	rankIDs = rankSubscriber | rankRemote | rankInterID
)

func (r rank) step() Step { return Kind + 1 - Step(r>>rankStep) }

// linkBits and prefixBits return the length of a prefix, -1 if there is none.
func (r rank) linkBits() int   { return int(r>>rankLink&0xff) - 1 }
func (r rank) prefixBits() int { return int(r>>rankPrefix&0xff) - 1 }

func rankOf(m *Match) rank {
	var r rank
	set := func(given bool, bit rank) {
		if given {
			r |= bit
		}
	}
	set(m.Class != "", rankClass)
	set(m.Interface != "", rankInterface)
	set(m.Peer != "", rankPeer)
	set(m.SubscriberID != nil, rankSubscriber)
	set(m.RemoteID != nil, rankRemote)
	set(m.InterfaceID != nil, rankInterID)
	if m.Prefix.IsValid() {
		r |= rank(m.Prefix.Bits()+1) << rankPrefix
	}
	if m.LinkAddress.IsValid() {
		r |= rank(m.LinkAddress.Bits()+1) << rankLink
	}
	step := Interface
	switch ids, link := r&rankIDs != 0, r.linkBits() >= 0; {
	case ids && (link || r&rankPeer != 0):
		step = LinkAndID
	case link:
		step = Link
	case ids:
		step = ID
	case r.prefixBits() >= 0:
		step = Source
	case r&(rankPeer|rankInterface) == 0:
		step = Kind
	}
	return r | rank(Kind+1-step)<<rankStep
}

// matcher finds the match entry of the greatest rank that fits. Entries whose only key is a prefix,
// which is usual, are in a table of longest prefixes. The others are in one map for each rank in
// use, by the octets of their keys. So the number of maps depends on the kinds of entries and the
// lengths of prefixes in use, not on the number of entries. Entries with a class are tried one
// after the other, as long as their rank may decide.
type matcher struct {
	link    bart.Table[candidate]
	source  bart.Table[candidate]
	shapes  []shape   // by descending rank
	classes []guarded // likewise, those of one rank in the order of the document

	// onLink: an interface by itself counts for direct queries only if their source is link-local.
	// Other queries may come from anywhere through routers.
	onLink bool
}

// guarded is an entry with a class.
type guarded struct {
	entry *Match
	candidate
}

type shape struct {
	rank    rank
	entries map[string]candidate
}

func (m *matcher) empty() bool {
	return len(m.shapes) == 0 && len(m.classes) == 0 && m.link.Size() == 0 && m.source.Size() == 0
}

func (m *matcher) add(entry *Match, at candidate) {
	at.rank = rankOf(entry)
	if entry.Class != "" {
		m.classes = append(m.classes, guarded{entry, at})
		return
	}
	const low = 1<<rankStep - 1
	switch at.rank & low {
	case rank(entry.LinkAddress.Bits()+1) << rankLink:
		m.link.Insert(entry.LinkAddress, at)
		return
	case rank(entry.Prefix.Bits()+1) << rankPrefix:
		m.source.Insert(entry.Prefix, at)
		return
	}
	i := slices.IndexFunc(m.shapes, func(s shape) bool { return s.rank == at.rank })
	if i < 0 {
		i = len(m.shapes)
		m.shapes = append(m.shapes, shape{at.rank, map[string]candidate{}})
	}
	key := appendKey(nil, at.rank, &Facts{
		LinkAddress:  entry.LinkAddress.Addr(),
		InterfaceID:  entry.InterfaceID,
		RemoteID:     entry.RemoteID,
		SubscriberID: entry.SubscriberID,
		Source:       entry.Prefix.Addr(),
		Interface:    []byte(entry.Interface),
		Peer:         entry.Peer,
	})
	m.shapes[i].entries[string(key)] = at
}

func (m *matcher) sort() {
	slices.SortStableFunc(m.classes, func(a, b guarded) int { return int(b.candidate.rank) - int(a.candidate.rank) })
	slices.SortFunc(m.shapes, func(a, b shape) int { return int(b.rank) - int(a.rank) })
}

// find returns the entry that decides. Its rank is 0 if none fits.
func (m *matcher) find(f *Facts, scratch *[maxKey]byte) candidate {
	best := m.findPlain(f, scratch)
	for i := range m.classes {
		g := &m.classes[i]
		if g.candidate.rank < best.rank {
			break
		}
		if !(m.onLink && g.candidate.rank.aloneBy(f)) && misfit(g.entry, f) == "" {
			return g.candidate
		}
	}
	return best
}

// findPlain is find among the entries without a class.
func (m *matcher) findPlain(f *Facts, scratch *[maxKey]byte) candidate {
	var best candidate
	if f.LinkAddress.IsValid() {
		best, _ = m.link.Lookup(f.LinkAddress)
	}
	if best.rank == 0 && f.Source.IsValid() {
		best, _ = m.source.Lookup(f.Source.WithZone(""))
	}
	have := f.keys()
	for i := range m.shapes {
		s := &m.shapes[i]
		if s.rank < best.rank {
			break
		}
		if !s.rank.answeredBy(have, f) || (m.onLink && s.rank.aloneBy(f)) {
			continue
		}
		if at, ok := s.entries[string(appendKey(scratch[:0], s.rank, f))]; ok {
			return at
		}
	}
	return best
}

// keys returns the bits of the keys for which there are facts. A fact longer than that of any entry
// does not count.
func (f *Facts) keys() rank {
	var have rank
	set := func(given bool, n int, bit rank) {
		if given && n <= octets.Max {
			have |= bit
		}
	}
	set(f.InterfaceID != nil, len(f.InterfaceID), rankInterID)
	set(f.RemoteID != nil, len(f.RemoteID), rankRemote)
	set(f.SubscriberID != nil, len(f.SubscriberID), rankSubscriber)
	set(f.Peer != "", len(f.Peer), rankPeer)
	set(len(f.Interface) > 0, len(f.Interface), rankInterface)
	return have
}

// answeredBy reports whether there are facts for all keys of the rank.
func (r rank) answeredBy(have rank, f *Facts) bool {
	return r&(rankIDs|rankPeer|rankInterface)&^have == 0 &&
		(r.linkBits() < 0 || f.LinkAddress.Is6()) && (r.prefixBits() < 0 || f.Source.Is6())
}

// aloneBy reports whether the interface is the only key of the rank, and the query may have come
// there through routers.
func (r rank) aloneBy(f *Facts) bool {
	return r.step() == Interface && r&rankInterface != 0 && !f.Relayed && !f.Source.IsLinkLocalUnicast()
}

// maxKey is the longest key: two addresses, five texts with their lengths.
const maxKey = 2*16 + 5*(2+octets.Max)

// appendKey appends the octets of the facts for the keys of a rank.
func appendKey(b []byte, r rank, f *Facts) []byte {
	b = appendPrefix(b, f.LinkAddress, r.linkBits())
	b = appendPrefix(b, f.Source, r.prefixBits())
	if r&rankInterID != 0 {
		b = appendText(b, f.InterfaceID)
	}
	if r&rankRemote != 0 {
		b = appendText(b, f.RemoteID)
	}
	if r&rankSubscriber != 0 {
		b = appendText(b, f.SubscriberID)
	}
	if r&rankPeer != 0 {
		b = appendText(b, f.Peer)
	}
	if r&rankInterface != 0 {
		b = appendText(b, f.Interface)
	}
	return b
}

func appendPrefix(b []byte, a netip.Addr, bits int) []byte {
	if bits < 0 {
		return b
	}
	p, _ := a.Prefix(bits) // an IPv6 address, and 0 to 128 bits
	masked := p.Addr().As16()
	return append(b, masked[:]...)
}

func appendText[T string | []byte](b []byte, s T) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
