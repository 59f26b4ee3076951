package leasefile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// The lease files of kea-dhcp4 are the CSV of its memfile backend, as Kea 1.0 to 3.x writes it.
//
// A file is a journal: a later line about an address takes the place of the earlier ones, and a
// valid lifetime of zero takes the lease away. From time to time Kea compacts it, and a Kea that
// was stopped meanwhile leaves parts beside it; keaFiles finds them.
//
// The header names the columns, so that files of all versions are read:
//
//	address, hwaddr, client_id, valid_lifetime, expire, subnet_id, fqdn_fwd,
//	fqdn_rev, hostname, and later state, user_context, pool_id
//
// A comma inside a field is written as an HTML entity, and there are no quotes.

// keaState is what a line says of its lease.
type keaState uint8

// The states.
const (
	keaActive    keaState = iota
	keaDeclined           // found in use by somebody else
	keaReclaimed          // expired, and noticed
	keaReleased           // given back, kept for its client
	keaGone               // taken away: valid lifetime zero
)

// keaLease is a line.
type keaLease struct {
	Address  netip.Addr
	SubnetID uint32 // Kea's
	ClientID []byte // empty where there is none
	HWAddr   []byte
	Changed  lease.Time // client's last transaction
	Expires  lease.Time
	State    keaState
}

// keaHWType is the hardware type of all of Kea's leases: it writes none.
const keaHWType = 1

// binding is the lease as it is kept, without its subnet. The attachment point is not known.
func (l *keaLease) binding() (lease.Binding, error) {
	b := lease.Binding{
		ID: lease.ID{Addr: l.Address}, State: lease.Bound, HWType: keaHWType, HWAddr: l.HWAddr,
		Start: l.Changed, Changed: l.Changed, Expires: l.Expires,
	}
	switch l.State {
	case keaDeclined:
		b.State = lease.Declined
	case keaReleased:
		b.State = lease.Released
	}
	var err error
	b.Client, err = Key(l.ClientID, keaHWType, l.HWAddr, b.State)
	return b, err
}

// keaFiles returns the files that have the leases of a lease file, the oldest first. Kea's
// compaction renames the file to .1, merges .2, its last result, and .1 into .output, renames that
// to .completed, removes the other two and renames it to .2.
func keaFiles(path string) ([]string, error) {
	exists := func(suffix string) bool {
		_, err := os.Stat(path + suffix)
		return !errors.Is(err, fs.ErrNotExist)
	}
	var files []string
	if exists(".completed") {
		files = append(files, path+".completed")
	} else {
		for _, suffix := range []string{".2", ".1"} {
			if exists(suffix) {
				files = append(files, path+suffix)
			}
		}
	}
	if exists("") {
		files = append(files, path)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	return files, nil
}

// isKeaHeader reports whether a line is the first one of a lease file.
func isKeaHeader(line string) bool {
	return strings.HasPrefix(line, "address,hwaddr,")
}

// keaColumns are the columns of the fields, -1 where the file has none.
type keaColumns struct{ address, hwaddr, clientID, lifetime, expire, subnet, state, count int }

func parseKeaHeader(line string) (keaColumns, error) {
	names := strings.Split(line, ",")
	var missing []string
	column := func(name string, required bool) int {
		for i, n := range names {
			if n == name {
				return i
			}
		}
		if required {
			missing = append(missing, name)
		}
		return -1
	}
	c := keaColumns{
		address: column("address", true), hwaddr: column("hwaddr", true), clientID: column("client_id", true),
		lifetime: column("valid_lifetime", true), expire: column("expire", true), subnet: column("subnet_id", true),
		state: column("state", false), count: len(names),
	}
	if missing != nil {
		return c, fmt.Errorf("is no lease file of kea-dhcp4: the header has no %s", strings.Join(missing, ", "))
	}
	return c, nil
}

// maxKeaLine bounds a line; user contexts can be long.
const maxKeaLine = 1 << 20

// readKea reads a file. fn is told the number of each line after the header and
// what it holds, or what is wrong with it; its error ends the reading.
func readKea(r io.Reader, fn func(line int, l *keaLease, err error) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, maxKeaLine)
	var c keaColumns
	for line := 1; s.Scan(); line++ {
		text := strings.TrimSuffix(s.Text(), "\r")
		if line == 1 {
			var err error
			if c, err = parseKeaHeader(text); err != nil {
				return err
			}
			continue
		}
		if text == "" {
			continue
		}
		budget.Spend(len(text))
		l, err := c.parse(strings.Split(text, ","))
		if err := fn(line, &l, err); err != nil {
			return err
		}
	}
	return s.Err()
}

func (c *keaColumns) parse(f []string) (l keaLease, err error) {
	// A line of an older Kea in a file that it has gone on with may be short.
	least := max(c.address, c.hwaddr, c.clientID, c.lifetime, c.expire, c.subnet)
	if len(f) <= least || len(f) > c.count {
		return l, fmt.Errorf("has %d fields, the header %d", len(f), c.count)
	}
	number := func(name string, i int, most uint64) (n uint64) {
		if err != nil || i < 0 || i >= len(f) {
			return 0
		}
		n, err = strconv.ParseUint(f[i], 10, 64)
		if err != nil || n > most {
			err = fmt.Errorf("%s %q is not a number up to %d", name, f[i], most)
		}
		return n
	}
	octets := func(name string, i int) (b []byte) {
		if err == nil {
			if b, err = parseKeaOctets(f[i]); err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
		}
		return b
	}
	lifetime := number("valid_lifetime", c.lifetime, math.MaxUint32)
	expire := number("expire", c.expire, math.MaxInt64)
	l = keaLease{
		SubnetID: uint32(number("subnet_id", c.subnet, math.MaxUint32)),
		HWAddr:   octets("hwaddr", c.hwaddr), ClientID: octets("client_id", c.clientID),
		Changed: lease.Time(expire) - lease.Time(lifetime), Expires: lease.Time(expire),
		State: keaState(number("state", c.state, uint64(keaReleased))),
	}
	if err != nil {
		return l, err
	}
	if l.Address, err = netip.ParseAddr(f[c.address]); err != nil || !l.Address.Is4() {
		return l, fmt.Errorf("%.40q is no IPv4 address", f[c.address])
	}
	switch {
	case lifetime == 0:
		l.State = keaGone
	case lifetime == math.MaxUint32:
		l.Expires = lease.Never
	}
	l.Changed = max(l.Changed, 0)
	return l, nil
}

// parseKeaOctets reads what Kea writes, 01:02:0a, and what it reads: octets of one digit.
func parseKeaOctets(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	parts := strings.Split(s, ":")
	b := make([]byte, len(parts))
	for i, p := range parts {
		budget.Spend(1)
		n, err := strconv.ParseUint(p, 16, 8)
		if err != nil || len(p) > 2 {
			return nil, fmt.Errorf("%.60q is not octets in hexadecimal", s)
		}
		b[i] = byte(n)
	}
	return b, nil
}
