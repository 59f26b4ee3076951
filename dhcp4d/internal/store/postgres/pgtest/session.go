package pgtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	lockTimeout     = 4 * time.Second // as package database sets it
	deadlockTimeout = time.Second     // the usual one
)

// session is the server's end of a connection. Server.mu guards it.
type session struct {
	s        *Server
	conn     *Conn
	pid      uint32
	prepared map[string]*statement

	in      []byte
	begun   bool // it has had the startup message
	hungUp  bool // the client is gone; the server notices when it reads
	ended   bool
	out     []byte
	portal  *portal
	tx      *tx
	last    string // the statement that was executed last
	failed  bool   // everything is skipped up to Sync
	steps   int
	stuck   *stuck // a statement that waits for a lock
	pending *entry // a commit that waits for the standby
}

// portal is a statement with its parameters.
type portal struct {
	of      *statement
	args    [][]byte
	formats []int16
	simple  bool
}

// stuck is a statement that waits for a lock.
type stuck struct {
	call   *call
	portal *portal
	by     *tx
}

// cancelCode and startupCode begin what a client sends first.
const (
	startupCode = 196608
	cancelCode  = 80877102
	cancelLen   = 16 // octets
)

func (n *session) arrive(b []byte) {
	if n.ended {
		if n.s.up { // another server of this address knows nothing of the connection
			n.conn.fail(errReset)
		}
		return
	}
	n.in = append(n.in, b...)
	n.serve()
}

// hangUp notes that the client is gone.
func (n *session) hangUp() {
	n.hungUp = true
	if !n.ended {
		n.serve()
	}
}

// serve handles what has arrived, until it must wait. A server that executes a statement or waits
// for a standby does not notice that its client is gone.
func (n *session) serve() {
	for !n.ended && !n.s.frozen && n.stuck == nil && n.pending == nil {
		kind, body, ok := n.next()
		if !ok {
			if n.hungUp {
				n.end(true)
			}
			return
		}
		n.handle(kind, body)
	}
}

// next takes the next message out of what has arrived.
func (n *session) next() (kind byte, body []byte, ok bool) {
	head := 1
	if !n.begun {
		head = 0
	}
	if len(n.in) < head+4 {
		return 0, nil, false
	}
	length := int(binary.BigEndian.Uint32(n.in[head:]))
	if len(n.in) < head+length {
		return 0, nil, false
	}
	if n.begun {
		kind = n.in[0]
	}
	body = n.in[head+4 : head+length]
	n.in = n.in[head+length:]
	return kind, body, true
}

// handle handles a message.
func (n *session) handle(kind byte, body []byte) {
	if n.failed && kind != 'S' && kind != 'X' {
		return
	}
	switch kind {
	case 0:
		n.startup(body)
	case 'Q':
		var m pgproto3.Query
		n.must(m.Decode(body))
		n.query(m.String)
	case 'P':
		var m pgproto3.Parse
		n.must(m.Decode(body))
		st := statements[oneBlank(m.Query)]
		if st == nil {
			n.s.unknown("the statement %q", m.Query)
			n.fail(&Error{"42601", "pgtest does not know the statement"})
			return
		}
		n.role(st.name)
		n.prepared[m.Name] = st
		n.send(&pgproto3.ParseComplete{})
	case 'D':
		var m pgproto3.Describe
		n.must(m.Decode(body))
		st := n.prepared[m.Name]
		if m.ObjectType == 'P' && n.portal != nil {
			st = n.portal.of
		} else {
			n.send(&pgproto3.ParameterDescription{ParameterOIDs: st.params})
		}
		n.describe(st, nil)
	case 'B':
		var m pgproto3.Bind
		n.must(m.Decode(body))
		st := n.prepared[m.PreparedStatement]
		if st == nil || len(m.Parameters) != len(st.params) {
			n.s.unknown("a Bind of %q", m.PreparedStatement)
			n.fail(&Error{"26000", "prepared statement does not exist"})
			return
		}
		n.portal = &portal{of: st, formats: slices.Clone(m.ResultFormatCodes)}
		for i, p := range m.Parameters {
			if p == nil || (st.params[i] != text && !inBinary(m.ParameterFormatCodes, i)) {
				n.s.unknown("parameter %d of %v, which is NULL or text", i+1, st)
			}
			n.portal.args = append(n.portal.args, slices.Clone(p))
		}
		n.send(&pgproto3.BindComplete{})
	case 'E':
		n.execute(n.portal)
	case 'C':
		var m pgproto3.Close
		n.must(m.Decode(body))
		delete(n.prepared, m.Name)
		n.send(&pgproto3.CloseComplete{})
	case 'H':
		n.flush()
	case 'S':
		n.sync()
	case 'X':
		n.end(true)
	default:
		n.s.unknown("a message of type %q", kind)
		n.end(false)
	}
}

