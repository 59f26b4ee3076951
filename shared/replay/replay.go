// Package replay has what the commands `hook test` of both daemons share: the arguments, the
// datagrams of the capture, and the lines that are printed. The daemon says what becomes of a
// datagram.
package replay

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
)

// Command describes the command hook test of a daemon.
type Command struct {
	Daemon      string // the name of the program
	About, More string // for its help
	Interface   string // what the flag -interface is
	Switch      Switch // a flag of this daemon alone; none if it has no name
	// Run takes the datagrams of the capture to their ends, with the configuration of environ. An
	// error of the capture, or of printing, it can leave to the caller.
	Run func(ctx context.Context, environ []string, c *Capture) error
}

// Switch is a flag that is on or off.
type Switch struct {
	Name, About string
	On          *bool // set while the command line is read
}

// Command makes the command.
func (c Command) Command() daemon.Command {
	about := manual.Command{Words: "hook test", Arguments: "[-interface NAME] CAPTURE", About: c.About, More: c.More}
	if c.Switch.Name != "" {
		about.Arguments = "[-interface NAME] [-" + c.Switch.Name + "] CAPTURE"
	}
	return daemon.Command{
		Name: "hook", About: about.About, Actions: []string{"test"},
		Run: func(ctx context.Context, args, environ []string, stdout, stderr io.Writer) error {
			f := manual.Flags(c.Daemon, about, stderr)
			name := f.String("interface", "", c.Interface)
			if c.Switch.Name != "" {
				f.BoolVar(c.Switch.On, c.Switch.Name, false, c.Switch.About)
			}
			if len(args) > 0 && args[0] == "test" {
				args = args[1:]
			} else if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
				return fmt.Errorf("hook: %q is not understood; say what to do: %s %s %s", args[0], c.Daemon, about.Words, about.Arguments)
			}
			if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
				return nil
			} else if err != nil {
				return err
			}
			if f.NArg() != 1 {
				return errors.New("hook test takes one file: a capture in the format pcap or pcapng")
			}
			file, err := os.Open(f.Arg(0))
			if err != nil {
				return err
			}
			defer file.Close() //nolint:errcheck // it is only read
			reader, err := pcapng.NewReader(file)
			if err != nil {
				return fmt.Errorf("reading %s: %w", f.Arg(0), err)
			}
			capture := &Capture{reader: reader, named: *name, out: stdout}
			if err := c.Run(ctx, environ, capture); err != nil {
				return err
			}
			return capture.err
		},
	}
}

// Capture is the capture, and what is printed about it.
type Capture struct {
	reader *pcapng.Reader
	named  string // the interface that the command line names
	out    io.Writer
	count  int   // of datagrams
	err    error // of reading or printing
}

// Next returns the next datagram. It returns nil at the end of the capture, and after an error.
func (c *Capture) Next() *pcapng.Packet {
	if c.err != nil {
		return nil
	}
	p, err := c.reader.Next()
	switch {
	case errors.Is(err, io.EOF):
		c.Print("%d datagrams, %d other frames\n", c.count, c.reader.Skipped())
		return nil
	case err != nil:
		c.err = fmt.Errorf("reading the capture: %w", err)
		return nil
	}
	c.count++
	return p
}

// Begin prints which datagram the next lines are about.
func (c *Capture) Begin(p *pcapng.Packet) {
	c.Print("%d %s from %v to %v\n", c.count, p.Time.UTC().Format("2006-01-02T15:04:05.000Z"), p.From, p.To)
}

// InterfaceOf returns the name of the interface by which a datagram came: the one of the command
// line, or else of the capture. If neither has one, it prints that. What says what the datagram is.
func (c *Capture) InterfaceOf(p *pcapng.Packet, what string) (name string, ok bool) {
	name = c.named
	if name == "" {
		name = p.Interface
	}
	if name == "" {
		c.Note("is %s, but the capture does not say by which interface it came; give -interface", what)
	}
	return name, name != ""
}

// Note prints one line about a datagram that goes no further.
func (c *Capture) Note(format string, args ...any) {
	c.Print("%d %s\n", c.count, fmt.Sprintf(format, args...))
}

// Print prints text. It keeps the first error, and Next then ends.
func (c *Capture) Print(format string, args ...any) {
	if _, err := fmt.Fprintf(c.out, format, args...); err != nil && c.err == nil {
		c.err = err
	}
}
