// Package pgtest has a PostgreSQL server in memory: a twin of the real one, for tests of faults
// that are too rare there. It speaks PostgreSQL's protocol over connections in memory, so the tests
// run the store that ships, with pgx.
//
// It knows only the statements of dhcp4d, by their text (statements.sql), and does what PostgreSQL
// does for them: transactions in READ COMMITTED, rows that are locked until a transaction ends,
// statements that wait for locks, deadlocks, commits that wait for a synchronous standby, and
// failovers to a standby that has all commits or lacks the last ones.
//
// A [Fate] decides what becomes of each message and of each step of the server. All delays are in
// the time of package time, so that a bubble of testing/synctest runs them without waiting. The
// server has no random numbers and no goroutines of its own: a Fate that always decides alike makes
// a run that is always the same.
//
//	server      the server: start, end, failover, freeze; what the log has
//	session     the protocol of one connection, and its transactions
//	wire        a connection in memory, with the delays and cuts of the network
//	statements  what the statements do
//	tables      rows, locks and transactions
package pgtest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Fate decides what happens. The server calls it under its lock: it must not call the server.
type Fate interface {
	// Message decides about octets that one end of a connection sends.
	Message(m Message) Way
	// Step decides about a step of the server.
	Step(p Step) Outcome
}

// Message is what one end of a connection sends at once.
type Message struct {
	Conn *Conn
	Up   bool // to the server
	Nth  int  // of this direction of the connection, from 0
	Len  int
}

// Way is what becomes of a message.
type Way struct {
	Delay time.Duration
	// Cut, unless it is negative, breaks the connection when so many octets of the message have
	// arrived. Silent means that the other end notices only after a while, as when a machine has
	// lost its power.
	Cut    int
	Silent bool
	// Late, if positive, is how much later the part of the message from octet Split on arrives.
	Split int
	Late  time.Duration
}

// Kind is a kind of step.
type Kind uint8

// The steps of the server.
const (
	Execute Kind = iota // before a statement
	Commit              // before a commit
	Durable             // a commit is on the disk of the server, and waits for that of the standby
)

// Step is a step of the server.
type Step struct {
	Conn      *Conn
	Kind      Kind
	Statement string // the name of the statement, of the last one for a commit
	Nth       int    // the number of the step on the connection, from 0
}

// Outcome is what becomes of a step. The zero Outcome is success.
type Outcome struct {
	// Code is the SQLSTATE with which the step fails.
	Code string
	// Ends ends the connection: with Code before the step, otherwise after it, without an answer.
	Ends bool
	// Doubt, at the step Durable: the wait for the standby is cancelled. The client is warned.
	Doubt bool
	// Wait delays the step Durable.
	Wait time.Duration
}

// Server is a PostgreSQL server in memory.
type Server struct {
	// Faulty makes the server store a record although another client has the address.
	Faulty bool

	mu      sync.Mutex
	fate    Fate
	epoch   func() time.Time // the clock of the server
	step    float64          // by how many seconds somebody has set it
	standby bool             // commits wait for one

	up      bool
	frozen  bool
	pids    uint32
	conns   map[string]int         // connections so far, by whom and for what
	session map[*session]bool      // those that are there
	rows    rows                   // as committed
	locks   map[key]*tx            // who has locked a row
	waiting []*session             // for locks, in the order in which they began to wait
	log     []*entry               // all commits
	done    map[key][]DurableLease // what has ever been durable
	errs    []error
}

// New makes a server with the tables of dhcp4d. Now is its clock.
func New(fate Fate, now func() time.Time) *Server {
	s := &Server{fate: fate, epoch: now, up: true, conns: map[string]int{}, session: map[*session]bool{}, rows: newRows(),
		locks: map[key]*tx{}, done: map[key][]DurableLease{}}
	s.rows.set(lineKey, 0.0)
	s.rows.set(metaKey("format"), "3")
	s.rows.set(metaKey("store"), "abc")
	return s
}

// now returns the time by the clock of the server, in seconds since 1970.
func (s *Server) now() float64 { return float64(s.epoch().UnixNano())/1e9 + s.step }

// Err returns the first thing that a client has asked for and the server does not know.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.errs) > 0 {
		return s.errs[0]
	}
	return nil
}

