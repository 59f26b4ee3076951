package backend

import "time"

// Status is the state of a backend, for people.
type Status struct {
	Name, Address string // Address is empty if the name of the host is not resolved yet
	Kea           bool
	Health        Health
	Why, Remedy   string // empty if it is up
	Timeouts      uint64 // queries without an answer; some have none by the rules
}

// Status returns the state of each backend, in the order of the configuration.
func (s *Set) Status() (all []Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.since(time.Now())
	for _, m := range s.members {
		one := Status{Name: m.Name, Kea: m.Kea, Health: m.health.get(), Timeouts: m.series.timeouts.Load()}
		switch {
		case !m.addr.IsValid():
			one.Why, one.Remedy = "its name stands for no address", "correct the name, or the resolver of this host"
		case one.Health == Unable:
			one.Why, one.Remedy = s.explain(m, unable)
		case one.Health == Down || (one.Health == Unheard && !m.Kea):
			one.Why, one.Remedy = s.explain(m, s.troubleLocked(m, at))
		}
		if m.addr.IsValid() {
			one.Address = m.addr.String()
		}
		all = append(all, one)
	}
	return all
}
