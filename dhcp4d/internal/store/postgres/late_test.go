package postgres

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
)

// late is a process whose commits go over a proxy, and another one that goes straight to the
// database.
type late struct {
	t        *testing.T
	server   *postgrestest.Server
	proxy    *postgrestest.Proxy
	p, other *Store
	twin     *judge
}

func newLate(t *testing.T) *late {
	t.Helper()
	l := &late{t: t, server: migrated(t), twin: newJudge()}
	l.other = openDatabase(t, l.server.URL())
	t.Cleanup(func() { _ = l.other.Close() })
	var url string
	l.proxy, url = proxyOf(t, l.server)
	l.p = openDatabase(t, url)
	committed(t, l.p, l.twin, l.group())
	return l
}

// proxyOf makes a proxy to a server, and returns the URL of the database through it.
func proxyOf(t *testing.T, s *postgrestest.Server) (p *postgrestest.Proxy, url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "proxy") // shorter than t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	listener, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	return s.Proxy(t, listener), "postgres://dhcp4d@/postgres?host=" + dir
}

// group returns records of which the database stores some, refuses one and removes one.
func (l *late) group() []lease.Binding {
	l.t.Helper()
	committed(l.t, l.other, l.twin, []lease.Binding{bindingOf("192.0.2.1", "another"), bindingOf("192.0.2.3", "gone")})
	return append(some8(rand.New(rand.NewPCG(5, 5)), 3), bindingOf("192.0.2.1", "refused"),
		lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.3")}})
}

// done is the result of a commit.
type done struct {
	refused []store.Refusal
	err     error
}

// begin makes a commit of which n messages pass, and returns its connection when the proxy holds
// the rest. The last message of a commit is a Sync (S).
func (l *late) begin(records []lease.Binding, n int) (link *postgrestest.Link, result chan done) {
	l.t.Helper()
	links := l.proxy.Links()
	link = links[len(links)-1]
	link.Sent.Let(n)
	return link, l.commit(l.p, records, func() bool { return strings.HasSuffix(link.Sent.Held(), "S") })
}

// commit makes a commit, and returns when it is done, or when ok returns true.
func (l *late) commit(by *Store, records []lease.Binding, ok func() bool) (result chan done) {
	l.t.Helper()
	result = make(chan done, 1)
	go func() {
		refused, err := by.Commit(records)
		result <- done{refused, err}
	}()
	await(l.t, func() bool { return len(result) == 1 || ok() })
	return result
}

// waits reports whether a process waits for a lock.
func (l *late) waits() bool {
	return l.server.Query(l.t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'dhcp4d' AND wait_event_type = 'Lock'") != "0"
}

// judged checks what a commit has refused, and that the database has what the twin has.
func (l *late) judged(by *Store, records []lease.Binding, got done) {
	l.t.Helper()
	l.twin.by = by.mine.writer
	want, err := l.twin.Commit(records)
	if err != nil {
		l.t.Fatal(err)
	}
	if got.err != nil || fmt.Sprintf("%+v", got.refused) != fmt.Sprintf("%+v", want) {
		l.t.Errorf("refused\n%+v, %v, want\n%+v", got.refused, got.err, want)
	}
}

// messages returns how many messages a commit has.
func (l *late) messages() int {
	l.t.Helper()
	records := l.group()
	link, result := l.begin(records, 0)
	n := len(link.Sent.Held())
	link.Sent.Let(postgrestest.All)
	l.judged(l.p, records, <-result)
	if n < 5 {
		l.t.Fatalf("a commit has %d messages", n)
	}
	return n
}

// TestDB_4_WhatWasSentArrivesLate breaks the connection of a commit after each of its messages. The
// server gets the rest when the next attempt is done and another process has committed, or when the
// next attempt waits for what the first one has locked. Whichever counts, the commit counts once.
func TestDB_4_WhatWasSentArrivesLate(t *testing.T) {
	t.Parallel()
	l := newLate(t)
	defer func() { _ = l.p.Close() }()
	var counts [2]int // which attempt
	for n := range l.messages() {
		records := l.group()
		seq := l.p.mine.wseq
		link, result := l.begin(records, n)
		link.Break()
		await(t, func() bool { return len(result) == 1 || l.waits() })
		made := int64(2) // an empty commit shows that the first one counts
		if len(result) == 1 {
			made = 1
			l.judged(l.p, records, <-result)
			committed(t, l.other, l.twin, []lease.Binding{bindingOf("192.0.2.3", "next")}) // the group removes the one before
		}
		counts[made-1]++
		link.Sent.Let(postgrestest.All)
		await(t, link.Heard.Ended)
		if made == 2 {
			l.judged(l.p, records, <-result)
		}
		sameAs(t, l.other, l.twin)
		if got := l.p.mine.wseq - seq; got != made {
			t.Errorf("after %d messages: %d commits count, want %d", n, got, made)
		}
	}
	if counts[0] == 0 || counts[1] == 0 {
		t.Errorf("the second attempt counts %d times, the first %d times, want both", counts[0], counts[1])
	}
}

// TestDB_4_TheAnswerArrivesLate holds the answer to a commit until the process has given up, or
// breaks the connection after each message of the answer.
func TestDB_4_TheAnswerArrivesLate(t *testing.T) {
	t.Parallel()
	l := newLate(t)
	defer func() { _ = l.p.Close() }()
	for n := 0; ; n++ {
		records := l.group()
		links := l.proxy.Links()
		link := links[len(links)-1]
		link.Heard.Let(n)
		result := l.commit(l.p, records, func() bool { return strings.HasSuffix(link.Heard.Held(), "Z") }) // ready for the next
		if len(result) == 1 {
			l.judged(l.p, records, <-result)
			if n < 5 {
				t.Errorf("the answer has %d messages", n)
			}
			break // all of it has passed
		}
		link.Break()
		l.judged(l.p, records, <-result)
		link.Heard.Let(postgrestest.All)
		await(t, link.Heard.Ended)
		sameAs(t, l.other, l.twin)
	}
}

// TestDB_4_ACommitArrivesWhenItsProcessHasLeft delivers a commit when its process has given up,
// was ended or was killed.
func TestDB_4_ACommitArrivesWhenItsProcessHasLeft(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		then   func(l *late, result chan done)
		stands bool
	}{
		{"it has given up and opened the database again", func(l *late, result chan done) {
			if d := <-result; !errors.Is(d.err, store.ErrFailed) {
				l.t.Errorf("the commit: %v", d.err)
			}
			l.proxy.Refuse(false)
			if err := l.p.Reopen(); err != nil {
				l.t.Error(err)
			}
		}, false},
		{"it was ended", func(l *late, result chan done) {
			l.proxy.Refuse(false)
			close(l.p.closing)
			<-result
			l.p.closing = make(chan struct{})
			_ = l.p.Close()
		}, false},
		// Nobody has got an ACK. So the commit may count, and the others hear of it.
		{"it was killed", func(*late, chan done) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLate(t)
			storetest.Contents(t, l.other)
			if _, err := l.other.Foreign(nil); err != nil {
				t.Fatal(err)
			}
			committed(t, l.p, l.twin, []lease.Binding{bindingOf("192.0.2.8", "early")}) // prepares the statement
			records := []lease.Binding{bindingOf("192.0.2.9", "late")}
			l.proxy.Refuse(true)
			link, result := l.begin(records, 0)
			link.Break()
			c.then(l, result)
			link.Sent.Let(postgrestest.All)
			await(t, link.Heard.Ended)
			if c.stands {
				l.judged(l.p, records, done{})
				if heard := foreign(t, l.other); string(heard["192.0.2.9"].Client) != "late" {
					t.Errorf("another process hears of %+v", heard)
				}
			}
			sameAs(t, l.other, l.twin)
		})
	}
}

