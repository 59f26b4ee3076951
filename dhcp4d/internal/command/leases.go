package command

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/url"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/manual"
)

// filterFlags are the flags that choose leases; all that are given must fit.
func filterFlags(f *flag.FlagSet) func() url.Values {
	values := map[string]*string{}
	for _, x := range []struct{ flag, parameter, about string }{
		{"address", "address", "this IPv4 `address`"},
		{"client-id", "client_id", "this client identifier, in `hex`adecimal"},
		{"hw-address", "hw_address", "this hardware address, in any `notation`: 02:00:5e:10:00:01, 2-0-5e-10-0-1, 0200.5e10.0001, 02005e100001"},
		{"subnet", "subnet", "the subnet with this `id or name`"},
		{"source", "source", "IPv6 source: this `address or prefix`"},
		{"interface-id", "interface_id", "Interface-Id of the relay at the attachment point: `text, or 0x and hex`"},
		{"remote-id", "remote_id", "Remote-Id of the relay next to the client: `enterprise:text, or 0x and hex`"},
		{"link-address", "link_address", "link-address of the relay at the attachment point: this `address or prefix`"},
		{"limit", "limit", "so many at most"},
	} {
		values[x.parameter] = f.String(x.flag, "", x.about)
	}
	state := &manual.Choice{}
	for _, s := range append(leasefile.States(), leasefile.Former) {
		state.Of = append(state.Of, string(s))
	}
	values["state"] = &state.Value
	f.Var(state, "state", "in this `state`: offered, bound, expired, released or declined; former is expired or "+
		"released")
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
	f := c.flags("leases list")
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
	out := bufio.NewWriter(c.stdout)
	t := table{w: out, limit: longestCell}
	if err := t.row("ADDRESS", "SUBNET", "STATE", "EXPIRES", "IPV6 SOURCE", "CLIENT", "REMOTE-ID",
		"ATTACHMENT POINT"); err != nil {
		return err
	}
	err = leasefile.Read(body, leasefile.NDJSON, func(_ int, l *leasefile.Lease, err error) error {
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
		return t.row(l.Address.String(), subnet(l), string(l.State), expiry(l), source, client, orDash(l.RemoteID),
			point(l))
	})
	return errors.Join(err, t.flush(), out.Flush())
}

// longestCell has room for an IPv6 address, and for a client identifier with a DUID. -json and
// leases show have all of one that is longer.
const longestCell = 64

// subnet is the id of the subnet that a lease was given in, with the name if it has one, or marked
// if no subnet has its address now.
func subnet(l *leasefile.Lease) string {
	switch {
	case l.Orphaned:
		return fmt.Sprintf("none, was %d", l.Subnet)
	case l.SubnetName != "":
		return fmt.Sprintf("%d (%s)", l.Subnet, l.SubnetName)
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
	source, hw := "not known", "none"
	if l.HWAddress != "" {
		hw = fmt.Sprintf("%s (type %d)", l.HWAddress, l.HWType)
	}
	if l.Source.IsValid() {
		source = l.Source.String()
	}
	_, err := fmt.Fprintf(c.stdout, "address           %v\nsubnet            %s\nstate             %s\nclient id         "+
		"%s\nhardware address  %s\n"+
		"IPv6 source       %s\nattachment point  %s\nRemote-Id         %s\nstart             %s\nchanged           %s\nexpires           %s\n",
		l.Address, subnet(l), l.State, cmp.Or(l.ClientID, "none"), hw, source, point(l), cmp.Or(l.RemoteID, "none"),
		moment(l.Start), moment(l.Changed), expiry(l))
	return err
}

func (c *call) show(args []string) error    { return c.about("show", "GET", args) }
func (c *call) release(args []string) error { return c.about("release", "DELETE", args) }

// about does something about one address and shows what comes of it.
func (c *call) about(name, method string, args []string) error {
	f := c.flags("leases " + name)
	at, asJSON := clientFlag(f), f.Bool("json", false, "as a JSON object")
	if err := f.Parse(args); err != nil {
		return err
	}
	a, err := oneAddress(f)
	if err != nil {
		return err
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	var l leasefile.Lease
	if err := x.Get(c.ctx, method, "/v1/leases/"+a.String(), nil, &l); err != nil {
		return fmt.Errorf("%v: %w", a, err)
	}
	return c.print(&l, *asJSON)
}

func (c *call) reserve(args []string) error {
	f := c.flags("leases reserve")
	at, asJSON := clientFlag(f), f.Bool("json", false, "as a JSON object")
	id := f.String("client-id", "", "client identifier (option 61), in `hex`adecimal")
	hw := f.String("hw-address", "", "hardware address of a client without identifier, in any `notation`")
	hwType := f.Uint("hw-type", 1, "hardware type")
	long := f.Duration("time", 24*time.Hour, "how long the client has to come; 0 for ever")
	if err := f.Parse(args); err != nil {
		return err
	}
	a, err := oneAddress(f)
	if err != nil {
		return err
	}
	seconds := *long / time.Second
	switch {
	case *id == "" && *hw == "":
		return errors.New("leases reserve: nobody is named; give -client-id, or -hw-address for a client without one")
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
	f := c.flags("leases export")
	at, filters := clientFlag(f), filterFlags(f)
	format := &manual.Choice{Value: string(leasefile.CSV),
		Of: []string{string(leasefile.CSV), string(leasefile.NDJSON), string(leasefile.Array)}}
	f.Var(format, "format", "`format`: csv, ndjson or json; only the first two can be imported")
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
		return c.exportStore(leasefile.Format(format.Value))
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	wanted := format.Value
	if leasefile.Format(wanted) == leasefile.Array {
		wanted = string(leasefile.NDJSON) // of which the array is made here; the API's is a page
	}
	q.Set("format", wanted)
	body, err := x.Do(c.ctx, "GET", "/v1/leases", q, nil)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // nothing was written to it
	if wanted == format.Value {
		_, err := io.Copy(c.stdout, body)
		return err
	}
	w, err := leasefile.NewWriter(c.stdout, leasefile.Array)
	if err != nil {
		return err
	}
	if err := leasefile.Read(body, leasefile.NDJSON,
		func(_ int, l *leasefile.Lease, err error) error { return errors.Join(err, w.Write(l)) }); err != nil {
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

// openStore opens the store of a dhcp4d that is stopped. The clock gives the time line of its
// leases.
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
	s, err := engine.Open(conf.Store.URL(), engine.Options{Log: log, Now: now.Now, Clock: now})
	return s, conf, now, err
}
