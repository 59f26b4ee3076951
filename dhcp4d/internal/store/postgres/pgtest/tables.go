package pgtest

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// table is a table of the schema dhcp4d.
type table uint8

const (
	leases table = iota
	processes
	changes
	meta
	line
	tables
)

// key is the primary key of a row.
type key struct {
	of      table
	a, b, c int64  // of leases addr and ports; of processes writer; of changes writer, wseq and part
	k       string // of meta
}

func compareKeys(x, y key) int {
	return cmp.Or(cmp.Compare(x.of, y.of), cmp.Compare(x.a, y.a), cmp.Compare(x.b, y.b), cmp.Compare(x.c, y.c), cmp.Compare(x.k, y.k))
}

// The rows. A row never changes: an update makes another one. Octets are nil only for NULL.
type (
	// Lease is a row of the table lease.
	Lease struct {
		Addr, Ports, Subnet       int64
		State, HWType             int16
		HW, Client, Point, Source []byte
		Start, Changed, Expires   int64
		Remote                    []byte
		Writer                    int64
	}
	process struct {
		writer, wseq, trimmed int64
		seen                  float64
		gone                  bool
	}
	change struct {
		writer, wseq int64
		part         int16
		at           float64
		addrs, ports []int64
	}
)

// rows are the rows of all tables, as everybody sees them.
type rows [tables]map[key]any

func newRows() (r rows) {
	for i := range r {
		r[i] = map[key]any{}
	}
	return r
}

func (r *rows) get(k key) any { return r[k.of][k] }

// set stores a row, or removes it if the row is nil.
func (r *rows) set(k key, row any) {
	if row == nil {
		delete(r[k.of], k)
		return
	}
	r[k.of][k] = row
}

// tx is a transaction of a session.
type tx struct {
	by     *session
	writes map[key]any // nil removes a row
	locks  map[key]bool
}

// entry is a commit in the log of the server.
type entry struct {
	by      *session
	nth     int
	before  map[key]any
	after   map[key]any
	visible bool // to others; a commit that waits for its standby is not
	safe    bool // the standby has it
}

// call is a statement that is being executed. A statement that waits for a lock is executed from
// the beginning when the lock is free. It keeps the locks that it has. So the rows that it has
// locked are the same then.
type call struct {
	*tx
	s    *Server
	args [][]byte
	now  float64      // when it began
	saw  map[key]bool // whether it found a row when it began
	does map[key]any
}

// blocked is the error of a statement that must wait for another transaction.
type blocked struct{ by *tx }

func (*blocked) Error() string { return "waits for a lock" }

// get returns a row as the statement sees it. A statement does not see its own changes.
func (c *call) get(k key) any {
	if row, ok := c.writes[k]; ok {
		return row
	}
	return c.s.rows.get(k)
}

// all returns the rows of a table, in order.
func (c *call) all(of table) (list []any) {
	ks := slices.Collect(maps.Keys(c.s.rows[of]))
	for k := range c.writes {
		if _, ok := c.s.rows[of][k]; !ok && k.of == of {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, compareKeys)
	for _, k := range ks {
		if row := c.get(k); row != nil {
			list = append(list, row)
		}
	}
	return list
}

// lock locks a row, or the key of a row that is not there yet.
func (c *call) lock(k key) error {
	if by := c.s.locks[k]; by != nil && by != c.tx {
		return &blocked{by}
	}
	c.s.locks[k] = c.tx
	c.locks[k] = true
	return nil
}

// change locks the row of a key for an UPDATE or a DELETE, and returns it. It returns nil if the
// statement does not change it. The statement looks for rows that are right when it begins. A row
// that another transaction changes meanwhile must be right after that, too.
func (c *call) change(k key, right func(row any) bool) (any, error) {
	saw, looked := c.saw[k]
	if !looked {
		row := c.get(k)
		saw = row != nil && right(row)
		c.saw[k] = saw
	}
	if !saw {
		return nil, nil
	}
	if err := c.lock(k); err != nil {
		return nil, err
	}
	if row := c.get(k); row != nil && right(row) {
		return row, nil
	}
	return nil, nil
}

// put stores or removes a row when the statement is done.
func (c *call) put(k key, row any) { c.does[k] = row }

func leaseKey(addr, ports int64) key { return key{of: leases, a: addr, b: ports} }

func sameOctets(a, b []byte) bool { return bytes.Equal(a, b) }
