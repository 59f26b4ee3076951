package command

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// filterFlags are the flags that choose leases; all that are given must fit.
func filterFlags(f *flag.FlagSet) func() url.Values {
	values := map[string]*string{}
	for _, x := range []struct{ flag, parameter, about string }{
		{"address", "address", "this IPv4 `address`"},
		{"client-id", "client_id", "this client identifier, in `hex`adecimal"},
		{"hw-address", "hw_address", "this hardware address, in `hex`adecimal"},
		{"subnet", "subnet", "the subnet with this `id`"},
		{"state", "state", "in this `state`: offered, bound, expired, released or declined"},
		{"source", "source", "IPv6 source: this `address or prefix`"},
		{"limit", "limit", "so many at most"},
	} {
		values[x.parameter] = f.String(x.flag, "", x.about)
	}
	return func() url.Values {
		q := url.Values{}
		for parameter, v := range values {
			if *v != "" {
				q.Set(parameter, *v)
			}
		}
		return q
	}
}

func (c *call) list(args []string) error {
	f := c.flags("leases list", "[filters] [-json]")
	at, filters := clientFlag(f), filterFlags(f)
	asJSON := f.Bool("json", false, "one JSON object a line")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("leases list: %q is not understood; filters are flags", f.Arg(0))
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	q := filters()
	q.Set("format", string(leasefile.NDJSON))
	body, err := x.Do(c.ctx, "GET", "/v1/leases", q, nil)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // nothing was written to it
	if *asJSON {
		_, err := io.Copy(c.stdout, body)
		return err
	}
	if _, err := fmt.Fprintf(c.stdout, row, "ADDRESS", "SUBNET", "STATE", "EXPIRES", "IPV6 SOURCE", "CLIENT", "ATTACHMENT POINT"); err != nil {
		return err
	}
	return leasefile.Read(body, leasefile.NDJSON, func(_ int, l *leasefile.Lease, err error) error {
		if err != nil {
			return fmt.Errorf("the answer of the API cannot be read: %w", err)
		}
		client, source := l.ClientID, "-"
		switch {
		case client == "" && l.HWAddress == "":
			client = "not known"
		case client == "":
			client = "hw " + l.HWAddress
		}
		if l.Source.IsValid() {
			source = l.Source.String()
		}
		_, err = fmt.Fprintf(c.stdout, row, l.Address, subnet(l), l.State, expiry(l), source, client, point(l))
		return err
	})
}

// row is a line of the table; it is written as leases come, however many.
const row = "%-15v  %-12s  %-8v  %-20s  %-28s  %-30s  %s\n"

// subnet is the id of the subnet that a lease was given in, marked if no subnet has its address
// now.
func subnet(l *leasefile.Lease) string {
	if l.Orphaned {
		return fmt.Sprintf("none, was %d", l.Subnet)
	}
	return strconv.FormatUint(uint64(l.Subnet), 10)
}

func point(l *leasefile.Lease) string {
	if l.Point == nil {
		return "not known yet"
	}
	return l.Point.String()
}

// moment is a time in words; an offer was neither given nor written.
func moment(t *time.Time) string {
	if t == nil {
		return "not yet"
	}
	return t.Format(time.RFC3339)
}

func expiry(l *leasefile.Lease) string {
	if l.Expires == nil {
		return "never"
	}
	return l.Expires.Format(time.RFC3339)
}

// print shows one lease.
func (c *call) print(l *leasefile.Lease, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(c.stdout)
		e.SetIndent("", "  ")
		return e.Encode(l)
	}
	source := "not known"
	if l.Source.IsValid() {
		source = l.Source.String()
	}
	_, err := fmt.Fprintf(c.stdout, "address           %v\nsubnet            %s\nstate             %s\nclient id         %s\nhardware address  %s (type %d)\n"+
		"IPv6 source       %s\nattachment point  %s\nstart             %s\nchanged           %s\nexpires           %s\n",
		l.Address, subnet(l), l.State, l.ClientID, l.HWAddress, l.HWType, source, point(l), moment(l.Start), moment(l.Changed), expiry(l))
	return err
}

func (c *call) show(args []string) error    { return c.about("show", "GET", args) }
func (c *call) release(args []string) error { return c.about("release", "DELETE", args) }

