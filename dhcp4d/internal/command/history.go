package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// historyQuestion is what somebody wants to know: who had an address, always or at a time.
type historyQuestion struct {
	address netip.Addr
	at      time.Time // zero: always
	zone    *time.Location
	now     time.Time
}

// history tells who had an address. It reads the lease log, and needs no dhcp4d that runs.
func (c *call) history(args []string) error {
	f := c.flags("leases history")
	asJSON := f.Bool("json", false, "one JSON object a line")
	zoneName := f.String("zone", "UTC", "time `zone` of the answer, and of a TIME without one, such as Europe/Vienna")
	path := f.String("log", "",
		"`path` of the lease log (default DHCP4D_LEASELOG_PATH); its rotated files are read too")
	if err := f.Parse(args); err != nil {
		return err
	}
	q := historyQuestion{now: c.clocks.Read().Wall}
	if err := q.read(f.Args(), *zoneName); err != nil {
		return fmt.Errorf("leases history: %w", err)
	}
	if *path == "" {
		var err error
		if *path, err = c.leaseLogPath(); err != nil {
			return err
		}
	}
	h, incomplete := leaselog.ReadHistory(c.ctx, *path, q.address, q.now)
	if incomplete == nil && h.Begins.IsZero() {
		incomplete = fmt.Errorf("%s has no lines", *path)
	}
	if h.Broken > 0 {
		_, _ = fmt.Fprintf(c.stderr, "%d lines about %v cannot be read and are left out\n", h.Broken, q.address) // the answer counts
	}
	found := q.among(h.Tenures)
	if err := c.writeTenures(found, q.zone, *asJSON); err != nil {
		return err
	}
	switch {
	case incomplete != nil:
		return exit.CannotAsk(fmt.Errorf("leases history: the answer may be incomplete: %w", incomplete))
	case len(found) == 0:
		return q.nobody(h.Begins)
	}
	return nil
}

// read reads the words behind the flags: an address, and a time if only that counts.
func (q *historyQuestion) read(words []string, zoneName string) (err error) {
	if len(words) == 0 {
		return errors.New("want an address after the flags, and a time if only that counts")
	}
	if q.address, err = netip.ParseAddr(words[0]); err != nil || !q.address.Is4() {
		return fmt.Errorf("%q is not an IPv4 address", words[0])
	}
	if q.zone, err = zoneOf(zoneName); err != nil {
		return fmt.Errorf("-zone: %w", err)
	}
	text := strings.Join(words[1:], " ")
	if text == "" {
		return nil
	}
	given := q.zone
	if zoneName == "UTC" {
		given = nil
	}
	if q.at, err = parseTime(text, given); err != nil {
		return err
	}
	if q.at.After(q.now) {
		return fmt.Errorf("%s has not come yet", text)
	}
	return nil
}

// leaseLogPath returns the path of the file that the hook leaselog writes.
func (c *call) leaseLogPath() (string, error) {
	path, err := config.LoadLeaseLog(c.environ)
	if err == nil && (path == "stdout" || path == "stderr") {
		err = exit.CannotAsk(fmt.Errorf("leases history: the lease log goes to %s; set DHCP4D_LEASELOG_PATH as "+
			"dhcp4d has it, or name its file with -log", path))
	}
	return path, err
}

// among returns the tenures that the question is about.
func (q *historyQuestion) among(all []leaselog.Tenure) (found []leaselog.Tenure) {
	if q.at.IsZero() {
		return all
	}
	for _, t := range all {
		if t.Covers(q.at) {
			found = append(found, t)
		}
	}
	return found
}

// nobody is the answer if no tenure was found, in a log that begins at a time.
func (q *historyQuestion) nobody(begins time.Time) error {
	since := begins.In(q.zone).Format(time.RFC3339)
	switch {
	case q.at.IsZero():
		return exit.NotFound(fmt.Errorf("nobody had %v since %s, where the log begins", q.address, since))
	case q.at.Before(begins):
		return exit.CannotAsk(fmt.Errorf("the log begins at %s, after the time that was asked for", since))
	}
	return exit.NotFound(fmt.Errorf("nobody had %v at %s", q.address, q.at.In(q.zone).Format(time.RFC3339)))
}

// zoneOf is the time zone with a name of the IANA database.
func zoneOf(name string) (*time.Location, error) {
	zone, err := time.LoadLocation(name)
	if err != nil || name == "" || name == "Local" {
		return nil, fmt.Errorf("there is no time zone %q on this host; name one such as Europe/Vienna", name)
	}
	return zone, nil
}

// parseTime reads a time of a person. Zone is that of a time that has none; if it is nil, such a
// time is an error: whoever asks who had an address must not be an hour off.
func parseTime(text string, zone *time.Location) (time.Time, error) {
	days := []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04"}
	for _, day := range days {
		for _, offset := range []string{"Z07:00", " Z07:00", "Z0700", " Z0700"} {
			if t, err := time.Parse(day+offset, text); err == nil {
				return t, nil
			}
		}
	}
	bare := text
	if before, name, ok := cutLast(text, " "); ok && !strings.Contains(name, ":") {
		named, err := zoneOf(name)
		if err != nil {
			return time.Time{}, err
		}
		bare, zone = before, named
	}
	for _, day := range days {
		if _, err := time.Parse(day, bare); err != nil {
			continue
		}
		if zone == nil {
			return time.Time{}, fmt.Errorf("%q has no time zone; add one, such as Z, +01:00 or Europe/Vienna, or "+
				"give -zone", text)
		}
		t, err := time.ParseInLocation(day, bare, zone)
		if err != nil {
			return time.Time{}, err
		}
		layout := day // with the fractions of a second that the text has
		if n := len(bare) - len(day); n > 1 {
			layout += "." + strings.Repeat("0", n-1)
		}
		if t.Format(layout) != bare {
			return time.Time{}, fmt.Errorf("there was no %s in %v, because clocks were put forward", bare, zone)
		}
		for _, shift := range []time.Duration{time.Hour, -time.Hour, time.Hour / 2, -time.Hour / 2} {
			if t.Add(shift).Format(layout) == bare {
				return time.Time{}, fmt.Errorf("%s was twice in %v, because clocks were put back; give the offset, "+
					"such as +01:00", bare, zone)
			}
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time such as 2026-11-29T08:00:00Z or \"2026-11-29 08:00 Europe/Vienna\"", text)
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (c *call) writeTenures(found []leaselog.Tenure, zone *time.Location, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(c.stdout)
		for _, t := range found {
			t.From = t.From.In(zone)
			if !t.To.IsZero() {
				t.To = t.To.In(zone)
			}
			if err := e.Encode(t); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		return nil
	}
	table := table{w: c.stdout}
	if err := table.row("FROM", "TO", "END", "CLIENT", "IPV6 SOURCE", "ATTACHMENT POINT"); err != nil {
		return err
	}
	for i := range found {
		t := &found[i]
		to := "never"
		if !t.To.IsZero() {
			to = t.To.In(zone).Format(time.RFC3339)
		}
		end := t.End
		if t.By != "" {
			end += " by " + t.By
		}
		if err := table.row(t.From.In(zone).Format(time.RFC3339), to, end, t.Client.Who(), orDash(t.Source),
			t.Client.Where()); err != nil {
			return err
		}
	}
	return table.flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
