package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// An Event is a change in a session.
type Event string

// The events. Those of the first group come with a lease that holds from then
// on, those of the second with one that holds no more.
const (
	Obtained  Event = "obtained"  // DISCOVER, OFFER, REQUEST, ACK
	Confirmed Event = "confirmed" // the lease of before a restart, by INIT-REBOOT
	Resumed   Event = "resumed"   // the same, nobody answered, and it has not ended
	Renewed   Event = "renewed"
	Rebound   Event = "rebound"

	Lost     Event = "lost"     // refused by a NAK, or ended unrenewed
	Stopped  Event = "stopped"  // a refresh had no option 88
	Declined Event = "declined" // the address is in use
	Released Event = "released" // at the end of the session
	Kept     Event = "kept"     // at the end of the session, not released

	// Learned and Missing are about option 88: it named servers that were not
	// known, or was not there.
	Learned Event = "learned"
	Missing Event = "missing"
)

// Holds says that the event's lease is in force.
func (e Event) Holds() bool {
	switch e {
	case Obtained, Confirmed, Resumed, Renewed, Rebound:
		return true
	}
	return false
}

// A Session is a client's life: it asks for option 88, obtains a lease, renews
// and rebinds it in time, starts again when it is refused or over (RFC 2131
// §4.4, Figure 5), asks for option 88 again in time and stops when it is gone
// (RFC 7341 §9).
//
// The random delay of one to ten seconds before the first message (RFC 2131
// §4.4.1) is left out: it spreads a power cut's worth of clients, not one.
type Session struct {
	Client *Client
	// Changed is told of each event before the session goes on; an error ends
	// it.
	Changed func(Event, *Lease) error
	// Former is the lease of before a restart, if there is one.
	Former *Lease
	// InUse, when not nil, says whether somebody else has an address that was
	// just obtained; it is then declined.
	InUse func(*Lease) bool
	// Once ends the session with the first lease, which is kept, and after
	// Options.Retransmit.Tries without an answer.
	Once bool
	// Release gives the lease back when the context ends the session.
	Release bool
	// Refresh bounds the time after which option 88 is asked for again, which
	// is the server's when 0 ([Information].Refresh).
	Refresh time.Duration

	lease *Lease // in force
	// refresh is when to ask for option 88 again; zero is never.
	refresh time.Time
}

// also is asked for beside option 88, as any CPE does: a server that has nothing
// of what is asked for may not answer at all, and silence does not say that
// option 88 is gone.
const also = dhcpv6.OptionDNSRecursiveNameServer

// errStopped: there is no option 88 any more.
var errStopped = errors.New("option 88 is gone")

// pauseAfterDecline keeps a client from eating up a pool (RFC 2131 §3.1), or
// from turning in a circle with a server that refuses what it offers.
const pauseAfterDecline = 10 * time.Second

// Run returns nil when the context ended the session, or with Once the first
// lease.
func (s *Session) Run(ctx context.Context) error {
	for {
		err := s.find(ctx)
		if err == nil {
			err = s.serve(ctx)
		}
		switch {
		case errors.Is(err, errStopped):
		case ctx.Err() != nil:
			return s.end()
		default:
			return err
		}
	}
}

// find makes servers known. Those of Options.Servers need no asking.
func (s *Session) find(ctx context.Context) error {
	if len(s.Client.options.Servers) > 0 {
		return nil
	}
	for {
		info, err := s.patient().Information(ctx, also)
		if err != nil {
			return fmt.Errorf("asking for option 88: %w", err)
		}
		s.learn(info)
		if info.Offered && s.Once {
			return nil // whoever wants one lease wants one line
		}
		if info.Offered {
			return s.changed(Learned, nil)
		}
		if err := s.changed(Missing, nil); err != nil {
			return err
		}
		if s.Once {
			return ErrNoServers
		}
		if err := pause(ctx, s.refresh); err != nil {
			return err
		}
	}
}

// learn takes servers and refresh time over.
func (s *Session) learn(info *Information) {
	s.Client.servers = info.Servers
	s.refresh = info.again(s.Refresh)
}

// patient is a client that asks until it is answered, unless once.
func (s *Session) patient() *Client {
	c := *s.Client
	if !s.Once {
		c.options.Retransmit.Tries = 0
	}
	return &c
}

// serve has a lease until the context ends, 4o6 stops or something fails.
func (s *Session) serve(ctx context.Context) error {
	if err := s.boot(ctx); err != nil {
		return err
	}
	for {
		if s.lease == nil {
			if err := s.obtain(ctx); err != nil {
				return err
			}
			continue // it may have been declined
		}
		if s.Once {
			return nil
		}
		if err := s.wait(ctx, s.lease.Obtained.Add(s.lease.T1)); err != nil {
			return err
		}
		if err := s.extend(ctx); err != nil {
			return err
		}
	}
}

