package leasefile

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Format is a form of many leases.
type Format string

// The formats. An array is for programs that read all at once; it is not read back.
const (
	NDJSON Format = "ndjson" // an object a line
	CSV    Format = "csv"    // with a header
	Array  Format = "json"   // one array of objects
)

// columns are the fields of the CSV, named in its first line.
var columns = []string{"address", "subnet", "state", "client_id", "hw_type", "hw_address", "ipv6_source",
	"point_kind", "point_address", "point_id", "point_digest", "start", "changed", "expires", "point_within",
	"point_counted_by", "remote_id"}

// How many columns the files of earlier versions have.
const (
	oldColumns     = 14
	withinColumns  = 15
	countedColumns = 16
)

// isLength reports whether the lines of some version have so many fields.
func isLength(n int) bool {
	return n == len(columns) || n == countedColumns || n == withinColumns || n == oldColumns
}

// never is the column expires, in CSV, of a lease without an end.
const never = "never"

// Writer writes leases, one after the other. Close ends what is written and leaves the io.Writer
// open.
type Writer struct {
	format Format
	buf    *bufio.Writer
	csv    *csv.Writer
	json   *json.Encoder
	n      int
}

// NewWriter begins a file.
func NewWriter(w io.Writer, f Format) (*Writer, error) {
	x := &Writer{format: f, buf: bufio.NewWriterSize(w, 32<<10)}
	switch f {
	case CSV:
		x.csv = csv.NewWriter(x.buf)
		return x, x.csv.Write(columns)
	case NDJSON, Array:
		x.json = json.NewEncoder(x.buf)
		return x, nil
	}
	return nil, fmt.Errorf("there is no format %q; there are %s, %s and %s", f, NDJSON, CSV, Array)
}

// Write adds a lease.
func (x *Writer) Write(l *Lease) error {
	x.n++
	if x.csv != nil {
		return x.csv.Write(l.line())
	}
	if x.format == Array {
		before := byte(',')
		if x.n == 1 {
			before = '['
		}
		if err := x.buf.WriteByte(before); err != nil {
			return err
		}
	}
	return x.json.Encode(l)
}

// Flush hands on what has gathered.
func (x *Writer) Flush() error {
	if x.csv != nil {
		x.csv.Flush()
		if err := x.csv.Error(); err != nil {
			return err
		}
	}
	return x.buf.Flush()
}

// Close ends the file.
func (x *Writer) Close() error {
	if x.format == Array {
		end := "]\n"
		if x.n == 0 {
			end = "[]\n"
		}
		if _, err := x.buf.WriteString(end); err != nil {
			return err
		}
	}
	return x.Flush()
}

// Export writes everything that a store holds, which must not have been loaded yet. It sets the
// clock to the time line of the store. The file has the times of the wall clock.
func Export(w io.Writer, f Format, s store.Store, c *clock.Clock) error {
	if _, err := store.Resume(s, c); err != nil {
		return err
	}
	now, ahead := c.Shown(), c.Ahead()
	x, err := NewWriter(w, f)
	if err != nil {
		return err
	}
	if _, err := s.Load(func(b *lease.Binding) error {
		if b.Ports != lease.AllPorts { // the formats have no field for it
			return fmt.Errorf("exporting the lease of %v: shared addresses are not supported", b.Addr)
		}
		moved := b.Moved(ahead)
		l := Of(&moved, now)
		return x.Write(&l)
	}); err != nil {
		return err
	}
	return x.Close()
}

// when is a time in CSV, empty where there is none.
func when(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format(time.RFC3339)
}

func (l *Lease) line() []string {
	text := func(a netip.Addr) string {
		if !a.IsValid() {
			return ""
		}
		return a.String()
	}
	p := l.Point
	if p == nil {
		p = &Point{}
	}
	digest, expires := "", never
	if p.Digest {
		digest = "true"
	}
	if l.Expires != nil {
		expires = l.Expires.Format(time.RFC3339)
	}
	return []string{l.Address.String(), strconv.FormatUint(uint64(l.Subnet), 10), string(l.State), l.ClientID,
		strconv.Itoa(int(l.HWType)), l.HWAddress, text(l.Source), p.Kind, text(p.Address), p.ID, digest,
		when(l.Start), when(l.Changed), expires, p.Within, p.CountedBy, l.RemoteID}
}

// Read reads a file that a [Writer] has written, in CSV or NDJSON. It calls fn with the number of
// each line that has a lease, and with the lease or with what is wrong with the line. An error of
// fn ends the reading.
func Read(r io.Reader, f Format, fn func(line int, l *Lease, err error) error) error {
	switch f {
	case CSV:
		return readCSV(r, fn)
	case NDJSON:
		return readNDJSON(r, fn)
	}
	return fmt.Errorf("the format %q is not read", f)
}

func readCSV(r io.Reader, fn func(line int, l *Lease, err error) error) error {
	c := csv.NewReader(r)
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	for {
		fields, err := c.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		wrong := (*csv.ParseError)(nil)
		if err != nil && !errors.As(err, &wrong) {
			return err
		}
		var line int
		var l Lease
		for _, f := range fields {
			budget.Spend(1 + len(f))
		}
		if err == nil {
			line, _ = c.FieldPos(0)
			l, err = parseLine(fields)
		} else {
			line = wrong.Line
		}
		if line == 1 && isLength(len(fields)) && slices.Equal(fields, columns[:len(fields)]) {
			continue
		}
		if err := fn(line, &l, err); err != nil {
			return err
		}
	}
}

func parseLine(f []string) (l Lease, err error) {
	if !isLength(len(f)) {
		return l, fmt.Errorf("has %d fields, want %d", len(f), len(columns))
	}
	addr := func(s string) (a netip.Addr) {
		if s != "" && err == nil {
			a, err = netip.ParseAddr(s)
		}
		return a
	}
	number := func(s string, bits int) (n uint64) {
		if err == nil {
			n, err = strconv.ParseUint(s, 10, bits)
		}
		return n
	}
	moment := func(s string) *time.Time {
		if s == "" || err != nil {
			return nil
		}
		var t time.Time
		t, err = time.Parse(time.RFC3339, s)
		return &t
	}
	l = Lease{
		Address: addr(f[0]), Subnet: uint32(number(f[1], 32)), State: State(f[2]), ClientID: f[3],
		HWType: byte(number(f[4], 8)), HWAddress: f[5], Source: addr(f[6]),
		Start: moment(f[11]), Changed: moment(f[12]),
	}
	if f[7] != "" {
		l.Point = &Point{Kind: f[7], Address: addr(f[8]), ID: f[9], Digest: f[10] == "true"}
		if len(f) > oldColumns {
			l.Point.Within = f[oldColumns]
		}
		if len(f) > withinColumns {
			l.Point.CountedBy = f[withinColumns]
		}
	}
	if len(f) > countedColumns {
		l.RemoteID = f[countedColumns]
	}
	if f[13] != never {
		if l.Expires = moment(f[13]); l.Expires == nil && err == nil {
			err = errors.New("has no end; write never for a lease without one")
		}
	}
	return l, err
}

// maxLine bounds a line of NDJSON.
const maxLine = 64 << 10

// readNDJSON is Read for NDJSON. It skips empty lines.
func readNDJSON(r io.Reader, fn func(line int, l *Lease, err error) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for line := 1; s.Scan(); line++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		budget.Spend(len(s.Bytes()))
		var l Lease
		err := json.Unmarshal(s.Bytes(), &l)
		if err := fn(line, &l, err); err != nil {
			return err
		}
	}
	return s.Err()
}
