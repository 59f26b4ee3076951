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

func run(ctx context.Context, args []string, load func() (access.Config, error), stdout, stderr io.Writer) error {
	own, err := load()
	if err != nil {
		return err
	}
	daemon := strings.ToLower(strings.TrimSuffix(own.Prefix, "_"))
	f := manual.Flags(daemon, manual.Command{
		Words: "trace", Arguments: "[flags that say whom to follow]", About: About + " a running " + daemon,
	}, stderr)
	base := f.String("api", "", "`URL` of the API (default http:// and "+own.Prefix+"API_LISTEN)")
	packets := f.Bool("packets", false, "print the DHCPv4 messages too, in full")
	file := f.String("w", "",
		"write the datagrams as a capture (pcapng) to a `file`, or with - to the standard output in place of text")
	raw := f.Bool("json", false, "print records as JSON, one a line")
	query := url.Values{}
	for _, p := range selectors() {
		f.Func(strings.ReplaceAll(p.name, "_", "-"), p.about, func(s string) error {
			query.Set(p.name, s)
			return nil
		})
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("trace: %q is not understood; flags say whom to follow, see -h", f.Arg(0))
	}
	if *file == "-" && (*raw || *packets) {
		return errors.New("trace: -w - writes nothing but the capture; leave out -json and -packets, or name a file")
	}
	x, err := own.Client(*base)
	if err != nil {
		return err
	}
	stream, err := x.Do(ctx, http.MethodGet, Path, query, nil)
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	defer stream.Close() //nolint:errcheck // nothing was written to it
	var pcap *capture
	switch *file {
	case "":
	case "-":
		pcap, err = newCapture(stdout, daemon)
		stdout = io.Discard
	default:
		var out *os.File
		if out, err = os.Create(*file); err == nil {
			defer out.Close() //nolint:errcheck // each packet was written, or its error returned
			pcap, err = newCapture(out, daemon)
		}
	}
	if err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	_, _ = fmt.Fprintln(stderr, "following; interrupt to end")
	for in := json.NewDecoder(stream); ; {
		var r trace.Record
		if err := in.Decode(&r); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("trace: %s ended the stream", daemon)
			}
			return fmt.Errorf("trace: %w", err)
		}
		if pcap != nil {
			if err := pcap.add(&r); err != nil {
				return fmt.Errorf("trace: %w", err)
			}
		}
		var text string
		if *raw {
			b, err := json.Marshal(&r)
			if err != nil {
				return err
			}
			text = string(b) + "\n"
		} else {
			text = inText(&r, *packets)
		}
		if _, err := io.WriteString(stdout, text); err != nil {
			return err
		}
	}
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
