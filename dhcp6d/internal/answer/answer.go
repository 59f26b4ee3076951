// Package answer is dhcp6d's own DHCPv6: which messages of RFC 9915 a server may take, and the
// Reply to an Information-request.
//
// It owns the server's DUID and the options that are offered. It assigns no addresses: Solicit and
// the like are for another server. It sends nothing: it takes a parsed packet and appends the bytes
// of the answer.
package answer

import (
	"bytes"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Server validates and answers. It never changes, so goroutines may share it.
type Server struct {
	duid   []byte
	offers []offer // ascending by code
	only   bool    // see Options.OnlyServer
	// supply is the set of those offers that are supplied to other servers.
	supply uint64
	// beside is the set of those that also stand beside a DHCPv4 message.
	beside uint64
}

// New makes a server of valid options and a DUID as [DUID] returns it.
func New(duid []byte, o Options) *Server {
	s := &Server{duid: bytes.Clone(duid), offers: o.encode(), only: o.OnlyServer}
	for i, f := range s.offers {
		if slices.Contains(o.Supply, uint16(f.code)) {
			s.supply |= 1 << i
		}
		if ipc.IsBeside(f.code) {
			s.beside |= 1 << i
		}
	}
	return s
}

// DUID returns the server's identity, which the caller must not change.
func (s *Server) DUID() []byte { return s.duid }

// Additions are options that some clients are offered beside those of a Server, and before options
// of that with the same codes. They never change.
type Additions struct {
	offers []offer // ascending by code
	supply uint64  // as in Server
	beside uint64  // likewise
}

// NewAdditions returns the additions of options that [Options.Check] would take. supply is as in
// [Options].
func NewAdditions(options []Option, supply []uint16) *Additions {
	s := New(nil, Options{Others: options, Supply: supply})
	return &Additions{s.offers, s.supply, s.beside}
}

// Supplies reports whether some of them go to other servers.
func (a *Additions) Supplies() bool { return a.supply != 0 }

// Beside reports whether some of them stand beside a DHCPv4 message.
func (a *Additions) Beside() bool { return a.beside != 0 }

// AppendBeside appends the options that a query's response is to have beside its DHCPv4 message: of
// those of RFC 8539 that are offered, what the client asks for. more may be nil.
func (s *Server) AppendBeside(dst []byte, query *dhcp6.Message, more *Additions) []byte {
	if s.beside == 0 && (more == nil || more.beside == 0) {
		return dst
	}
	w := s.requested(query, more)
	w.own &= s.beside
	if more != nil {
		w.more &= more.beside
	}
	return s.appendOffers(dst, w, more, nil)
}

// AppendSupplied appends the Relay-Supplied Options option (RFC 6422 section 4) for a message that
// another server answers: of what is supplied, what the client asks for. It appends nothing if that
// is nothing. Servers put these options into their answers whether or not the client asks. more may
// be nil.
func (s *Server) AppendSupplied(dst []byte, m *dhcp6.Message, more *Additions) []byte {
	if s.supply == 0 && (more == nil || more.supply == 0) {
		return dst
	}
	w := s.requested(m, more)
	w.own &= s.supply
	if more != nil {
		w.more &= more.supply
	}
	if w.own|w.more == 0 {
		return dst
	}
	dst, mark := dhcp6.BeginOption(dst, dhcp6.OptRSOO)
	dst = s.appendOffers(dst, w, more, nil)
	_ = dhcp6.EndOption(dst, mark) // fits: Check bounds all options together
	return dst
}

// Validate checks a message, also a DHCPV4-QUERY, against the rules of RFC 9915 section 16 for its
// type. Local is the destination address of the datagram. Validate does not look at the DHCPv4
// message that a query carries.
func (s *Server) Validate(p *dhcp6.Packet, local netip.Addr) drop.Reason {
	m := p.Message()
	switch m.Type() {
	case dhcp6.Solicit, dhcp6.Request, dhcp6.Confirm, dhcp6.Renew, dhcp6.Rebind, dhcp6.Release, dhcp6.Decline:
		return drop.AddressAssignment
	case dhcp6.Advertise, dhcp6.Reply, dhcp6.Reconfigure, dhcp6.RelayReply, dhcp6.DHCPv4Response:
		return drop.ServerMessage // sections 16.3, 16.10, 16.11 and 16.14; RFC 7341 section 6.1
	case dhcp6.InformationRequest:
		if p.Relays() == 0 && !local.IsMulticast() {
			return drop.UnicastForbidden // section 16; RFC 7341 does not say so of its query
		}
		if why := s.identifiers(m); why != drop.None {
			return why
		}
		return informationRequest(m)
	case dhcp6.DHCPv4Query:
		return drop.None // its options beside the DHCPv4 message mean nothing
	}
	return drop.UnknownType
}

// identifiers checks those of an Information-request: a client identifier
// may be there, a server identifier only if it is ours, either once.
func (s *Server) identifiers(m *dhcp6.Message) drop.Reason {
	if id, ok := m.Option(dhcp6.OptClientID); ok &&
		(m.Count(dhcp6.OptClientID) > 1 || len(id) < minDUID || len(id) > maxDUID) {
		return drop.Identifier
	}
	id, ok := m.Option(dhcp6.OptServerID)
	switch {
	case !ok:
		return drop.None
	case m.Count(dhcp6.OptServerID) > 1 || len(id) < minDUID || len(id) > maxDUID:
		return drop.Identifier
	case !bytes.Equal(id, s.duid):
		return drop.ForeignServer
	}
	return drop.None
}

// informationRequest checks an Information-request against RFC 9915 sections 16.12 and 21.7.
func informationRequest(m *dhcp6.Message) drop.Reason {
	for code := range dhcp6.Options(m.Options()) {
		switch code {
		case dhcp6.OptIANA, dhcp6.OptIATA, dhcp6.OptIAPD:
			return drop.ForbiddenOption
		}
	}
	if oro, _ := m.Option(dhcp6.OptORO); len(oro)%2 != 0 {
		return drop.Malformed
	}
	return drop.None
}

// Append appends the answer to a message that Validate has passed: the Reply to an
// Information-request (RFC 9915 section 18.3.6), inside Relay-reply levels where the message was
// relayed. It appends nothing where another server may have what the client asks for and we have
// not: a Reply without content would keep the client from that server. more may be nil.
func (s *Server) Append(dst []byte, p *dhcp6.Packet, more *Additions) ([]byte, drop.Reason) {
	w := s.requested(p.Message(), more)
	if !w.useful && !s.only {
		return dst, drop.None
	}
	return s.append(dst, p, w, more, nil)
}

// AppendOver appends the same Reply with other options, or further ones.
func (s *Server) AppendOver(dst []byte, p *dhcp6.Packet, more *Additions, over *dhcp6.Overrides) ([]byte, drop.Reason) {
	return s.append(dst, p, s.requested(p.Message(), more), more, over)
}

func (s *Server) append(dst []byte, p *dhcp6.Packet, w wanted, more *Additions,
	over *dhcp6.Overrides) ([]byte, drop.Reason) {
	m := p.Message()
	dst, chain := dhcp6.BeginReply(dst, p)
	dst = dhcp6.AppendMessage(dst, dhcp6.Reply, m.TransactionID())
	if id, ok := m.Option(dhcp6.OptClientID); ok {
		dst = dhcp6.AppendOption(dst, dhcp6.OptClientID, id)
	}
	dst = dhcp6.AppendOption(dst, dhcp6.OptServerID, s.duid)
	return chain.End(over.Append(s.appendOffers(dst, w, more, over)))
}

// appendOffers appends the options of a set, ascending by code, without those that over has.
func (s *Server) appendOffers(dst []byte, w wanted, more *Additions, over *dhcp6.Overrides) []byte {
	for w.own|w.more != 0 {
		i, j := bits.TrailingZeros64(w.own), bits.TrailingZeros64(w.more)
		var next *offer
		if w.more == 0 || (w.own != 0 && s.offers[i].code < more.offers[j].code) {
			next, w.own = &s.offers[i], w.own&(w.own-1)
		} else {
			next, w.more = &more.offers[j], w.more&(w.more-1)
		}
		budget.Spend(len(next.bytes))
		if !over.Has(next.code) {
			dst = append(dst, next.bytes...)
		}
	}
	return dst
}

// wanted is what a client asks for and gets: sets of our offers, and of the additions.
type wanted struct {
	own, more uint64
	useful    bool // see requested
}

// requested returns the set of our offers that the client's first Option Request lists. Codes that
// do not belong there are in no offer and so skipped (section 21.7). It is not useful to the client
// if it is empty, or if the client asks for content and we have none of it.
func (s *Server) requested(m *dhcp6.Message, more *Additions) (w wanted) {
	oro, _ := m.Option(dhcp6.OptORO)
	wants, gets := false, false
	for ; len(oro) >= 2; oro = oro[2:] {
		budget.Spend(1)
		code := dhcp6.Code(oro[0])<<8 | dhcp6.Code(oro[1])
		found := false
		if more != nil {
			var i int
			if i, found = find(more.offers, code); found {
				w.more |= 1 << i
			}
		}
		if !found {
			var i int
			if i, found = find(s.offers, code); found {
				w.own |= 1 << i
			}
		}
		if !about(code) {
			wants, gets = true, gets || found
		}
	}
	w.useful = w.own|w.more != 0 && (gets || !wants)
	return w
}

// find returns which offer has a code.
func find(offers []offer, code dhcp6.Code) (int, bool) {
	return slices.BinarySearchFunc(offers, code, func(f offer, c dhcp6.Code) int { return int(f.code) - int(c) })
}
