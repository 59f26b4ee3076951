package follow

import (
	"io"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/pcapng"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

// capture writes the datagrams of records.
type capture struct{ w *pcapng.Writer }

func newCapture(w io.Writer, daemon string) (*capture, error) {
	p, err := pcapng.NewWriter(w, daemon+" trace")
	return &capture{p}, err
}

// add writes the datagrams of a record: what came in, and what was sent because of it. The comment
// of each is what became of it.
func (c *capture) add(r *trace.Record) error {
	comment := r.Daemon + ", " + r.Exchange + "\n" + strings.Join(r.Steps, "\n")
	for _, d := range []*trace.Datagram{r.In, r.Out} {
		if d == nil {
			continue
		}
		name := r.Daemon + " " + d.Socket
		if d.Interface != "" {
			name += " " + d.Interface
		}
		if err := c.w.Write(&pcapng.Packet{
			Interface: name, Time: d.Time, From: d.From, To: d.To, Payload: d.Data, Length: d.Length, Comment: comment,
		}); err != nil {
			return err
		}
	}
	return nil
}
