package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
)

// A reporter handles each change: it configures the interface, then stores the lease, then prints a
// line.
type reporter struct {
	client     *client.Client
	out        io.Writer
	json       bool
	state      string
	configurer *configurer
}

func (r *reporter) changed(e client.Event, l *client.Lease) error {
	if l != nil && e != client.Learned {
		if err := r.use(e, l); err != nil {
			return err
		}
	}
	return r.print(newLine(e, l, r.client.Servers()))
}

// delegated obtains an IPv6 prefix and prints it.
func (r *reporter) delegated(ctx context.Context) error {
	p, err := r.client.Prefix(ctx)
	if err != nil {
		return fmt.Errorf("asking for an IPv6 prefix: %w", err)
	}
	return r.print(line{Time: time.Now().Round(time.Millisecond), Event: "delegated", Prefix: p})
}

func (r *reporter) print(x line) error {
	if !r.json {
		_, err := fmt.Fprintln(r.out, x)
		return err
	}
	b, err := json.Marshal(x)
	if err != nil {
		return fmt.Errorf("writing a report: %w", err)
	}
	_, err = fmt.Fprintf(r.out, "%s\n", b)
	return err
}

// use configures the interface and writes the file if the lease is in force. Otherwise it undoes
// both.
func (r *reporter) use(e client.Event, l *client.Lease) error {
	var errs []error
	if r.configurer != nil {
		if e.Holds() {
			errs = append(errs, r.configurer.apply(l))
		} else {
			errs = append(errs, r.configurer.remove())
		}
	}
	switch {
	case r.state == "":
	case e.Holds():
		errs = append(errs, keep(r.state, l))
	case e != client.Kept && e != client.Stopped: // those leases are requested again later
		if err := os.Remove(r.state); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("forgetting the lease: %w", err))
		}
	}
	return errors.Join(errs...)
}

// kept is the content of the state file: the DHCPACK and when it was requested. The address is only
// for people.
type kept struct {
	Address  string    `json:"address"`
	Obtained time.Time `json:"obtained"`
	ACK      []byte    `json:"ack"`
}

// keep writes a new file and renames it, so that a crash leaves either the old file or the new one.
func keep(name string, l *client.Lease) error {
	b, err := json.Marshal(kept{l.Address.String(), l.Obtained, l.Response.Carried})
	if err != nil {
		return fmt.Errorf("keeping the lease: %w", err)
	}
	fresh := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+".new")
	if err := os.WriteFile(fresh, b, 0o600); err != nil {
		return fmt.Errorf("keeping the lease: %w", err)
	}
	if err := os.Rename(fresh, name); err != nil {
		return fmt.Errorf("keeping the lease: %w", err)
	}
	return nil
}

// load returns the lease of the state file, nil if there is no such file.
func (r *reporter) load() (*client.Lease, error) {
	if r.state == "" {
		return nil, nil
	}
	b, err := os.ReadFile(r.state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the lease that was kept: %w", err)
	}
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return nil, fmt.Errorf("reading the lease that was kept in %s (delete it to start anew): %w", r.state, err)
	}
	l, err := client.ParseLease(k.ACK, k.Obtained)
	if err != nil {
		return nil, fmt.Errorf("reading the lease that was kept in %s (delete it to start anew): %w", r.state, err)
	}
	return l, nil
}
