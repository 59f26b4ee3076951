package compare

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// Existing leases are written to a file that the daemons can read: client n of the load generator
// has the nth address. Ten million exchanges would take a quarter of an hour.
var (
	heldFirst = netip.MustParseAddr("10.0.1.0")
	poolLast  = netip.MustParseAddr("10.191.255.255")
	// The bare pair derives addresses from the clients' numbers.
	bareFirst = netip.MustParseAddr("10.0.0.0")
)

const (
	heldSeed = 1
	heldFor  = 24 * time.Hour
)

// fill gives the pair its leases, and notes how much memory it needs without them.
func (s *subject) fill(ctx context.Context, o Options) error {
	if err := s.start(o); err != nil {
		return err
	}
	u, err := use(s.fours[0].PID())
	if err != nil {
		return err
	}
	s.empty = u.resident
	if err := s.stop(); err != nil {
		return err
	}
	s.owed, s.atMost = o.Held, o.Held
	if keas(s.name) {
		return writeFile(filepath.Join(s.dir, servers.KeaLeases), func(w io.Writer) { keaLeases(w, o, time.Now()) })
	}
	file := filepath.Join(s.dir, "held.csv")
	if err := writeFile(file, func(w io.Writer) { ourLeases(w, o, time.Now()) }); err != nil {
		return err
	}
	said, err := servers.Import(ctx, s.servers, s.config, file)
	if err != nil {
		return err
	}
	if want := fmt.Sprintf(" %d leases", o.Held); !strings.Contains(said, want) {
		return fmt.Errorf("%s was to get%s; the import says %s", s.name, want, said)
	}
	return os.Remove(file)
}

func writeFile(name string, fill func(w io.Writer)) error {
	f, err := os.Create(name)
	if err != nil {
		return fmt.Errorf("writing leases: %w", err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fill(w)
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return fmt.Errorf("writing leases: %w", err)
	}
	return nil
}

// holders calls fn for every client that has a lease.
func holders(n int, fn func(address netip.Addr, hardware net.HardwareAddr, id string)) {
	a := heldFirst
	for i := range n {
		hardware, id := load.Identity(heldSeed, uint32(i))
		fn(a, hardware, net.HardwareAddr(id).String())
		a = a.Next()
	}
}

// ourLeases writes an export of dhcp4d. Behind relays it leaves out where clients are, as if the
// leases came from a Kea.
func ourLeases(w io.Writer, o Options, now time.Time) {
	fmt.Fprintln(w, "address,subnet,state,client_id,hw_type,hw_address,ipv6_source,"+
		"point_kind,point_address,point_id,point_digest,start,changed,expires")
	since, until := now.UTC().Format(time.RFC3339), now.UTC().Add(heldFor).Format(time.RFC3339)
	source := clientAddress.Addr()
	i := 0
	holders(o.Held, func(a netip.Addr, hardware net.HardwareAddr, id string) {
		point := fmt.Sprintf("%v,direct,%v,access", source, source)
		if o.Relays > 0 {
			point = ",,,"
		}
		fmt.Fprintf(w, "%v,%d,bound,%s,1,%v,%s,,%s,%s,%s\n", a, o.Subnets, id, hardware, point, since, since, until)
		if source, i = source.Next(), i+1; i%o.Sources == 0 {
			source = clientAddress.Addr()
		}
	})
}

// keaLeases writes a lease file of Kea's.
func keaLeases(w io.Writer, o Options, now time.Time) {
	fmt.Fprintln(w,
		"address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context")
	holders(o.Held, func(a netip.Addr, hardware net.HardwareAddr, id string) {
		fmt.Fprintf(w, "%v,%v,%s,%d,%d,%d,0,0,,0,\n", a, hardware, id, int(heldFor.Seconds()), now.Add(heldFor).Unix(),
			o.Subnets)
	})
}