// SetClock sets the clock of the server forward.
func (s *Server) SetClock(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.step += by.Seconds()
}

// Synchronous makes commits wait for a standby. Without one, a commit is safe on the disk of the
// server.
func (s *Server) Synchronous(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.standby = yes
}

// Freeze stops the server, or lets it go on. Connections stay, and nothing is answered.
func (s *Server) Freeze(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.frozen = yes
	if !yes {
		for _, one := range s.sessions() {
			one.serve()
		}
	}
}

// sessions returns the sessions in an order that is always the same.
func (s *Server) sessions() []*session {
	return slices.SortedFunc(maps.Keys(s.session), func(a, b *session) int {
		return cmp.Or(cmp.Compare(a.conn.name(), b.conn.name()), cmp.Compare(a.pid, b.pid))
	})
}

// Stop ends the server as SIGKILL does. What is on its disk stays. Silent means that the clients do
// not notice, as when the machine has lost its power.
func (s *Server) Stop(silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(silent)
	for _, e := range s.log {
		s.settle(e)
	}
}

func (s *Server) stop(silent bool) {
	s.up, s.frozen = false, false
	for _, one := range s.sessions() {
		one.end(silent)
	}
}

// settle makes a commit visible that is on the disk of the server.
func (s *Server) settle(e *entry) {
	if e.visible {
		return
	}
	e.visible = true
	for k, row := range e.after {
		s.rows.set(k, row)
	}
	if !s.standby {
		s.secure(e)
	}
}

// Start starts a server that was stopped.
func (s *Server) Start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.up = true
}

// Failover ends the server, and makes its standby the server, once Start is called. The standby
// lacks the last commits: of those that are safe as many as lost says, and of the others a part. It
// returns which addresses the safe commits among them had changed, and how many of these commits
// each client had made.
func (s *Server) Failover(lost int, part float64, silent bool) (addrs map[int64]bool, by map[string]int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(silent)
	safe := len(s.log)
	for safe > 0 && !s.log[safe-1].safe {
		safe--
	}
	keep := safe + int(part*float64(len(s.log)-safe)+0.5)
	if lost > 0 {
		keep = max(0, safe-lost)
	}
	addrs, by = map[int64]bool{}, map[string]int{}
	for _, e := range slices.Backward(s.log[keep:]) {
		if e.visible {
			for k, row := range e.before {
				s.rows.set(k, row)
			}
		}
		if !e.safe {
			continue
		}
		changed := false
		for k := range e.after {
			if k.of == leases {
				addrs[k.a], changed = true, true
			}
		}
		if changed {
			by[e.by.conn.By]++
		}
	}
	s.log = s.log[:keep]
	for _, e := range s.log {
		s.settle(e)
		s.secure(e)
	}
	return addrs, by
}

// secure notes that a commit cannot be lost any more, but by a failover that loses what is safe.
func (s *Server) secure(e *entry) {
	if e.safe {
		return
	}
	e.safe = true
	for k, row := range e.after {
		if l, ok := row.(*Lease); ok && k.of == leases {
			s.done[k] = append(s.done[k], DurableLease{*l, time.Now()})
		}
	}
}

// Lease returns the row of an address in the table lease, nil if there is none.
func (s *Server) Lease(addr, ports int64) *Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, _ := s.rows.get(leaseKey(addr, ports)).(*Lease)
	return l
}

// Leases returns the rows of the table lease.
func (s *Server) Leases() (list []*Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range slices.SortedFunc(maps.Keys(s.rows[leases]), compareKeys) {
		list = append(list, s.rows[leases][k].(*Lease))
	}
	return list
}

// DurableLease is a row of the table lease that became durable at a moment.
type DurableLease struct {
	Lease
	At time.Time
}

// EverDurable returns all rows of an address that were ever durable, the oldest first.
func (s *Server) EverDurable(addr, ports int64) []DurableLease {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.done[leaseKey(addr, ports)])
}

// Time returns the time line of leases, in seconds since 1970.
func (s *Server) Time() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now() + s.rows.get(lineKey).(float64)
}

// Commits returns how many commits there were.
func (s *Server) Commits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.log)
}

// unknown notes that the server does not know what a client has asked for.
func (s *Server) unknown(format string, args ...any) {
	s.errs = append(s.errs, fmt.Errorf("pgtest: "+format, args...))
}
