package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// TestDB_6_StandbysAreCounted counts the standby of a server for users of different privileges.
func TestDB_6_StandbysAreCounted(t *testing.T) {
	s := migrated(t)
	s.Query(t, `CREATE ROLE least LOGIN; CREATE ROLE monitor LOGIN;
		GRANT USAGE ON SCHEMA dhcp4d TO least, monitor;
		GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA dhcp4d TO least, monitor;
		GRANT pg_read_all_stats TO monitor;`)
	users := []string{"dhcp4d", "least", "monitor"} // the first is a superuser
	stores := make(map[string]*Store)
	for _, user := range users {
		stores[user] = openDatabase(t, strings.Replace(s.URL(), "dhcp4d@", user+"@", 1))
		defer stores[user].Close()
	}
	counted := func(what string, want map[string]store.Standbys) {
		t.Helper()
		for _, user := range users {
			p := stores[user]
			for began := time.Now(); ; time.Sleep(50 * time.Millisecond) { // the server may take a moment
				p.side.counted = time.Time{}
				if err := p.Check(); err != nil {
					t.Fatal(err)
				}
				if p.Stats().Standbys == want[user] {
					break
				}
				if time.Since(began) > 30*time.Second {
					t.Fatalf("%s: %s sees %+v, want %+v", what, user, p.Stats().Standbys, want[user])
				}
			}
		}
	}
	all := func(n store.Standbys) map[string]store.Standbys {
		return map[string]store.Standbys{"dhcp4d": n, "least": n, "monitor": n}
	}
	counted("no standby", all(store.Standbys{}))
	standby := s.Standby(t)
	counted("nobody waits for it", all(store.Standbys{Asynchronous: 1}))
	follow(t, s, "*")
	counted("commits wait for it", map[string]store.Standbys{"dhcp4d": {Synchronous: 1}, "monitor": {Synchronous: 1}, "least": {Unknown: 1}})
	follow(t, s, "")
	standby.Kill(t)
	counted("it is gone", all(store.Standbys{}))
}
