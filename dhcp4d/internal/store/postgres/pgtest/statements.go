package pgtest

import (
	_ "embed"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// statementsText has the statements of dhcp4d, each with a name before it. A statement of another
// text is unknown to the server. Whoever changes a statement in package postgres also changes it
// here, and what it does below; TestTheTwinDoesWhatPostgreSQLDoes compares both.
//
//go:embed statements.sql
var statementsText string

// statement is what a statement does.
type statement struct {
	name   string
	sql    string // with one blank between words
	params []uint32
	cols   []uint32
	run    func(c *call) (result, error)
}

// result is the rows that a statement returns, or how many it has changed.
type result struct {
	rows [][]any
	tag  string // without the number of rows
	n    int
}

func selected(rows ...[]any) (result, error) {
	return result{rows: rows, tag: "SELECT", n: len(rows)}, nil
}

// Error is an error of the server, by its SQLSTATE.
type Error struct {
	Code string
	Text string
}

func (e *Error) Error() string { return e.Text + " (" + e.Code + ")" }

const (
	bigints   = pgtype.Int8ArrayOID
	smallints = pgtype.Int2ArrayOID
	octets    = pgtype.ByteaArrayOID
	bigint    = pgtype.Int8OID
	smallint  = pgtype.Int2OID
	float8    = pgtype.Float8OID
	text      = pgtype.TextOID
	bytea     = pgtype.ByteaOID
	truth     = pgtype.BoolOID
)

var (
	ofCommit = []uint32{bigint, bigint, smallint}
	ofPut    = append(slices.Clone(ofCommit), bigints, bigints, bigints, smallints, smallints, octets, octets, octets, octets, bigints, bigints, bigints, octets)
	ofLease  = []uint32{bigint, bigint, bigint, smallint, smallint, bytea, bytea, bytea, bytea, bigint, bigint, bigint, bytea}
)

// statements are what the server knows, by their text.
var statements = func() map[string]*statement {
	texts := map[string]string{}
	for part := range strings.SplitSeq("\n"+statementsText, "\n-- ") {
		name, sql, _ := strings.Cut(part, "\n")
		texts[name] = oneBlank(sql)
	}
	all := map[string]*statement{}
	for _, s := range []*statement{
		{name: "hold", params: []uint32{bigint, bigint, float8, float8}, cols: []uint32{bigint}, run: func(c *call) (result, error) {
			if err := c.hold(c.float8(3), c.float8(4)); err != nil {
				return result{}, err
			}
			return selected([]any{int64(1)})
		}},
		{name: "hold and put", params: append(slices.Clone(ofPut), bigint, float8, float8), cols: []uint32{bigint, bigint}, run: func(c *call) (result, error) {
			if err := c.hold(c.float8(18), c.float8(19)); err != nil {
				return result{}, err
			}
			r, err := c.insert(func(l, n *Lease) bool { return c.mayReplace(l, n, c.int8(17)) })
			if err == nil {
				r.rows[0] = append(r.rows[0], int64(1))
			}
			return r, err
		}},
		{name: "put", params: append(slices.Clone(ofPut), bigint), cols: []uint32{bigint}, run: func(c *call) (result, error) {
			return c.insert(func(l, n *Lease) bool { return c.mayReplace(l, n, c.int8(17)) })
		}},
		{name: "restore", params: append(slices.Clone(ofPut), bigint, truth), cols: []uint32{bigint}, run: func(c *call) (result, error) {
			return c.insert(func(l, n *Lease) bool {
				return l.Changed < n.Changed && (c.truth(18) || c.mayReplace(l, n, c.int8(17)))
			})
		}},
		{name: "remove", params: append(slices.Clone(ofCommit), bigints, bigints), cols: []uint32{bigint}, run: (*call).remove},
		{name: "end", params: append(slices.Clone(ofCommit), bigints, bigints, octets, bigints, bigints), cols: []uint32{bigint}, run: (*call).end},
		{name: "feed", params: []uint32{bigint, bigints, bigints, bigint}, cols: []uint32{bigint, bigint, bigint, bigints, bigints}, run: (*call).feed},
		{name: "line", params: []uint32{bigint, float8}, cols: []uint32{float8, float8, float8, float8, bigints}, run: (*call).line},
		{name: "load", cols: ofLease, run: func(c *call) (result, error) {
			var rows [][]any
			for _, l := range c.all(leases) {
				rows = append(rows, l.(*Lease).columns())
			}
			return selected(rows...)
		}},
		{name: "rows", params: []uint32{bigints, bigints}, cols: ofLease, run: func(c *call) (result, error) {
			var rows [][]any
			ports := c.int8s(2)
			for i, addr := range c.int8s(1) {
				if l, ok := c.get(leaseKey(addr, ports[i])).(*Lease); ok {
					rows = append(rows, l.columns())
				}
			}
			return selected(rows...)
		}},
		{name: "standbys", cols: []uint32{text, bigint, bigint, bigint}, run: func(c *call) (result, error) {
			if c.s.standby {
				return selected([]any{"*", int64(1), int64(0), int64(0)})
			}
			return selected([]any{"", int64(0), int64(0), int64(0)})
		}},
		{name: "positions", params: []uint32{bigint}, cols: []uint32{bigint, bigint}, run: func(c *call) (result, error) {
			var rows [][]any
			for _, p := range c.processes() {
				if p.writer != c.int8(1) {
					rows = append(rows, []any{p.writer, p.wseq})
				}
			}
			return selected(rows...)
		}},
		{name: "position", params: []uint32{bigint}, cols: []uint32{bigint}, run: func(c *call) (result, error) {
			if p, ok := c.get(processKey(c.int8(1))).(*process); ok {
				return selected([]any{p.wseq})
			}
			return selected()
		}},
		{name: "compare", params: []uint32{bigint}, cols: []uint32{bigint, float8}, run: func(c *call) (result, error) {
			if p, ok := c.get(processKey(c.int8(1))).(*process); ok {
				return selected([]any{p.wseq, p.seen})
			}
			return selected()
		}},
		{name: "stored", params: []uint32{bigint, bigint, smallint}, cols: []uint32{bigints, bigints}, run: func(c *call) (result, error) {
			if n, ok := c.get(changeKey(c.int8(1), c.int8(2), c.int2(3))).(*change); ok {
				return selected([]any{n.addrs, n.ports})
			}
			return selected()
		}},
		{name: "seen", params: []uint32{bigint, float8}, run: func(c *call) (result, error) {
			return c.update(processKey(c.int8(1)), always, func(row any) any {
				p := *row.(*process)
				p.seen = c.float8(2)
				return &p
			})
		}},
		{name: "leave", params: []uint32{bigint}, run: func(c *call) (result, error) {
			return c.update(processKey(c.int8(1)), always, func(row any) any {
				p := *row.(*process)
				p.gone = true
				return &p
			})
		}},
		{name: "ahead", params: []uint32{float8, float8}, run: func(c *call) (result, error) {
			return c.update(lineKey, func(row any) bool { return row.(float64) == c.float8(1) }, func(any) any { return c.float8(2) })
		}},
		{name: "advance", params: []uint32{float8}, cols: []uint32{float8}, run: func(c *call) (result, error) {
			r, err := c.update(lineKey, always, func(row any) any { return row.(float64) + c.float8(1) })
			if err == nil {
				r.rows = [][]any{{c.does[lineKey]}}
			}
			return r, err
		}},
		{name: "enter", params: []uint32{bigint, text, float8, text}, run: func(c *call) (result, error) {
			// Nobody converts these tables, so the lock of the version is left out.
			if c.get(metaKey("format")) != c.text(4) {
				return result{tag: "INSERT 0"}, nil
			}
			p := &process{writer: c.int8(1), seen: c.float8(3)}
			if p.seen == 0 {
				p.seen = c.now
			}
			if err := c.lock(processKey(p.writer)); err != nil {
				return result{}, err
			}
			if c.get(processKey(p.writer)) != nil {
				return result{}, errUnique
			}
			c.put(processKey(p.writer), p)
			return result{tag: "INSERT 0", n: 1}, nil
		}},
		{name: "meta", cols: []uint32{text, text}, run: func(c *call) (result, error) {
			repaired, _ := c.get(metaKey("repaired")).(string)
			return selected([]any{c.get(metaKey("store")), repaired})
		}},
		{name: "setting", params: []uint32{text}, cols: []uint32{text}, run: func(*call) (result, error) { return selected([]any{"on"}) }},
		{name: "tables", cols: []uint32{truth}, run: func(*call) (result, error) { return selected([]any{true}) }},
		{name: "format", cols: []uint32{text}, run: ofMeta("format")},
		{name: "mark", cols: []uint32{text}, run: ofMeta("clock")},
		{name: "set meta", params: []uint32{text, text}, run: func(c *call) (result, error) {
			if err := c.lock(metaKey(c.text(1))); err != nil {
				return result{}, err
			}
			c.put(metaKey(c.text(1)), c.text(2))
			return result{tag: "INSERT 0", n: 1}, nil
		}},
		{name: "size", cols: []uint32{bigint}, run: func(*call) (result, error) { return selected([]any{int64(8192)}) }},
		{name: "trim", params: []uint32{bigint, float8}, run: (*call).trim},
		{name: "forget", params: []uint32{bigint, float8}, run: (*call).forget},
		{name: "read only", cols: []uint32{text}, run: func(*call) (result, error) {
			return result{rows: [][]any{{"off"}}, tag: "SHOW"}, nil
		}},
		{name: "session", cols: []uint32{text}, run: func(*call) (result, error) { return selected() }},
	} {
		s.sql = texts[s.name]
		if s.sql == "" {
			panic("pgtest: statements.sql has no " + s.name)
		}
		all[s.sql] = s
	}
	return all
}()

func oneBlank(sql string) string { return strings.Join(strings.Fields(sql), " ") }

var lineKey = key{of: line}

func processKey(writer int64) key { return key{of: processes, a: writer} }

func changeKey(writer, wseq int64, part int16) key {
	return key{of: changes, a: writer, b: wseq, c: int64(part)}
}

func metaKey(k string) key { return key{of: meta, k: k} }

func always(any) bool { return true }

var errUnique = &Error{"23505", "duplicate key value violates unique constraint"}

func ofMeta(k string) func(c *call) (result, error) {
	return func(c *call) (result, error) {
		if v := c.get(metaKey(k)); v != nil {
			return selected([]any{v})
		}
		return selected()
	}
}

func (c *call) processes() (list []*process) {
	for _, p := range c.all(processes) {
		list = append(list, p.(*process))
	}
	return list
}

// update is an UPDATE of one row.
func (c *call) update(k key, right func(row any) bool, to func(row any) any) (result, error) {
	row, err := c.change(k, right)
	if err != nil || row == nil {
		return result{tag: "UPDATE"}, err
	}
	c.put(k, to(row))
	return result{tag: "UPDATE", n: 1}, nil
}

// hold changes the number of the last commit of a process. The time is read once, before the
// statement waits for a lock.
func (c *call) hold(now, apart float64) error {
	writer, wseq := c.int8(1), c.int8(2)
	near := math.Abs(c.now+c.get(lineKey).(float64)-now) < apart
	if seen, ok := c.saw[lineKey]; ok {
		near = seen
	}
	c.saw[lineKey] = near
	r, err := c.update(processKey(writer), func(row any) bool {
		p := row.(*process)
		return near && p.wseq == wseq-1 && !p.gone
	}, func(row any) any {
		p := *row.(*process)
		p.wseq = wseq
		return &p
	})
	if err == nil && r.n == 0 {
		return &Error{"22012", "division by zero"}
	}
	return err
}

// insert is an INSERT of leases. May reports whether a new row replaces the one that is there.
func (c *call) insert(may func(l, n *Lease) bool) (result, error) {
	var done []key
	subnets, ports := c.int8s(6), c.int8s(5)
	states, hwTypes := c.int2s(7), c.int2s(8)
	hws, clients, points, sources := c.elements(9), c.elements(10), c.elements(11), c.elements(12)
	starts, changed, expires, remotes := c.int8s(13), c.int8s(14), c.int8s(15), c.elements(16)
	for i, addr := range c.int8s(4) {
		k := leaseKey(addr, ports[i])
		n := &Lease{
			Addr: addr, Ports: ports[i], Subnet: subnets[i], State: states[i], HWType: hwTypes[i], HW: hws[i],
			Client: clients[i], Point: points[i], Source: sources[i], Start: starts[i], Changed: changed[i],
			Expires: expires[i], Remote: remotes[i], Writer: c.int8(1),
		}
		if err := c.lock(k); err != nil {
			return result{}, err
		}
		if l, ok := c.get(k).(*Lease); ok && !may(l, n) {
			continue
		}
		c.put(k, n)
		done = append(done, k)
	}
	return c.note(done)
}

// mayReplace is the condition of the statement "put".
func (c *call) mayReplace(l, n *Lease, over int64) bool {
	if c.s.Faulty {
		return true
	}
	same := l.Start == n.Start || sameOctets(l.Point, n.Point) || (l.HWType == n.HWType && sameOctets(l.HW, n.HW))
	earlier := l.Changed < n.Changed || (l.Changed == n.Changed && l.Writer == n.Writer)
	return (sameOctets(l.Client, n.Client) && (l.State != 2 || (same && (n.State == 2 || earlier)))) ||
		(n.State != 3 && (l.State != 2 || l.Expires < over))
}

// note notes which leases a commit has changed.
func (c *call) note(done []key) (result, error) {
	if len(done) > 0 {
		n := &change{writer: c.int8(1), wseq: c.int8(2), part: c.int2(3), at: c.now}
		for _, k := range done {
			n.addrs, n.ports = append(n.addrs, k.a), append(n.ports, k.b)
		}
		k := changeKey(n.writer, n.wseq, n.part)
		if err := c.lock(k); err != nil {
			return result{}, err
		}
		if c.get(k) != nil {
			return result{}, errUnique
		}
		c.put(k, n)
	}
	return selected([]any{int64(len(done))})
}

func (c *call) remove() (result, error) {
	var done []key
	ports := c.int8s(5)
	for i, addr := range c.int8s(4) {
		k := leaseKey(addr, ports[i])
		row, err := c.change(k, always)
		if err != nil {
			return result{}, err
		}
		if row != nil {
			c.put(k, nil)
			done = append(done, k)
		}
	}
	return c.note(done)
}

func (c *call) end() (result, error) {
	var done []key
	ports, clients, lost, changed := c.int8s(5), c.elements(6), c.int8s(7), c.int8s(8)
	for i, addr := range c.int8s(4) {
		k := leaseKey(addr, ports[i])
		row, err := c.change(k, func(row any) bool {
			l := row.(*Lease)
			return sameOctets(l.Client, clients[i]) && l.State == 2 &&
				(l.Changed < lost[i] || (l.Changed == lost[i] && l.Writer == c.int8(1)))
		})
		if err != nil {
			return result{}, err
		}
		if row != nil {
			l := *row.(*Lease)
			l.State, l.Expires, l.Changed, l.Writer = 3, changed[i], changed[i], c.int8(1)
			c.put(k, &l)
			done = append(done, k)
		}
	}
	return c.note(done)
}

func (c *call) feed() (result, error) {
	seen, upTo := map[int64]int64{}, c.int8s(3)
	for i, w := range c.int8s(2) {
		seen[w] = upTo[i]
	}
	var rows [][]any
	limit := int(c.int8(4))
	for _, p := range c.processes() {
		if p.writer == c.int8(1) || p.wseq == seen[p.writer] {
			continue
		}
		found := 0
		for wseq := seen[p.writer] + 1; wseq <= p.wseq && found < limit; wseq++ {
			for part := range int16(3) {
				if n, ok := c.get(changeKey(p.writer, wseq, part)).(*change); ok {
					rows = append(rows, []any{p.writer, p.wseq, p.trimmed, n.addrs, n.ports})
					found++
				}
			}
		}
		if found == 0 {
			rows = append(rows, []any{p.writer, p.wseq, p.trimmed, nil, nil})
		}
	}
	return selected(rows[:min(len(rows), limit)]...)
}

func (c *call) line() (result, error) {
	others, ours := 0.0, -1.0
	var live []int64
	for _, p := range c.processes() {
		if p.gone {
			continue
		}
		runs := p.seen >= c.now-c.float8(2) && p.seen <= c.now+c.float8(2)
		if runs {
			live = append(live, p.writer)
		}
		switch {
		case p.writer == c.int8(1):
			ours = p.seen
		case runs:
			others = max(others, p.seen)
		}
	}
	if live == nil {
		live = []int64{}
	}
	return selected([]any{c.now, c.get(lineKey), others, ours, live})
}

func (c *call) trim() (result, error) {
	last := int64(0)
	for _, row := range c.all(changes) {
		n := row.(*change)
		if n.writer != c.int8(1) || n.at >= c.now-c.float8(2) {
			continue
		}
		k := changeKey(n.writer, n.wseq, n.part)
		if row, err := c.change(k, always); err != nil || row == nil {
			return result{}, err
		}
		c.put(k, nil)
		last = max(last, n.wseq)
	}
	if last == 0 {
		return result{tag: "UPDATE"}, nil
	}
	return c.update(processKey(c.int8(1)), always, func(row any) any {
		p := *row.(*process)
		p.trimmed = max(p.trimmed, last)
		return &p
	})
}

func (c *call) forget() (result, error) {
	old := map[int64]bool{}
	for _, p := range c.processes() {
		was := func(row any) bool {
			return p.writer != c.int8(1) && row.(*process).seen < c.now-c.float8(2)
		}
		switch row, err := c.change(processKey(p.writer), was); {
		case err != nil:
			return result{}, err
		case row != nil:
			c.put(processKey(p.writer), nil)
			old[p.writer] = true
		}
	}
	n := 0
	for _, row := range c.all(changes) {
		if row := row.(*change); old[row.writer] {
			c.put(changeKey(row.writer, row.wseq, row.part), nil)
			n++
		}
	}
	return result{tag: "DELETE", n: n}, nil
}

// columns returns the columns of the statement "load".
func (l *Lease) columns() []any {
	var source any
	if l.Source != nil {
		source = l.Source
	}
	return []any{l.Addr, l.Ports, l.Subnet, l.State, l.HWType, l.HW, l.Client, l.Point, source, l.Start, l.Changed, l.Expires, l.Remote}
}

func (s *statement) String() string { return fmt.Sprintf("%q", s.name) }
