package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/postgres/pgtest"
)

// twinURL is the URL of a server of package pgtest.
const twinURL = "postgres://dhcp4d@/dhcp4d?host=/pgtest&sslmode=disable"

// A numbered source makes names for processes: 1, 2 and so on.
type numbered struct{ n byte }

func (r *numbered) Read(b []byte) (int, error) {
	clear(b)
	r.n++
	b[len(b)-1] = 2 * r.n // newWriter halves it
	return len(b), nil
}

// openTwin opens a store in a server in memory.
func openTwin(t *testing.T, s *pgtest.Server, names io.Reader) *Store {
	t.Helper()
	d := &pgtest.Dialer{By: "a process", Server: s}
	p, err := OpenIn(Outside{Dial: d.Dial, Random: names}, twinURL, slog.New(slog.DiscardHandler), clock.New(clocktest.NewRunning()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// calmly is the fate of a server and a network without faults.
type calmly struct{}

func (calmly) Message(pgtest.Message) pgtest.Way {
	return pgtest.Way{Delay: 100 * time.Microsecond, Cut: -1}
}
func (calmly) Step(pgtest.Step) pgtest.Outcome { return pgtest.Outcome{} }

// TestDB_1_TheTwinDoesWhatPostgreSQLDoes makes the same random commits in PostgreSQL and in its
// twin in memory. Both must refuse the same records, tell other processes the same, and hold the
// same rows. STORE_TWINS is the number of runs.
func TestDB_1_TheTwinDoesWhatPostgreSQLDoes(t *testing.T) {
	s := migrated(t)
	first := rand.Uint64()
	for seed := first; seed < first+uint64(number(t, "STORE_TWINS", 3)); seed++ {
		s.Query(t, "TRUNCATE dhcp4d.lease, dhcp4d.process, dhcp4d.change; DELETE FROM dhcp4d.meta WHERE k IN ('clock', 'repaired')")
		want := play(t, seed, func() *Store { return openDatabase(t, s.URL()) })
		var got []string
		synctest.Test(t, func(t *testing.T) {
			twin, names := pgtest.New(calmly{}, time.Now), new(numbered)
			got = play(t, seed, func() *Store { return openTwin(t, twin, names) })
			if err := twin.Err(); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Minute) // until all goroutines of pgx have ended
		})
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Fatalf("seed %d, line %d of %d and %d: the twin says\n%s, PostgreSQL\n%s", seed, i, len(got), len(want),
					strings.Join(got[i:min(i+1, len(got))], ""), strings.Join(want[i:min(i+1, len(want))], ""))
			}
		}
	}
}

// play has three processes do what a seed says, and returns what came of it. Times are relative to
// the present, and processes have their order in place of their random names.
func play(t *testing.T, seed uint64, open func() *Store) (lines []string) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	base := lease.Time(time.Now().Unix())
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	shown := func(b lease.Binding) string {
		for _, at := range []*lease.Time{&b.Start, &b.Changed, &b.Expires} {
			if *at != lease.Never && *at != 0 {
				*at -= base
			}
		}
		return fmt.Sprintf("%+v", b)
	}
	all := []*Store{open(), open(), open()}
	for _, p := range all {
		if _, err := p.Load(func(*lease.Binding) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	for step := range 60 {
		i := r.IntN(len(all))
		p := all[i]
		switch kind := r.IntN(12); kind {
		case 0:
			err := p.Reopen()
			say("%d: %d reopens: %v", step, i, err)
		case 1:
			say("%d: %d checks: %v, share %v", step, i, p.Check(), p.Share().Of)
		case 2: // a number that is wrong
			p.group.fill(someOf(r, base, 2))
			_, err := p.attempt(p.mine.wseq+int64(r.IntN(2))*2, &p.group)
			say("%d: %d commits under a wrong number: %v", step, i, errors.Is(err, errNotHeld))
		case 3:
			records := someOf(r, base, 1+r.IntN(8))
			n, err := p.Heal(func(take func(*lease.Binding) error) error {
				for _, b := range oneOfEach(records) {
					if err := take(b); err != nil {
						return err
					}
				}
				return nil
			})
			say("%d: %d puts back %d: %v, must recover %v", step, i, n, err, p.MustRecover())
		case 4, 5, 6:
			found, err := p.Foreign([]lease.ID{{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(12))})}})
			var heard []string
			for j := range found {
				heard = append(heard, shown(clone(&found[j])))
			}
			slices.Sort(heard)
			say("%d: %d hears %v: %v", step, i, heard, err)
		default:
			refused, err := p.Commit(someOf(r, base, 1+r.IntN(10)))
			say("%d: %d commits: %v", step, i, err)
			for _, f := range refused {
				say("%d: refused %d for %s", step, f.Record, shown(f.Holder))
			}
		}
	}
	if err := all[0].KeepClockMark(clock.Mark{Boot: "b"}); err != nil {
		t.Fatal(err)
	}
	mark, err := all[1].ClockMark()
	mark.Store = ""
	say("mark %+v, %v", mark, err)
	var rows []string
	if _, err := all[2].Load(func(b *lease.Binding) error { rows = append(rows, shown(clone(b))); return nil }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(rows)
	lines = append(lines, rows...)
	for _, p := range all {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	return lines
}

// someOf returns records of few addresses, clients and times, so that every rule is met.
func someOf(r *rand.Rand, base lease.Time, n int) []lease.Binding {
	var batch lease.Batch
	for range n {
		at := func() lease.Time { return base + lease.Time(r.IntN(4)) }
		b := lease.Binding{
			ID:     lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(12))}), Ports: lease.PortSet(r.IntN(2))},
			Subnet: uint32(r.IntN(3)), State: lease.Bound + lease.State(r.IntN(3)*r.IntN(2)), Client: fmt.Append(nil, r.IntN(3)),
			HWType: byte(r.IntN(2)), HWAddr: fmt.Append(nil, r.IntN(2)), Point: fmt.Append(nil, r.IntN(3)),
			Start: at(), Changed: at(), Expires: base + []lease.Time{-1000, 1000, lease.Never - base}[r.IntN(3)],
		}
		if r.IntN(2) == 0 {
			b.Source = netip.AddrFrom16([16]byte{0x20, 1, 15: byte(r.IntN(256))})
			b.RemoteID = bytes.Repeat([]byte{7}, r.IntN(30))
		}
		if r.IntN(10) == 0 {
			b = lease.Binding{ID: b.ID}
		}
		batch.Add(&b)
	}
	return batch.Records
}

// oneOfEach returns the first record of each identity, without those that remove one.
func oneOfEach(records []lease.Binding) (list []*lease.Binding) {
	seen := map[lease.ID]bool{}
	for i := range records {
		if b := &records[i]; !seen[b.ID] && b.State != lease.NoState {
			seen[b.ID] = true
			list = append(list, b)
		}
	}
	return list
}