// boot asks for the former lease (INIT-REBOOT). When nobody answers it is used
// until it ends (RFC 2131 §3.2).
func (s *Session) boot(ctx context.Context) error {
	former := s.Former
	s.Former = nil
	if former == nil || !time.Now().Before(former.End()) {
		return nil
	}
	lease, err := s.Client.Reboot(ctx, former.Address)
	switch {
	case err == nil:
		return s.holds(Confirmed, lease)
	case errors.Is(err, ErrNoAnswer) && !s.Once:
		return s.holds(Resumed, former)
	case errors.Is(err, ErrNoAnswer), errors.Is(err, ErrNak):
		return nil
	}
	return err
}

func (s *Session) obtain(ctx context.Context) error {
	// Not beyond the time when option 88 is asked for again.
	attempt, cancel := ctx, context.CancelFunc(func() {})
	if !s.refresh.IsZero() {
		attempt, cancel = context.WithDeadline(ctx, s.refresh)
	}
	offer, err := s.patient().Discover(attempt)
	cancel()
	if err != nil {
		if attempt.Err() != nil && ctx.Err() == nil {
			return s.wait(ctx, time.Now())
		}
		return err
	}
	lease, err := s.Client.Select(ctx, offer)
	switch {
	case err == nil:
	case !s.Once && errors.Is(err, ErrNak):
		return s.wait(ctx, time.Now().Add(pauseAfterDecline)) // and start again
	case !s.Once && errors.Is(err, ErrNoAnswer):
		return s.wait(ctx, time.Now())
	default:
		return err
	}
	if s.InUse == nil || !s.InUse(lease) {
		return s.holds(Obtained, lease)
	}
	if err := s.Client.Decline(lease); err != nil {
		return err
	}
	if err := s.changed(Declined, lease); err != nil {
		return err
	}
	return s.wait(ctx, time.Now().Add(pauseAfterDecline))
}

// extend renews from T1 and rebinds from T2. It returns without a lease when
// it was refused or has ended.
func (s *Session) extend(ctx context.Context) error {
	t2, end := s.lease.Obtained.Add(s.lease.T2), s.lease.End()
	for time.Now().Before(end) {
		try, event, until := (*Client).Renew, Renewed, t2
		if !time.Now().Before(t2) {
			try, event, until = (*Client).Rebind, Rebound, end
		}
		// Half of what remains, at least a minute, but no longer than it
		// (RFC 2131 §4.4.5).
		next := time.Now().Add(min(max(time.Until(until)/2, time.Minute), time.Until(until)))
		once := *s.Client
		once.options.Retransmit = Retransmit{First: min(time.Until(next), listen), Tries: 1}
		longer, err := try(&once, ctx, s.lease)
		switch {
		case err == nil:
			return s.holds(event, longer)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrNak):
			return s.gone(Lost)
		}
		if err := s.wait(ctx, next); err != nil {
			return err
		}
	}
	return s.gone(Lost)
}

// listen is how long an answer to a renewal is waited for; what comes later is
// no answer.
const listen = 10 * time.Second

// wait sleeps, and asks for option 88 meanwhile when that is due. Without an
// answer what was learned before holds on (RFC 9915 §21.23).
func (s *Session) wait(ctx context.Context, until time.Time) error {
	for !s.refresh.IsZero() && !s.refresh.After(until) {
		if err := pause(ctx, s.refresh); err != nil {
			return err
		}
		ask := *s.Client
		info, err := ask.Information(ctx, also)
		switch {
		case errors.Is(err, ErrNoAnswer):
			s.refresh = time.Now().Add(refreshRetry)
			if s.Refresh > 0 {
				s.refresh = time.Now().Add(min(s.Refresh, refreshRetry))
			}
			continue
		case err != nil:
			return err
		}
		known := s.Client.servers
		if s.learn(info); info.Offered && !slices.Equal(known, info.Servers) {
			if err := s.changed(Learned, s.lease); err != nil {
				return err
			}
		}
		if !info.Offered {
			if s.lease != nil {
				s.Former = s.lease // to be asked for when option 88 is back
				if err := s.gone(Stopped); err != nil {
					return err
				}
			}
			return errStopped
		}
	}
	return pause(ctx, until)
}

// refreshRetry is how soon an unanswered refresh is repeated.
const refreshRetry = time.Minute

// holds puts a lease in force.
func (s *Session) holds(e Event, l *Lease) error {
	s.lease = l
	return s.changed(e, l)
}

// gone ends the lease.
func (s *Session) gone(e Event) error {
	l := s.lease
	s.lease = nil
	return s.changed(e, l)
}

// end gives the lease back or keeps it.
func (s *Session) end() error {
	if s.lease == nil {
		return nil
	}
	if !s.Release {
		return s.gone(Kept)
	}
	err := s.Client.Release(s.lease)
	return errors.Join(err, s.gone(Released))
}

func (s *Session) changed(e Event, l *Lease) error {
	if s.Changed == nil {
		return nil
	}
	return s.Changed(e, l)
}

// pause sleeps; an error when the context ended first.
func pause(ctx context.Context, until time.Time) error {
	if until.IsZero() { // never
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(until)):
		return nil
	}
}