// about does something about one address and shows what comes of it.
func (c *call) about(name, method string, args []string) error {
	f := c.flags("leases "+name, "[-json] ADDRESS")
	at, asJSON := clientFlag(f), f.Bool("json", false, "as a JSON object")
	if err := f.Parse(args); err != nil {
		return err
	}
	a, err := one(f, "address")
	if err != nil {
		return err
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	var l leasefile.Lease
	if err := x.Get(c.ctx, method, "/v1/leases/"+url.PathEscape(a), nil, &l); err != nil {
		return fmt.Errorf("%s: %w", a, err)
	}
	return c.print(&l, *asJSON)
}

func (c *call) reserve(args []string) error {
	f := c.flags("leases reserve", "-client-id ID | -hw-address ADDR [-time T] ADDRESS")
	at, asJSON := clientFlag(f), f.Bool("json", false, "as a JSON object")
	id := f.String("client-id", "", "client identifier (option 61), in `hex`adecimal")
	hw := f.String("hw-address", "", "hardware address of a client without identifier, in `hex`adecimal")
	hwType := f.Uint("hw-type", 1, "hardware type")
	long := f.Duration("time", 24*time.Hour, "how long the client has to come; 0 for ever")
	if err := f.Parse(args); err != nil {
		return err
	}
	text, err := one(f, "address")
	if err != nil {
		return err
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return err
	}
	seconds := *long / time.Second
	switch {
	case *long == 0:
		seconds = time.Duration(lease.Infinite)
	case seconds < 1 || seconds >= math.MaxUint32:
		return fmt.Errorf("-time %v is not between one second and 136 years", *long)
	case *hwType > math.MaxUint8:
		return fmt.Errorf("-hw-type %d is more than 255", *hwType)
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	var l leasefile.Lease
	err = x.Get(c.ctx, "POST", "/v1/leases", map[string]any{
		"address": a, "client_id": *id, "hw_type": *hwType, "hw_address": *hw, "lease_time": uint32(seconds),
	}, &l)
	if err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	return c.print(&l, *asJSON)
}

func (c *call) export(args []string) error {
	f := c.flags("leases export", "[filters] [-format csv|ndjson|json] [-store]")
	at, filters := clientFlag(f), filterFlags(f)
	format := f.String("format", string(leasefile.CSV), "csv, ndjson or json; only the first two can be imported")
	offline := f.Bool("store", false, "read DHCP4D_STORE itself, of a dhcp4d that is stopped")
	if err := f.Parse(args); err != nil {
		return err
	}
	q := filters()
	if f.NArg() > 0 {
		return fmt.Errorf("leases export: %q is not understood; the file goes to standard output", f.Arg(0))
	}
	if *offline {
		if len(q) > 0 {
			return errors.New("leases export -store takes no filters")
		}
		return c.exportStore(leasefile.Format(*format))
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	asked := *format
	if leasefile.Format(asked) == leasefile.Array {
		asked = string(leasefile.NDJSON) // of which the array is made here; the API's is a page
	}
	q.Set("format", asked)
	body, err := x.Do(c.ctx, "GET", "/v1/leases", q, nil)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // nothing was written to it
	if asked == *format {
		_, err := io.Copy(c.stdout, body)
		return err
	}
	w, err := leasefile.NewWriter(c.stdout, leasefile.Array)
	if err != nil {
		return err
	}
	if err := leasefile.Read(body, leasefile.NDJSON, func(_ int, l *leasefile.Lease, err error) error { return errors.Join(err, w.Write(l)) }); err != nil {
		return err
	}
	return w.Close()
}

// exportStore writes what a store holds that no daemon has open.
func (c *call) exportStore(format leasefile.Format) error {
	s, _, now, err := c.openStore()
	if err != nil {
		return err
	}
	defer s.Close() //nolint:errcheck // it was read only
	return leasefile.Export(c.stdout, format, s, now)
}

// openStore opens the store of a dhcp4d that is stopped. The clock gives the time line of its leases.
func (c *call) openStore() (store.Store, config.Config, *clock.Clock, error) {
	conf, err := config.Load(c.environ)
	if err != nil {
		return nil, conf, nil, err
	}
	if conf.Store == (config.Store{}) {
		return nil, conf, nil, errors.New("DHCP4D_STORE is memory:, which holds nothing while no dhcp4d runs")
	}
	log := slog.New(slog.NewTextHandler(c.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	now := clock.New(c.clocks)
	s, err := store.Open(conf.Store.URL(), store.Options{Log: log, Now: now.Now})
	return s, conf, now, err
}
