package leaselog

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Relay is one relay level, as a line has it. Identifiers are hexadecimal.
type Relay struct {
	LinkAddress string `json:"link_address"`
	PeerAddress string `json:"peer_address"`
	InterfaceID string `json:"interface_id,omitempty"`
	RemoteID    string `json:"remote_id,omitempty"`
}

// Client is who has an address, and where. Identifiers are hexadecimal.
type Client struct {
	ClientID  string  `json:"client_id,omitempty"`
	HWType    byte    `json:"hw_type"`
	HWAddress string  `json:"hw_address,omitempty"`
	Source    string  `json:"ipv6_source"`
	Interface string  `json:"interface,omitempty"` // of dhcp6d; empty if the lease was made by order
	Relays    []Relay `json:"relays,omitempty"`    // the outermost first
	RemoteID  string  `json:"remote_id,omitempty"` // of the lease, where no query has caused the change
}

// same reports whether two clients are one client of a subnet.
func (c *Client) same(d *Client) bool {
	if c.ClientID != "" || d.ClientID != "" {
		return c.ClientID == d.ClientID
	}
	return c.HWType == d.HWType && c.HWAddress == d.HWAddress
}

// line is what the history needs of a line of the log.
type line struct {
	Time    time.Time  `json:"time"`
	Event   string     `json:"event"`
	By      string     `json:"by"`
	Address netip.Addr `json:"address"`
	Start   time.Time  `json:"start"`
	Expires *time.Time `json:"expires"` // nil: never
	Client

	// Latest is the time of the last renewal that the line stands for, which Expires is of.
	Latest time.Time `json:"-"`
}

// renews reports whether a line only renews the lease of another, so that they can become one. A
// client renews some hundred thousand times a year, and a history has few tenures.
func (l *line) renews(before *line) bool {
	switch before.Event {
	case lease.EventAllocated.String(), lease.EventRenewed.String(), lease.EventReused.String():
	default:
		return false
	}
	until := before.until()
	return l.Event == lease.EventRenewed.String() && !l.Time.Before(before.Latest) &&
		(until.IsZero() || !until.Before(l.Time)) &&
		reflect.DeepEqual(before.Client, l.Client)
}

// same reports whether two lines are the same, or stand for renewals since the same line.
func (l *line) same(o *line) bool {
	return l.Time.Equal(o.Time) && l.Event == o.Event && l.By == o.By && l.Start.Equal(o.Start) &&
		reflect.DeepEqual(l.Client, o.Client)
}

// Ways in which a [Tenure] ends, beside the events released, declined and expired.
const (
	Bound    = "bound"    // it has not ended
	Moved    = "moved"    // the client goes on at another attachment point, which the next tenure names
	Replaced = "replaced" // another client has the address; lines about the end are missing
)

// Tenure is a time in which one client had the address at one attachment point.
type Tenure struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"` // zero: never; in the future: unless the client renews it
	End  string    `json:"end"`
	By   string    `json:"ended_by,omitempty"` // who ordered the end, if not the client or the time
	Client
}

// Covers reports whether the client had the address at a time.
func (t *Tenure) Covers(at time.Time) bool {
	return !at.Before(t.From) && (t.To.IsZero() || at.Before(t.To))
}

// History is what a log tells about an address.
type History struct {
	Tenures []Tenure  // in their order
	Begins  time.Time // of the oldest line about any address, zero if there is none
	Broken  int       // lines about the address that cannot be read
}

