package export

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
)

// Format is a form of many leases.
type Format string

// The formats. An array is for programs that read all at once; it is not read
// back.
const (
	NDJSON Format = "ndjson" // an object a line
	CSV    Format = "csv"    // with a header
	Array  Format = "json"   // one array of objects
)

// Header is the first line of the CSV.
var Header = []string{"address", "subnet", "state", "client_id", "hw_type", "hw_address", "ipv6_source",
	"point_kind", "point_address", "point_id", "point_digest", "start", "changed", "expires"}

// never is an end in CSV that is none.
const never = "never"

// Writer writes leases, one after the other. Close ends what is written and
// leaves the io.Writer open.
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
		return x, x.csv.Write(Header)
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
		l.Start.Format(time.RFC3339), l.Changed.Format(time.RFC3339), expires}
}

// ReadCSV reads the lines after the header, which the caller has seen. fn is
// told the number of each line and what it holds or what is wrong with it; its
// error ends the reading.
func ReadCSV(r io.Reader, fn func(line int, l *Lease, err error) error) error {
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
		if err == nil {
			line, _ = c.FieldPos(0)
			l, err = parseLine(fields)
		} else {
			line = wrong.Line
		}
		if line == 1 && slices.Equal(fields, Header) {
			continue
		}
		if err := fn(line, &l, err); err != nil {
			return err
		}
	}
}

func parseLine(f []string) (l Lease, err error) {
	if len(f) != len(Header) {
		return l, fmt.Errorf("has %d fields, want %d", len(f), len(Header))
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
	when := func(s string) (t time.Time) {
		if err == nil {
			t, err = time.Parse(time.RFC3339, s)
		}
		return t
	}
	l = Lease{
		Address: addr(f[0]), Subnet: uint32(number(f[1], 32)), State: State(f[2]), ClientID: f[3],
		HWType: byte(number(f[4], 8)), HWAddress: f[5], Source: addr(f[6]),
		Start: when(f[11]), Changed: when(f[12]),
	}
	if f[7] != "" {
		l.Point = &Point{Kind: f[7], Address: addr(f[8]), ID: f[9], Digest: f[10] == "true"}
	}
	if f[13] != never {
		t := when(f[13])
		l.Expires = &t
	}
	return l, err
}

// maxLine bounds a line of NDJSON.
const maxLine = 64 << 10

// ReadNDJSON is ReadCSV for objects, one a line. Empty lines are left out.
func ReadNDJSON(r io.Reader, fn func(line int, l *Lease, err error) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxLine)
	for line := 1; s.Scan(); line++ {
		if len(s.Bytes()) == 0 {
			continue
		}
		var l Lease
		err := json.Unmarshal(s.Bytes(), &l)
		if err := fn(line, &l, err); err != nil {
			return err
		}
	}
	return s.Err()
}