// TestDB_3_CommitsOvertakeEachOther holds a commit after each of its messages while another process
// commits records of the same addresses. The database judges them in the order in which they
// arrive, or in which they get their locks.
func TestDB_3_CommitsOvertakeEachOther(t *testing.T) {
	t.Parallel()
	l := newLate(t)
	defer func() { _ = l.p.Close() }()
	overtaken := 0
	for n := range l.messages() {
		records := l.group()
		records = append(records, bindingOf("192.0.2.9", "one"))
		theirs := []lease.Binding{bindingOf("192.0.2.1", "two"), bindingOf("192.0.2.3", "two"), bindingOf("192.0.2.9", "two")}
		link, result := l.begin(records, n)
		others := l.commit(l.other, theirs, l.waits)
		overtakes := len(others) == 1
		link.Sent.Let(postgrestest.All)
		mine, other := <-result, <-others
		if overtakes {
			overtaken++
			l.judged(l.other, theirs, other)
			l.judged(l.p, records, mine)
		} else {
			l.judged(l.p, records, mine)
			l.judged(l.other, theirs, other)
		}
		sameAs(t, l.other, l.twin)
		committed(t, l.other, l.twin, []lease.Binding{{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.9")}}})
	}
	if overtaken == 0 {
		t.Error("no commit was overtaken")
	}
}
