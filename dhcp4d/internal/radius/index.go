package radius

import (
	"net/netip"
	"strconv"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// session is a session that has begun: a client, and the address that it has.
type session struct {
	client

	address netip.Addr
	id      string // Acct-Session-Id

	next, before [len(names{})]*session // of those with the same name
}

// names are User-Name, NAS-Port-Id and Calling-Station-Id, by which a Disconnect-Request may name a
// session. Empty ones say nothing.
type names [3]string

func (s *session) names() names { return names{s.user, s.port, s.mac} }

// sessions are the sessions that have begun. A session is found without a look at the others.
type sessions struct {
	at     map[netip.Addr]*session
	called [len(names{})]map[string]*session // the latest of those with a name
}

func newSessions() *sessions {
	s := &sessions{at: map[netip.Addr]*session{}}
	for i := range s.called {
		s.called[i] = map[string]*session{}
	}
	return s
}

// put adds a session, in the place of another one of its address.
func (ss *sessions) put(s session) {
	ss.remove(s.address)
	ss.at[s.address] = &s
	for i, name := range s.names() {
		if s.next[i] = ss.called[i][name]; s.next[i] != nil {
			s.next[i].before[i] = &s
		}
		ss.called[i][name] = &s
	}
}

// remove removes the session of an address, if there is one.
func (ss *sessions) remove(a netip.Addr) {
	s := ss.at[a]
	if s == nil {
		return
	}
	delete(ss.at, a)
	for i, name := range s.names() {
		if s.next[i] != nil {
			s.next[i].before[i] = s.before[i]
		}
		switch {
		case s.before[i] != nil:
			s.before[i].next[i] = s.next[i]
		case s.next[i] != nil:
			ss.called[i][name] = s.next[i]
		default:
			delete(ss.called[i], name)
		}
	}
}

// entries returns what is kept of all sessions.
func (ss *sessions) entries() []entry {
	all := make([]entry, 0, len(ss.at))
	for _, s := range ss.at {
		all = append(all, s.entry())
	}
	return all
}

// wanted is what a Disconnect-Request says of its session. Zero values say nothing.
type wanted struct {
	names

	address netip.Addr
	id      string
}

func (w *wanted) fits(s *session) bool {
	for i, name := range s.names() {
		if w.names[i] != "" && w.names[i] != name {
			return false
		}
	}
	return (w.id == "" || w.id == s.id) && (!w.address.IsValid() || w.address == s.address)
}

// alike is how many sessions with one name are looked at, when a request has several names and no
// address.
const alike = 100

// find returns the session that a request names, nil if there is none. It returns true if there may
// be several: two that fit, or more than [alike] that have each of the names.
func (ss *sessions) find(w *wanted) (found *session, several bool) {
	if a, ok := addressOf(w.id); ok && !w.address.IsValid() {
		w.address = a
	}
	if w.address.IsValid() || w.id != "" {
		if s := ss.at[w.address]; s != nil && w.fits(s) {
			return s, false
		}
		return nil, false
	}
	// One step in the list of each name at a time, so that the shortest one ends the search.
	var lists [len(names{})]*session
	for i, name := range w.names {
		if name == "" {
			continue
		}
		if lists[i] = ss.called[i][name]; lists[i] == nil {
			return nil, false
		}
	}
	for range alike {
		for i, s := range lists {
			budget.Spend(1)
			if s == nil {
				continue
			}
			if s != found && w.fits(s) {
				if found != nil {
					return nil, true
				}
				found = s
			}
			if lists[i] = s.next[i]; lists[i] == nil {
				return found, false
			}
		}
	}
	return nil, true
}

// addressOf returns the address in what [sessionOf] has made.
func addressOf(id string) (a netip.Addr, ok bool) {
	if len(id) < 9 || id[8] != '-' {
		return a, false
	}
	n, err := strconv.ParseUint(id[:8], 16, 32)
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}), err == nil
}
