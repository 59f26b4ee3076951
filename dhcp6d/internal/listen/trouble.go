package listen

import "time"

// Trouble is why clients on an interface get no answer.
type Trouble uint8

// The troubles, in the order of the checks. The first that is found explains the others.
const (
	NoTrouble   Trouble = iota
	Missing             // a name that no interface has
	Port                // a port of a bridge, bond or team: the kernel hands its packets to that
	Down                // administratively, or without a carrier
	NoIPv6              // its MTU is too small, or IPv6 is switched off there
	NoLinkLocal         // it has no link-local address to answer clients from
	NotJoined           // the socket is in none of the groups that clients send to
)

// String returns what is wrong and what to do, for the log and /readyz.
func (t Trouble) String() string {
	switch t {
	case NoTrouble:
		return "ok"
	case Missing:
		return "it does not exist"
	case Port:
		return "it is a port of a bridge, bond or team: serve that instead"
	case Down:
		return "it is down or has no carrier"
	case NoIPv6:
		return "it has no IPv6: its MTU is below 1280, or IPv6 is disabled"
	case NoLinkLocal:
		return "it has no link-local address"
	case NotJoined:
		return "its multicast groups could not be joined"
	}
	return "unknown"
}

// Status is the state of an interface that is to be served.
type Status struct {
	Name    string
	Trouble Trouble
}

// settle is how long a trouble must last before it is logged. Duplicate address detection keeps
// a link-local address back for one or two seconds after an interface comes up (RFC 4862).
const settle = 3 * time.Second

// trouble returns what is wrong with an interface. joined says whether the socket has its groups.
func (s *device) trouble(joined bool) Trouble {
	switch {
	case s.port:
		return Port
	case !s.Up:
		return Down
	case !s.ipv6():
		return NoIPv6
	case !s.loopback && !s.linkLocal():
		return NoLinkLocal
	case !joined:
		return NotJoined
	}
	return NoTrouble
}

// linkLocal reports whether the interface has a link-local address that is in use.
func (s *device) linkLocal() bool {
	for _, a := range s.Addresses {
		if a.IsLinkLocalUnicast() {
			return true
		}
	}
	return false
}

// watch remembers since when interfaces are in trouble, and what was logged of it.
type watch struct {
	troubled map[string]*since
}

type since struct {
	Status
	at     time.Time
	logged bool
}

// update notes the state of all interfaces at the time now. It returns the troubles to log, the
// interfaces whose logged trouble has ended, and when a trouble will have lasted long enough to be
// logged. The zero time means that there is none to wait for.
func (w *watch) update(all []Status, now time.Time) (begun, ended []Status, next time.Time) {
	troubled := make(map[string]*since)
	for _, s := range all {
		if s.Trouble == NoTrouble {
			continue
		}
		known := w.troubled[s.Name]
		if known == nil || known.Trouble != s.Trouble {
			known = &since{Status: s, at: now, logged: false}
		}
		troubled[s.Name] = known
		due := known.at.Add(settle)
		switch {
		case known.logged:
		case !now.Before(due):
			known.logged = true
			begun = append(begun, s)
		case next.IsZero() || due.Before(next):
			next = due
		}
	}
	for _, s := range all {
		if known := w.troubled[s.Name]; s.Trouble == NoTrouble && known != nil && known.logged {
			ended = append(ended, s)
		}
	}
	w.troubled = troubled
	return begun, ended, next
}
