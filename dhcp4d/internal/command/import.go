package command

import (
	"errors"
	"fmt"
	"io"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
)

func (c *call) importFiles(args []string) (err error) {
	f := c.flags("leases import")
	dry := f.Bool("dry-run", false, "print what would be done, and do nothing")
	byID := f.Bool("by-id", false, "find the subnet by the id in the file, not by the address")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() == 0 {
		return errors.New("leases import: name at least one file")
	}
	if err := clock.Plausible(c.clocks.Read().Wall, clock.Built()); err != nil {
		return err // leases in force would look like leases that have ended, or the contrary
	}
	s, conf, now, err := c.openStore()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	o := leasefile.ImportOptions{Subnets: conf.Subnets, ByID: *byID, DryRun: *dry, Clock: now}
	shows := daemon.IsTerminal(c.stderr)
	if shows {
		o.Progress = c.progress
	}
	report, err := leasefile.Import(f.Args(), s, o)
	if shows {
		_, _ = io.WriteString(c.stderr, "\r\x1b[K") // only looks
	}
	if err != nil {
		return err
	}
	return writeReport(c.stdout, report, *dry)
}

// progress is one line that is written over and over.
func (c *call) progress(step string, done, all int) {
	text := fmt.Sprintf("%s: %d", step, done)
	if all > 0 {
		text = fmt.Sprintf("%s: %d of %d (%d %%)", step, done, all, 100*done/all)
	}
	_, _ = fmt.Fprintf(c.stderr, "\r\x1b[K%s", text) // only looks
}

// writeReport prints how many leases were imported, and why others were not.
func writeReport(w io.Writer, p *leasefile.Report, dry bool) error {
	did := "imported"
	if dry {
		did = "to be imported"
	}
	_, err := fmt.Fprintf(w, "%d lines read from %d files, %d leases %s\n", p.Lines, len(p.Files), p.Imported, did)
	for i, n := range p.Counts {
		if n == 0 {
			continue
		}
		r, what := leasefile.Reason(i), "skipped: "
		if !r.Skipped() {
			what = "of which: "
		}
		_, err2 := fmt.Fprintf(w, "%s%d %s\n", what, n, r)
		err = errors.Join(err, err2)
		for _, x := range p.Examples[i] {
			_, err2 := fmt.Fprintf(w, "    %s: %s\n", x.Where, x.What)
			err = errors.Join(err, err2)
		}
		if more := n - len(p.Examples[i]); more > 0 {
			_, err2 := fmt.Fprintf(w, "    and %d more\n", more)
			err = errors.Join(err, err2)
		}
	}
	return err
}
