package postgres

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// TestDB_1_BehindPgBouncer has two processes use the database through PgBouncer in session mode,
// which is ended and started again meanwhile.
func TestDB_1_BehindPgBouncer(t *testing.T) {
	program, err := exec.LookPath("pgbouncer")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			skip.Test(t, "pgbouncer is not installed")
		}
	}
	s := migrated(t)
	url, restart := bouncer(t, s, program)
	a, b := openDatabase(t, url), openDatabase(t, url)
	defer a.Close()
	defer b.Close()
	storetest.Contents(t, b)
	r := rand.New(rand.NewPCG(9, 9))
	twin := newJudge()
	for i := range 6 {
		committed(t, a, twin, some(r, 9))
		committed(t, b, twin, some(r, 9))
		if _, err := b.Foreign(nil); err != nil && i != 3 {
			t.Error(err)
		}
		if i == 2 {
			restart()
		}
	}
	sameAs(t, a, twin)
	for _, c := range Check(t.Context(), url) {
		if c.Err != nil {
			t.Errorf("%s: %v", c.What, c.Err)
		}
	}
}

// bouncer starts PgBouncer for a server, and returns the URL of the database through it.
func bouncer(t *testing.T, s *postgrestest.Server, program string) (url string, restart func()) {
	t.Helper()
	dir := s.Dir() // a directory that the server's user may use
	config := fmt.Sprintf("[databases]\npostgres = host=%s user=dhcp4d\n[pgbouncer]\npool_mode = session\nauth_type = any\nlisten_port = 6432\nlisten_addr =\nunix_socket_dir = %s\npidfile =\n",
		s.Dir(), dir)
	name := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	var running *exec.Cmd
	var said bytes.Buffer
	end := func() {
		_ = running.Process.Kill()
		_ = running.Wait()
		_ = os.Remove(filepath.Join(dir, ".s.PGSQL.6432"))
	}
	start := func() {
		running = s.Unprivileged(program, name)
		running.Stderr = &said
		if err := running.Start(); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); ; time.Sleep(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, ".s.PGSQL.6432")); err == nil {
				return
			}
			if time.Since(began) > time.Minute {
				end()
				t.Fatalf("PgBouncer takes no connections:\n%s", said.String())
			}
		}
	}
	start()
	t.Cleanup(func() { end() })
	return fmt.Sprintf("postgres://dhcp4d@/postgres?host=%s&port=6432", dir), func() { end(); start() }
}