func inBinary(formats []int16, i int) bool {
	switch len(formats) {
	case 0:
		return false
	case 1:
		return formats[0] == 1
	}
	return formats[i] == 1
}

func (n *session) must(err error) {
	if err != nil {
		n.s.unknown("a message: %v", err)
	}
}

// role notes what a connection is for, by its first statement.
func (n *session) role(statement string) {
	c := n.conn
	if c.For != "" {
		return
	}
	switch statement {
	case "tables", "hold", "hold and put", "leave", "enter", "positions", "stored", "compare":
		c.For = "commits"
	case "position", "feed":
		c.For = "feed"
	default:
		c.For = "side"
	}
	who := c.By + "/" + c.For
	c.Nth = n.s.conns[who]
	n.s.conns[who]++
	c.up.nth, c.down.nth, n.steps = 0, 0, 0
}

func (n *session) startup(body []byte) {
	switch code := binary.BigEndian.Uint32(body); code {
	case startupCode:
		n.begun = true
		n.send(&pgproto3.AuthenticationOk{})
		for _, p := range [][2]string{{"server_version", "15.0"}, {"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}, {"integer_datetimes", "on"}} {
			n.send(&pgproto3.ParameterStatus{Name: p[0], Value: p[1]})
		}
		n.send(&pgproto3.BackendKeyData{ProcessID: n.pid, SecretKey: []byte{0, 0, 0, 1}})
		n.ready()
	case cancelCode:
		n.s.cancel(binary.BigEndian.Uint32(body[4:]))
		n.end(false)
	default:
		n.s.unknown("a startup message %d", code)
		n.end(false)
	}
}

// cancel cancels what a session waits for.
func (s *Server) cancel(pid uint32) {
	for _, n := range s.sessions() {
		switch {
		case n.pid != pid:
		case n.stuck != nil:
			n.unstick(&Error{"57014", "canceling statement due to user request"})
		case n.pending != nil:
			s.committed(n.pending, false)
		}
	}
}

func (n *session) send(m pgproto3.BackendMessage) {
	var err error
	if n.out, err = m.Encode(n.out); err != nil {
		n.s.unknown("a message: %v", err)
	}
}

func (n *session) ready() {
	n.send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	n.flush()
}

// flush sends what is to be sent.
func (n *session) flush() {
	if len(n.out) > 0 {
		n.s.carry(n.conn, &n.conn.down, n.out, false)
		n.out = nil
	}
}

// fail sends an error. Everything up to the next Sync is skipped.
func (n *session) fail(e *Error) {
	n.send(&pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: e.Code, Message: e.Text})
	n.failed = true
}

// kill ends the session with an error.
func (n *session) kill(code string) {
	n.send(&pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: "terminating connection"})
	n.flush()
	n.rollback()
	n.ended = true
	delete(n.s.session, n)
	c := n.conn
	n.s.at(c.down.arrival(0), func() { c.fail(fmt.Errorf("the server has closed the connection")) })
	c.down.cut = true
}

