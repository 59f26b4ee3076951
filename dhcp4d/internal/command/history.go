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
		// An error does not matter: the answer counts.
		_, _ = fmt.Fprintf(c.stderr, "%d lines about %v cannot be read and are left out\n", h.Broken, q.address)
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
		err = exit.CannotAsk(fmt.Errorf("leases history: no file of a lease log is known; set DHCP4D_LEASELOG_PATH as "+
			"dhcp4d has it, or name the file with -log (as DHCP4D_LEASELOG_PATH is here, the hook leaselog writes to %s, "+
			"and dhcp4d keeps no file)", path))
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