// ReadHistory reads the log at a path and its rotated files, plain and compressed, whoever has
// rotated them. An error names the files that cannot be read; the history is that of the others.
//
// The newest files are read first. When ctx ends, the rest is left out, and the error says so.
func ReadHistory(ctx context.Context, path string, a netip.Addr, now time.Time) (History, error) {
	var h History
	var files [][]line // the newest first
	names, err := filesOf(path)
	errs := []error{err}
	for _, name := range slices.Backward(names) {
		var own []line
		err := h.read(ctx, name, a, &own)
		files = append(files, own)
		if err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	slices.Reverse(files)
	lines := slices.Concat(files...)
	// A copy of a file, or one that has just been compressed, has the same lines. Of those that
	// stand for renewals since the same line, the one that knows most is kept.
	slices.SortStableFunc(lines, func(a, b line) int { return a.Time.Compare(b.Time) })
	once := lines[:0]
	for i := range lines {
		l := &lines[i]
		if n := len(once); n == 0 || !l.same(&once[n-1]) {
			once = append(once, *l)
		} else if once[n-1].Latest.Before(l.Latest) {
			once[n-1] = *l
		}
	}
	h.Tenures = tenures(once, now)
	return h, errors.Join(errs...)
}

// filesOf returns the files of a log, the oldest first.
func filesOf(path string) ([]string, error) {
	type file struct {
		name    string
		changed time.Time
	}
	path = filepath.Clean(path)
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	var found []file
	there := map[string]bool{}
	for _, e := range entries {
		budget.Spend(1)
		name := filepath.Join(filepath.Dir(path), e.Name())
		suffix, ours := strings.CutPrefix(name, path)
		plain, zipped := strings.CutSuffix(name, compressed)
		switch {
		case !ours || (suffix != "" && suffix[0] != '-' && suffix[0] != '.') || strings.HasSuffix(name, unfinished):
			continue
		case zipped && there[plain]:
			continue // it is being compressed
		}
		info, err := os.Stat(name)
		if errors.Is(err, os.ErrNotExist) {
			// It was compressed or removed since the directory was read, or it is a link to
			// nothing.
			if info, err = os.Stat(name + compressed); errors.Is(err, os.ErrNotExist) {
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			continue
		}
		changed := info.ModTime()
		if at, ok := rotatedAt(path, name); ok {
			changed = at
		}
		found, there[name] = append(found, file{name, changed}), true
	}
	slices.SortStableFunc(found, func(a, b file) int {
		// The log itself is the newest, whenever it was changed.
		return cmp.Or(cmp.Compare(boolean(a.name == path), boolean(b.name == path)), a.changed.Compare(b.changed))
	})
	var names []string
	for _, f := range found {
		names = append(names, f.name)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
	}
	return names, nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// maxLine bounds a line, in octets. A chain of relays makes no longer one.
const maxLine = 1 << 20

// read appends the lines of a file that are about an address.
func (h *History) read(ctx context.Context, name string, a netip.Addr, lines *[]line) (err error) {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) && !strings.HasSuffix(name, compressed) {
		name += compressed // since the files were listed
		f, err = os.Open(name)
	}
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // nothing was written to it
	var in io.Reader = f
	if strings.HasSuffix(name, compressed) {
		if in, err = gzip.NewReader(bufio.NewReader(f)); err != nil {
			return err
		}
	}
	mark := []byte(`"address":"` + a.String() + `"`)
	s := bufio.NewScanner(untilDone{ctx, in})
	s.Buffer(make([]byte, 64<<10), maxLine)
	began := false
	for s.Scan() {
		budget.Spend(len(s.Bytes()))
		about := bytes.Contains(s.Bytes(), mark)
		if began && !about {
			continue
		}
		budget.Spend(len(s.Bytes()))
		var l line
		if err := json.Unmarshal(s.Bytes(), &l); err != nil || l.Time.IsZero() {
			if about {
				h.Broken++
			}
			continue
		}
		if began = true; h.Begins.IsZero() || l.Time.Before(h.Begins) {
			h.Begins = l.Time
		}
		if l.Address != a {
			continue
		}
		l.Latest = l.Time
		if n := len(*lines); n > 0 && l.renews(&(*lines)[n-1]) {
			(*lines)[n-1].Latest, (*lines)[n-1].Expires = l.Time, l.Expires
			continue
		}
		*lines = append(*lines, l)
	}
	return s.Err()
}

// tenures makes the tenures of the lines about an address, in their order.
func tenures(lines []line, now time.Time) (all []Tenure) {
	open := false        // the last one has not ended
	var latest time.Time // of the lines that it is made of
	end := func(at time.Time, how, by string) {
		last := &all[len(all)-1]
		if !last.To.IsZero() && last.To.Before(at) {
			at, how, by = last.To, lease.EventExpired.String(), ""
		}
		last.To, last.End, last.By = at, how, by
		open = false
	}
	begin := func(from time.Time, l *line) {
		all = append(all, Tenure{From: from, To: l.until(), End: Bound, Client: l.Client})
		open, latest = true, l.Latest
	}
	for i := range lines {
		l := &lines[i]
		var last *Tenure
		if open {
			last = &all[len(all)-1]
		}
		switch l.Event {
		case lease.EventAllocated.String(), lease.EventRenewed.String(), lease.EventReused.String():
			from, how := l.Time, Replaced
			if last != nil && last.same(&l.Client) && l.Event == lease.EventRenewed.String() &&
				(last.To.IsZero() || !last.To.Before(l.Time)) {
				if l.Client.Interface == "" || reflect.DeepEqual(last.Client, l.Client) {
					if !l.Latest.Before(latest) { // a part of a file that is there twice knows less
						last.To, latest = l.until(), l.Latest
					}
					continue
				}
				how = Moved
			} else if l.Event == lease.EventRenewed.String() {
				from = l.began(all) // what it renews is not in the log
			}
			if open {
				end(l.Time, how, "")
			}
			begin(from, l)
		case lease.EventReleased.String(), lease.EventDeclined.String(), lease.EventExpired.String():
			if last == nil || !last.same(&l.Client) {
				from := l.began(all)
				if len(all) > 0 || !from.Before(l.Time) || l.Event == lease.EventDeclined.String() {
					continue // it ends what the log does not know
				}
				begin(from, l) // the log begins within the lease
				all[0].To = time.Time{}
			}
			at := l.Time
			if l.Event == lease.EventExpired.String() && l.Expires != nil && l.Expires.Before(at) {
				at = *l.Expires
			}
			end(at, l.Event, l.By)
		}
	}
	if open {
		if last := &all[len(all)-1]; !last.To.IsZero() && !last.To.After(now) {
			last.End = lease.EventExpired.String()
		}
	}
	return all
}

// until is when the lease of a line ends, zero if never.
func (l *line) until() time.Time {
	if l.Expires == nil {
		return time.Time{}
	}
	return *l.Expires
}

// began is when the lease of a line began: no earlier than the tenure before ended.
func (l *line) began(before []Tenure) time.Time {
	from := l.Start
	if from.IsZero() || from.After(l.Time) {
		from = l.Time
	}
	if n := len(before); n > 0 && before[n-1].To.After(from) {
		from = before[n-1].To
	}
	if from.After(l.Time) {
		from = l.Time
	}
	return from
}
