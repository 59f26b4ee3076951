package follow

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

// About begins what the command does.
const About = "follow the packets of one subscriber through"

// Command is the command trace of a daemon: it tells what becomes of the packets of one subscriber
// in a running one, until ctx ends. load reads where the API is and who may come in.
func Command(ctx context.Context, args []string, load func() (access.Config, error), stdout, stderr io.Writer) error {
	err := run(ctx, args, load, stdout, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// following is one run of the command.
type following struct {
	daemon string // as people write it
	query  url.Values

	api     string // where it is; empty: where the configuration says
	file    string // for a capture; empty: none
	packets bool   // DHCPv4 messages are printed in full
	json    bool   // records are printed as JSON

	stdout io.Writer
	pcap   *capture // nil: there is none
}

func run(ctx context.Context, args []string, load func() (access.Config, error), stdout, stderr io.Writer) error {
	own, err := load()
	if err != nil {
		return err
	}
	f := &following{
		daemon: strings.ToLower(strings.TrimSuffix(own.Prefix, "_")), query: url.Values{}, stdout: stdout,
	}
	if err := f.parse(args, own.Prefix, stderr); err != nil {
		return err
	}
	x, err := own.Client(f.api)
	if err != nil {
		return err
	}
	stream, err := x.Do(ctx, http.MethodGet, Path, f.query, nil)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer stream.Close() //nolint:errcheck // nothing was written to it
	closeFile, err := f.openCapture()
	defer closeFile()
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	_, _ = fmt.Fprintln(stderr, "following; interrupt to end")
	return f.copyFrom(ctx, stream)
}

// parse reads the flags. The variables of the daemon begin with prefix.
func (f *following) parse(args []string, prefix string, stderr io.Writer) error {
	flags := manual.Flags(f.daemon, manual.Command{
		Words: "trace", Arguments: "[flags that say whom to follow]", About: About + " a running " + f.daemon,
	}, stderr)
	flags.StringVar(&f.api, "api", "", "`URL` of the API (default http:// and "+prefix+"API_LISTEN)")
	flags.BoolVar(&f.packets, "packets", false, "print the DHCPv4 messages too, in full")
	flags.StringVar(&f.file, "w", "",
		"write the datagrams as a capture (pcapng) to a `file`, or with - to the standard output in place of text")
	flags.BoolVar(&f.json, "json", false, "print records as JSON, one a line")
	for _, p := range selectors() {
		flags.Func(strings.ReplaceAll(p.name, "_", "-"), p.about, func(s string) error {
			f.query.Set(p.name, s)
			return nil
		})
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("trace: %q is not understood; flags say whom to follow, see -h", flags.Arg(0))
	}
	if f.file == "-" && (f.json || f.packets) {
		return errors.New("trace: -w - writes nothing but the capture; leave out -json and -packets, or name a file")
	}
	return nil
}

// openCapture begins the capture, if there is to be one. The function that it returns closes its
// file.
func (f *following) openCapture() (closeFile func(), err error) {
	closeFile = func() {}
	switch f.file {
	case "":
	case "-":
		f.pcap, err = newCapture(f.stdout, f.daemon)
		f.stdout = io.Discard
	default:
		var out *os.File
		if out, err = os.Create(f.file); err == nil {
			closeFile = func() { _ = out.Close() } // each packet was written, or its error returned
			f.pcap, err = newCapture(out, f.daemon)
		}
	}
	return closeFile, err
}

// copyFrom writes the records of a stream until ctx ends.
func (f *following) copyFrom(ctx context.Context, stream io.Reader) error {
	for in := json.NewDecoder(stream); ; {
		var r trace.Record
		if err := in.Decode(&r); err != nil {
			return f.ended(ctx, err)
		}
		if err := f.write(&r); err != nil {
			return err
		}
	}
}

// ended returns nil if a stream has ended because ctx has, and otherwise why it has ended.
func (f *following) ended(ctx context.Context, why error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
	}
	if errors.Is(why, io.EOF) || errors.Is(why, io.ErrUnexpectedEOF) {
		return fmt.Errorf("trace: %s ended the stream", f.daemon)
	}
	return fmt.Errorf("trace: %w", why)
}

// write writes a record to the capture and to the standard output.
func (f *following) write(r *trace.Record) error {
	if f.pcap != nil {
		if err := f.pcap.add(r); err != nil {
			return fmt.Errorf("trace: %w", err)
		}
	}
	if !f.json {
		_, err := io.WriteString(f.stdout, inText(r, f.packets))
		return err
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = io.WriteString(f.stdout, string(b)+"\n")
	return err
}

// inText is a record as a person reads it.
func inText(r *trace.Record, packets bool) string {
	var b strings.Builder
	if r.Lost > 0 {
		fmt.Fprintf(&b, "(%d records were lost: there were more than a trace shows)\n", r.Lost)
	}
	fmt.Fprintf(&b, "%s %s %s\n", r.Time.Local().Format("15:04:05.000"), r.Daemon, r.Exchange)
	for _, s := range r.Steps {
		fmt.Fprintf(&b, "    %s\n", s)
	}
	if packets {
		message(&b, "message", r.Message)
		message(&b, "reply", r.Reply)
	}
	b.WriteByte('\n')
	return b.String()
}

// message prints a DHCPv4 message in full. The library is stricter than dhcp4d; what it refuses is
// printed by our own view.
func message(b *strings.Builder, name string, octets []byte) {
	if len(octets) == 0 {
		return
	}
	var text string
	var own dhcp4.Message
	if m, err := dhcpv4.FromBytes(octets); err == nil {
		text = m.Summary()
	} else if why := own.Parse(octets); why == drop.None {
		text = fmt.Sprintf("%v (the library cannot read it: %v)\n"+
			"  xid %#08x, chaddr %x, ciaddr %v, yiaddr %v, giaddr %v\n  %x",
			own.Type(), err, uint32(own.Xid()), own.CHAddr(), own.CIAddr(), own.YIAddr(), own.GIAddr(), octets)
	} else {
		text = fmt.Sprintf("cannot be read (%s): %x", why.Meaning(), octets)
	}
	fmt.Fprintf(b, "    %s:\n", name)
	for line := range strings.Lines(strings.TrimSpace(text)) {
		fmt.Fprintf(b, "        %s\n", strings.TrimRight(line, "\n"))
	}
}