// end ends the session without an answer. A commit that is on disk stands.
func (n *session) end(silent bool) {
	if n.ended {
		return
	}
	n.ended = true
	n.rollback()
	delete(n.s.session, n)
	n.conn.down.cut = true
	if !silent {
		n.conn.fail(errReset)
	}
}

func (n *session) describe(st *statement, formats []int16) {
	if len(st.cols) == 0 {
		n.send(&pgproto3.NoData{})
		return
	}
	var m pgproto3.RowDescription
	for i, oid := range st.cols {
		f := pgproto3.FieldDescription{Name: fmt.Appendf(nil, "c%d", i), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1}
		if inBinary(formats, i) {
			f.Format = 1
		}
		m.Fields = append(m.Fields, f)
	}
	n.send(&m)
}

// query handles a simple query, which is a transaction.
func (n *session) query(sql string) {
	st := statements[oneBlank(sql)]
	if st == nil || len(st.params) > 0 {
		n.s.unknown("the query %q", sql)
		n.fail(&Error{"42601", "pgtest does not know the statement"})
		n.failed = false
		n.ready()
		return
	}
	n.execute(&portal{of: st, simple: true})
	n.sync()
}

// decide asks the fate about a step. It reports false if the step is not done.
func (n *session) decide(kind Kind) (Outcome, bool) {
	o := n.s.fate.Step(Step{Conn: n.conn, Kind: kind, Statement: n.last, Nth: n.steps})
	n.steps++
	switch {
	case o.Code != "" && o.Ends:
		n.kill(o.Code)
		return o, false
	case o.Ends && kind == Execute:
		n.end(false)
		return o, false
	case o.Code != "" && kind != Durable:
		n.rollback()
		n.fail(&Error{o.Code, "pgtest was told to fail"})
		return o, false
	}
	return o, true
}

// execute executes a statement.
func (n *session) execute(p *portal) {
	if n.last = p.of.name; p.of.name != "session" && p.of.name != "read only" {
		if _, ok := n.decide(Execute); !ok {
			return
		}
	}
	if n.tx == nil {
		n.tx = &tx{by: n, writes: map[key]any{}, locks: map[key]bool{}}
	}
	n.try(p, &call{tx: n.tx, s: n.s, args: p.args, now: n.s.now(), saw: map[key]bool{}})
}

// try executes a statement, or tries again.
func (n *session) try(p *portal, c *call) {
	c.does = map[key]any{}
	r, err := p.of.run(c)
	if waits, ok := errors.AsType[*blocked](err); ok {
		n.block(&stuck{c, p, waits.by})
		return
	}
	n.stuck = nil
	if refusal, ok := errors.AsType[*Error](err); ok {
		n.rollback()
		n.fail(refusal)
		return
	}
	if err != nil {
		panic(err) // a statement waits, is refused or succeeds
	}
	maps.Copy(n.tx.writes, c.does)
	n.answer(p, r)
}

func (n *session) answer(p *portal, r result) {
	if p.simple {
		if p.of.name == "session" {
			for range 5 {
				n.send(&pgproto3.CommandComplete{CommandTag: []byte("SET")})
			}
		}
		n.describe(p.of, nil)
	}
	for _, row := range r.rows {
		var m pgproto3.DataRow
		for i, v := range row {
			m.Values = append(m.Values, encode(v, inBinary(p.formats, i)))
		}
		n.send(&m)
	}
	tag := r.tag
	if tag != "SHOW" {
		tag = fmt.Sprintf("%s %d", r.tag, r.n)
	}
	n.send(&pgproto3.CommandComplete{CommandTag: []byte(tag)})
}

