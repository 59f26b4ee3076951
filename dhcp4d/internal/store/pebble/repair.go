package pebble

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// Repair repairs the Pebble store in a directory, as package engine says.
func Repair(dir string, o disk.Options, accept bool) (store.Repaired, error) {
	return disk.Repair(dir, disk.Pebble, o, owners, func(o disk.Options, unlabelled error) (store.Repaired, error) {
		return repair(dir, options{Options: o}, accept, unlabelled)
	})
}

// repair accepts that commits are missing. It cannot repair what Pebble itself cannot read.
// Unlabelled is what is wrong with the label, for which o has another one.
func repair(dir string, o options, accept bool, unlabelled error) (store.Repaired, error) {
	var out store.Repaired
	count := func(o options) (leases int, given uint64, err error) {
		s, err := open(dir, o)
		if err != nil {
			return 0, 0, err
		}
		defer s.Close() //nolint:errcheck // its log has everything
		// A store of format 1 gets its label when it is opened for writing.
		if o.accept && !o.readOnly && !s.OfFormat1() {
			if err := s.MarkRepaired(); err != nil {
				return 0, 0, fmt.Errorf("noting the repair: %w", err)
			}
		}
		l, err := s.Load(func(*lease.Binding) error { return nil })
		return l.Records, s.given, err
	}
	look := o
	look.readOnly = true
	var err error
	var d *disk.Damage
	switch out.Leases, _, err = count(look); {
	case err == nil && unlabelled == nil:
		return out, nil
	case err == nil:
		out.Damage = unlabelled
	case errors.As(err, &d):
		out.Damage, out.Since = errors.Join(unlabelled, err), d.Lost.Since
	default:
		return out, err
	}
	look.accept = true
	if out.Leases, out.Lost, err = count(look); err != nil {
		return out, fmt.Errorf("%w (Pebble cannot read it, so it cannot be repaired)", err)
	}
	if !accept {
		return out, nil
	}
	o.accept = true
	if _, _, err = count(o); err != nil {
		return out, err
	}
	out.Changed = true
	return out, nil
}

// owners asks the header in the database.
func owners(dir string, o disk.Options) (all []disk.Owner, err error) {
	s, err := open(dir, options{Options: o, readOnly: true, accept: true})
	if err != nil {
		return nil, err
	}
	defer s.Close() //nolint:errcheck // it was read only
	value, closer, err := s.db.Get(headerKey)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return nil, err
	default:
		h, err := parseHeader(value)
		if err := errors.Join(err, closer.Close()); err != nil {
			return nil, err
		}
		all = append(all, disk.Owner{File: "its database", Store: h.store})
	}
	return all, nil
}
