package command

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// usage is a subnet as the API shows it.
type usage struct {
	ID     uint32      `json:"id"`
	Name   string      `json:"name"`
	Prefix string      `json:"prefix"`
	Net    string      `json:"network"`
	State  string      `json:"state"`
	Size   uint32      `json:"pool_addresses"`
	Free   uint32      `json:"free_addresses"`
	Bound  int         `json:"bound"`
	Offer  int         `json:"offered"`
	Bad    int         `json:"declined"`
	Former int         `json:"former"`
	Pools  []poolUsage `json:"pools"`
}

type poolUsage struct {
	Ranges []string `json:"ranges"`
	Size   uint32   `json:"pool_addresses"`
	Free   uint32   `json:"free_addresses"`
}

// subnets lists the subnets of a running dhcp4d by their use.
func (c *call) subnets(args []string) error {
	f := c.flags("subnets")
	at := clientFlag(f)
	asJSON := f.Bool("json", false, "one JSON object a line")
	only := f.String("subnet", "", "only the subnet with this `id or name`")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("subnets: %q is not understood; -subnet chooses one", f.Arg(0))
	}
	x, err := c.client(*at)
	if err != nil {
		return err
	}
	var list struct{ Subnets []usage }
	if err := x.Get(c.ctx, "GET", "/v1/subnets", nil, &list); err != nil {
		return err
	}
	if *only != "" {
		list.Subnets = slices.DeleteFunc(list.Subnets,
			func(u usage) bool { return u.Name != *only && fmt.Sprint(u.ID) != *only })
		if len(list.Subnets) == 0 {
			return exit.NotFound(fmt.Errorf("subnets: %q is neither the id nor the name of a subnet", *only))
		}
	}
	slices.SortStableFunc(list.Subnets, func(a, b usage) int {
		return cmp.Or(cmp.Compare(b.share(), a.share()), cmp.Compare(a.Free, b.Free), cmp.Compare(a.ID, b.ID))
	})
	if *asJSON {
		e := json.NewEncoder(c.stdout)
		for i := range list.Subnets {
			if err := e.Encode(&list.Subnets[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return writeSubnets(c.stdout, list.Subnets)
}

// share is how much of the pools is used, from 0 to 1. It is -1 of a subnet without addresses.
func (u *usage) share() float64 { return share(u.Size, u.Free) }

func share(size, free uint32) float64 {
	if size == 0 {
		return -1
	}
	return float64(size-free) / float64(size)
}

// percent is a share in words. What is not full does not look full.
func percent(size, free uint32) string {
	switch s := share(size, free); {
	case s < 0:
		return "-"
	case free > 0:
		return fmt.Sprintf("%.1f%%", min(s*100, 99.9))
	}
	return "100%"
}

// writeSubnets writes the table. A pool has a line of its own if its subnet has several.
func writeSubnets(w io.Writer, all []usage) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...any) error {
		_, err := fmt.Fprintln(t, strings.TrimRight(fmt.Sprintf(strings.Repeat("%v\t", len(cells)), cells...), "\t"))
		return err
	}
	networks := slices.ContainsFunc(all, func(u usage) bool { return u.Net != "" })
	columns := func(prefix, network string) string { // one column, or two where subnets share links
		if networks {
			return prefix + "\t" + network
		}
		return prefix
	}
	err := row("SUBNET", "NAME", columns("PREFIX", "NETWORK"), "STATE", "USED", "FREE", "ADDRESSES", "BOUND", "OFFERED",
		"DECLINED", "FORMER", "POOLS")
	for i := range all {
		u := &all[i]
		pools := "none"
		switch len(u.Pools) {
		case 0:
		case 1:
			pools = strings.Join(u.Pools[0].Ranges, ", ")
		default:
			pools = fmt.Sprintf("%d pools:", len(u.Pools))
		}
		err = errors.Join(err, row(u.ID, orDash(u.Name), columns(u.Prefix, orDash(u.Net)), u.State,
			percent(u.Size, u.Free), u.Free, u.Size, u.Bound, u.Offer, u.Bad, u.Former, pools))
		if len(u.Pools) < 2 {
			continue
		}
		for n, p := range u.Pools {
			err = errors.Join(err, row("", "", columns(fmt.Sprintf("  pool %d", n), ""), "", percent(p.Size, p.Free),
				p.Free, p.Size, "", "", "", "", strings.Join(p.Ranges, ", ")))
		}
	}
	return errors.Join(err, t.Flush())
}