// block makes a statement wait for another transaction.
func (n *session) block(k *stuck) {
	again := n.stuck != nil // it waits once more, for another row
	n.stuck = k
	if !again {
		n.s.waiting = append(n.s.waiting, n)
	}
	wait := func(d time.Duration, fn func()) {
		n.s.at(time.Now().Add(d), func() {
			if n.stuck == k {
				fn()
			}
		})
	}
	wait(lockTimeout, func() { n.unstick(&Error{"55P03", "canceling statement due to lock timeout"}) })
	if n.circle() {
		wait(deadlockTimeout, func() {
			if n.circle() {
				n.unstick(&Error{"40P01", "deadlock detected"})
			}
		})
	}
}

// circle reports whether the session waits for itself.
func (n *session) circle() bool {
	for at, steps := n, 0; at.stuck != nil && steps < 100; steps++ {
		if at = at.stuck.by.by; at == n {
			return true
		}
	}
	return false
}

// unstick ends the wait for a lock with an error.
func (n *session) unstick(e *Error) {
	n.stuck = nil
	n.rollback()
	n.fail(e)
	n.serve()
}

// rollback ends the transaction. A commit that is in the log stands.
func (n *session) rollback() {
	n.stuck = nil
	t := n.tx
	n.tx = nil
	if n.pending != nil {
		n.s.settle(n.pending) // what is in the log stays
		n.pending = nil
	}
	n.s.release(t)
}

// release ends the locks of a transaction. Those who wait for them try again.
func (s *Server) release(t *tx) {
	if t == nil {
		return
	}
	for k := range t.locks {
		delete(s.locks, k)
	}
	t.locks = map[key]bool{}
	if !s.up {
		return
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(n *session) bool { return n.stuck == nil })
	for _, n := range slices.Clone(s.waiting) {
		if k := n.stuck; k != nil && k.by == t {
			n.try(k.portal, k.call)
			if n.stuck == nil {
				n.serve()
			}
		}
	}
}

// sync ends the transaction.
func (n *session) sync() {
	if n.failed {
		n.failed = false
		n.rollback()
		n.ready()
		return
	}
	if n.stuck != nil { // a simple query that waits; none of dhcp4d's does
		n.s.unknown("a simple query that waits")
	}
	if n.tx == nil || len(n.tx.writes) == 0 {
		n.rollback()
		n.ready()
		return
	}
	o, ok := n.decide(Commit)
	if !ok {
		if !n.ended {
			n.failed = false
			n.ready()
		}
		return
	}
	e := &entry{by: n, nth: len(n.s.log), before: map[key]any{}, after: n.tx.writes}
	for k := range n.tx.writes {
		e.before[k] = n.s.rows.get(k)
	}
	n.s.log = append(n.s.log, e)
	n.pending = e
	if o.Ends { // the answer is lost
		n.end(false)
		return
	}
	d, _ := n.decide(Durable)
	switch {
	case n.ended:
	case !n.s.standby:
		n.s.committed(e, true)
	case d.Doubt:
		n.s.committed(e, false)
	default:
		n.s.at(time.Now().Add(d.Wait), func() {
			if n.pending == e {
				n.s.committed(e, true)
			}
		})
	}
}

// committed makes a commit visible, and answers. Safe says that it is on the standby, if there is
// one. Then what was committed before is there too.
func (s *Server) committed(e *entry, safe bool) {
	n := e.by
	s.settle(e)
	if safe {
		i := slices.Index(s.log, e)
		for j := i; j >= 0 && !s.log[j].safe; j-- {
			s.secure(s.log[j])
			if earlier := s.log[j]; earlier != e && earlier.by.pending == earlier {
				defer s.committed(earlier, true)
			}
		}
	}
	if n.pending != e {
		return
	}
	n.pending = nil
	t := n.tx
	n.tx = nil
	s.release(t)
	if n.ended {
		return
	}
	if !safe {
		n.send(&pgproto3.NoticeResponse{Severity: "WARNING", SeverityUnlocalized: "WARNING", Code: "01000",
			Message: "canceling wait for synchronous replication due to user request"})
	}
	n.ready()
	n.serve()
}
