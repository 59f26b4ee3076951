package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// askTime is how long -check may take to look at the leases.
const askTime = 2 * time.Minute

// Unrenewed returns warnings for -check about leases that the subnets document would not renew. The
// dhcp4d that runs tells its leases by its API, which makes no query wait. Where none runs, the
// store is read, and not changed.
func Unrenewed(clocks clock.System) func(c config.Config) []string {
	return func(c config.Config) []string {
		ctx, cancel := context.WithTimeout(context.Background(), askTime)
		defer cancel()
		var u unrenewed
		if err := u.look(ctx, clocks, c); err != nil {
			return []string{fmt.Sprintf("the leases were not compared with DHCP4D_SUBNETS: %v", err)}
		}
		return u.warnings()
	}
}

// unrenewed are the leases in force that a configuration would not renew.
type unrenewed struct{ noSubnet, noPool group }

// group is some leases: how many, and the first few.
type group struct {
	n     int
	first []string
}

// shownAddresses is how many addresses of a group are named.
const shownAddresses = 3

func (g *group) add(a netip.Addr) {
	if g.n++; g.n <= shownAddresses {
		g.first = append(g.first, a.String())
	}
}

func (g *group) String() string {
	s := fmt.Sprintf("%d (%s", g.n, strings.Join(g.first, ", "))
	if g.n > shownAddresses {
		s += ", …"
	}
	return s + ")"
}

// add takes the address of a lease in force.
func (u *unrenewed) add(c *config.Config, a netip.Addr) {
	sub := c.Subnets.Containing(a)
	switch {
	case sub == nil:
		u.noSubnet.add(a)
	case sub.PoolOf(a) < 0 && sub.Reservations.At(a) == nil:
		u.noPool.add(a)
	}
}

func (u *unrenewed) warnings() (lines []string) {
	const fate = "; they will be kept until they end, and not renewed; "
	if u.noSubnet.n > 0 {
		lines = append(lines, "leases in no subnet of DHCP4D_SUBNETS: "+u.noSubnet.String()+fate+
			"add a subnet that has their addresses to renew them")
	}
	if u.noPool.n > 0 {
		lines = append(lines, "leases in a subnet of DHCP4D_SUBNETS and in none of its pools: "+
			u.noPool.String()+fate+"add a pool that has their addresses to renew them")
	}
	return lines
}

// look goes through the leases of the dhcp4d that runs, or of its store.
func (u *unrenewed) look(ctx context.Context, clocks clock.System, c config.Config) error {
	running, err := u.ask(ctx, c)
	if running || err != nil || c.Store == (config.Store{}) {
		return err
	}
	type known struct {
		a       netip.Addr
		expires lease.Time
	}
	var bound []known
	newest, err := engine.Read(c.Store.URL(),
		engine.Options{Log: slog.New(slog.DiscardHandler), Now: clock.New(clocks).Now}, func(b *lease.Binding) error {
			if b.State == lease.Bound {
				bound = append(bound, known{b.Addr, b.Expires})
			}
			return nil
		})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // there are no leases yet
	}
	if err != nil {
		return err
	}
	for _, b := range bound {
		if b.expires > newest {
			u.add(&c, b.a)
		}
	}
	return nil
}

// ask goes through the leases of the dhcp4d that runs. It reports whether there is one.
func (u *unrenewed) ask(ctx context.Context, c config.Config) (running bool, err error) {
	if c.API.Listen == "" {
		return false, nil
	}
	x, err := c.API.Client("")
	if err != nil || !x.HasToken() {
		return false, err // no dhcp4d has run here yet
	}
	body, err := x.Do(ctx, "GET", "/v1/leases",
		url.Values{"state": {string(leasefile.Bound)}, "format": {string(leasefile.CSV)}}, nil)
	if unreachable := new(url.Error); errors.As(err, &unreachable) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	defer body.Close() //nolint:errcheck // nothing was written to it
	return true, leasefile.Read(io.Reader(body), leasefile.CSV, func(_ int, l *leasefile.Lease, err error) error {
		if err == nil {
			u.add(&c, l.Address)
		}
		return err
	})
}
