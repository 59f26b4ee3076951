package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

const sqlLoad = `SELECT addr, ports, subnet, state, hwtype, hw, client, point, source, start, changed, expires, remote
	FROM dhcp4d.lease`

// loadRows calls fn for every row of the table lease. The binding is valid during the call.
func loadRows(ctx context.Context, c *pgx.Conn, fn func(*lease.Binding) error) error {
	return eachRow(ctx, c, fn, sqlLoad)
}

// Read calls fn for every binding of a database, which a dhcp4d may be using, and returns the
// newest time.
func Read(url string, fn func(*lease.Binding) error) (newest lease.Time, err error) {
	p, err := prepare(url, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		return 0, err
	}
	c, err := p.connect()
	if err != nil {
		return 0, err
	}
	defer drop(&c)
	if err = checkFormat(context.Background(), c); err == nil {
		err = loadRows(context.Background(), c, func(b *lease.Binding) error {
			newest = max(newest, b.Changed)
			return fn(b)
		})
	}
	if err != nil {
		return 0, fmt.Errorf("lease store %s: %w", url, err)
	}
	return newest, nil
}

const sqlRowsOf = sqlLoad + ` l JOIN unnest($1::int8[], $2::int8[]) k(addr, ports) USING (addr, ports)`

// loadRowsOf calls fn for the rows of the identities that are the keys of ids. It may delete keys.
// The server finds them in the order of the primary key, because neighbours are in one page.
func loadRowsOf[V any](ctx context.Context, c *pgx.Conn, ids map[lease.ID]V, fn func(*lease.Binding) error) error {
	addrs, ports := make([]int64, 0, len(ids)), make([]int64, 0, len(ids))
	for _, id := range slices.SortedFunc(maps.Keys(ids), compareIDs) {
		addrs, ports = append(addrs, addressNumber(id.Addr)), append(ports, int64(id.Ports))
	}
	return eachRow(ctx, c, fn, sqlRowsOf, addrs, ports)
}

// eachRow calls fn for the rows of a statement that begins with sqlLoad. Reading all rows may take
// long, and the machine of the server may fail meanwhile, which nobody hears of. So there is an
// error if the server is silent for answerWithin.
func eachRow(ctx context.Context, c *pgx.Conn, fn func(*lease.Binding) error, sql string, args ...any) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(answerWithin, func() { cancel(errSilent) })
	defer silence.Stop()
	rows, err := c.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("reading the table lease: %w", err)
	}
	defer rows.Close()
	var b lease.Binding
	for n := 1; rows.Next(); n++ {
		if n%256 == 0 { // not each time: there may be millions
			silence.Reset(answerWithin)
		}
		if err := decodeRow(&b, rows.RawValues()); err != nil {
			return err
		}
		if err := fn(&b); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the table lease: %w", cmp.Or(context.Cause(ctx), err))
	}
	return nil
}

var errSilent = fmt.Errorf("the server has sent nothing for %v", answerWithin)

var errRow = errors.New("dhcp4d has not written this row of the table lease")

// decodeRow reads a row of sqlLoad in PostgreSQL's binary format: integers are big-endian, NULL is
// nil. The slices of b point into it.
func decodeRow(b *lease.Binding, v [][]byte) error {
	if len(v) != 13 {
		return errRow
	}
	for i, length := range [...]int{8, 8, 8, 2, 2, -1, -1, -1, -2, 8, 8, 8, -1} {
		switch {
		case length > 0 && len(v[i]) != length, length == -1 && v[i] == nil:
			return errRow
		case length == -2 && v[i] != nil && len(v[i]) != 16:
			return fmt.Errorf("%w: its source has %d octets", errRow, len(v[i]))
		}
	}
	integer := func(i int) int64 { return int64(binary.BigEndian.Uint64(v[i])) }
	addr, ports, subnet := integer(0), integer(1), integer(2)
	state, hwType := binary.BigEndian.Uint16(v[3]), binary.BigEndian.Uint16(v[4])
	is32 := func(n int64) bool { return 0 <= n && n <= math.MaxUint32 }
	if !is32(addr) || !is32(ports) || !is32(subnet) ||
		state < uint16(lease.Bound) || state > uint16(lease.Declined) ||
		hwType > math.MaxUint8 || len(v[5]) > math.MaxUint8 {
		return fmt.Errorf("%w: a number is out of range (addr %d)", errRow, addr)
	}
	*b = lease.Binding{
		ID:     lease.ID{Addr: netip.AddrFrom4([4]byte(v[0][4:])), Ports: lease.PortSet(ports)},
		Subnet: uint32(subnet), State: lease.State(state), HWType: byte(hwType),
		HWAddr: v[5], Client: v[6], Point: v[7],
		Start: lease.Time(integer(9)), Changed: lease.Time(integer(10)), Expires: lease.Time(integer(11)),
	}
	b.RemoteID = lease.BesidePoint(b.Point, v[12])
	if v[8] != nil {
		b.Source = netip.AddrFrom16([16]byte(v[8]))
	}
	return nil
}

// addressOf returns the address of a number in the table lease.
func addressOf(n int64) netip.Addr {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	return netip.AddrFrom4([4]byte(b[4:]))
}

// addressNumber returns an IPv4 address as the table lease has it.
func addressNumber(a netip.Addr) int64 {
	b := a.As4()
	return int64(binary.BigEndian.Uint32(b[:]))
}

// compareIDs orders identities like the primary key.
func compareIDs(a, b lease.ID) int {
	return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Ports, b.Ports))
}

// hostname returns the name of this machine for messages.
func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "a host without a name"
	}
	return name
}
