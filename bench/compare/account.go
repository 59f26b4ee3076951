package compare

import "strings"

// account is what both halves have used, and what they have counted.
type account struct {
	six, four       usage
	database        usage              // of PostgreSQL, if it runs here
	commits, writes float64            // of dhcp4d
	allocs          float64            // objects, of both
	scrape          float64            // objects that collecting all this takes
	drops           map[string]float64 // by series, of both
}

// accountBefore asks our daemons twice and then the kernel; accountAfter does it in the opposite
// order. So the time and the allocations for these questions are not part of a run.
func (s *subject) accountBefore() (a account, err error) {
	first, err := s.counted()
	if err != nil {
		return a, err
	}
	if a, err = s.counted(); err != nil {
		return a, err
	}
	a.scrape = a.allocs - first.allocs
	return a, s.used(&a)
}

func (s *subject) accountAfter() (account, error) {
	var u account
	if err := s.used(&u); err != nil {
		return u, err
	}
	a, err := s.counted()
	a.six, a.four, a.database = u.six, u.four, u.database
	return a, err
}

func (s *subject) counted() (a account, err error) {
	a.drops = make(map[string]float64)
	for _, h := range s.halves {
		m, err := h.Metrics()
		if err != nil {
			return a, err
		}
		a.commits += m["dhcp4d_store_commit_seconds_count"]
		a.writes += m["dhcp4d_store_wal_records_total"]
		a.allocs += m["go_memstats_mallocs_total"]
		for series, n := range m {
			if name, _, _ := strings.Cut(series, "{"); strings.HasSuffix(name, "_dropped_total") ||
				strings.HasSuffix(name, "_drops_total") {
				a.drops[series] = n
			}
		}
	}
	return a, nil
}

func (s *subject) used(a *account) error {
	var err error
	if a.six, err = use(s.six.PID()); err != nil {
		return err
	}
	for _, four := range s.fours {
		u, err := use(four.PID())
		if err != nil {
			return err
		}
		a.four = a.four.plus(u)
	}
	if s.postmaster != 0 {
		a.database, err = useWithChildren(s.postmaster)
	}
	return err
}
