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

// The events. An event of the first group begins the use of its lease, one of the second group ends
// it.
const (
	Obtained  Event = "obtained"  // DISCOVER, OFFER, REQUEST, ACK
	Confirmed Event = "confirmed" // the lease from before a restart is still valid (INIT-REBOOT)
	Resumed   Event = "resumed"   // the same lease, which has not ended; no server answered
	Renewed   Event = "renewed"
	Rebound   Event = "rebound"

	Lost     Event = "lost"     // refused by a NAK, or it has ended
	Stopped  Event = "stopped"  // the Reply to a refresh had no option 88
	Declined Event = "declined" // another host uses the address
	Released Event = "released" // given back at the end of the session
	Kept     Event = "kept"     // not given back at the end of the session

	// Learned: option 88 named servers that were not known. Missing: a Reply had no option 88.
	Learned Event = "learned"
	Missing Event = "missing"
)

// Holds reports whether the event's lease is in force.
func (e Event) Holds() bool {
	switch e {
	case Obtained, Confirmed, Resumed, Renewed, Rebound:
		return true
	}
	return false
}

// A Session is what a client does over its life. It asks for option 88, obtains a lease, and renews
// and rebinds it in time. It starts again when the lease is refused or has ended (RFC 2131 §4.4,
// Figure 5). It asks for option 88 again in time, and stops using DHCPv4 over DHCPv6 when the
// option is gone (RFC 7341 §9).
//
// RFC 2131 §4.4.1 asks for a random delay of 1 to 10 s before the first message. A session has
// none: the delay spreads many clients after a power cut, and this is one client.
type Session struct {
	Client *Client
	// Changed is called with each event before the session goes on. An error ends the session.
	Changed func(Event, *Lease) error
	// Former is the lease from before a restart, if there is one.
	Former *Lease
	// InUse, if not nil, reports whether another host uses an address that was just obtained. The
	// session then declines the address.
	InUse func(*Lease) bool
	// Once ends the session with the first lease, which is kept. It also ends the session after
	// Options.Retransmit.Tries transmissions without an answer.
	Once bool
	// Release gives the lease back when ctx ends the session.
	Release bool
	// Refresh limits the time until option 88 is requested again. If it is 0, only the server's
	// time counts ([Information].Refresh).
	Refresh time.Duration

	lease *Lease // in force
	// refresh is when to ask for option 88 again. The zero time means never.
	refresh time.Time
}

// also is requested beside option 88, as by any CPE. A server that has none of the requested
// options may not answer at all, and that would not mean that option 88 is gone.
const also = dhcpv6.OptionDNSRecursiveNameServer

// errStopped means that there is no option 88 any more.
var errStopped = errors.New("option 88 is gone")

// pauseAfterDecline is the pause before a client starts again. It keeps the client from using up a
// pool (RFC 2131 §3.1), and from an endless loop with a server that refuses what it offers.
const pauseAfterDecline = 10 * time.Second

// Run returns nil when ctx has ended the session, or with Once when the client has its first lease.
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

// find learns the servers. If Options.Servers names them, it does nothing.
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
			return nil // with Once, the lease is the only event
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

// learn notes the servers and the refresh time.
func (s *Session) learn(info *Information) {
	s.Client.servers = info.Servers
	s.refresh = info.again(s.Refresh)
}

// patient returns a client that asks until it gets an answer, or with Once the client as it is.
func (s *Session) patient() *Client {
	c := *s.Client
	if !s.Once {
		c.options.Retransmit.Tries = 0
	}
	return &c
}

// serve holds a lease until ctx ends, option 88 is gone or an error occurs.
func (s *Session) serve(ctx context.Context) error {
	if err := s.boot(ctx); err != nil {
		return err
	}
	for {
		if s.lease == nil {
			if err := s.obtain(ctx); err != nil {
				return err
			}
			continue // because the address was declined, perhaps
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

// boot asks for the former lease (INIT-REBOOT). If no server answers, the session uses it until it
// ends (RFC 2131 §3.2).
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
	// Do not wait beyond the time at which option 88 is due.
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
		return s.wait(ctx, time.Now().Add(pauseAfterDecline)) // then start again
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

// extend renews from T1 on and rebinds from T2 on. Afterwards there is no lease if it was refused
// or has ended.
func (s *Session) extend(ctx context.Context) error {
	t2, end := s.lease.Obtained.Add(s.lease.T2), s.lease.End()
	for time.Now().Before(end) {
		try, event, until := (*Client).Renew, Renewed, t2
		if !time.Now().Before(t2) {
			try, event, until = (*Client).Rebind, Rebound, end
		}
		// Wait for half of the time that remains, but at least a minute, and never longer than what
		// remains (RFC 2131 §4.4.5).
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

// listen is how long the session waits for the answer to a renewal. A later answer is ignored.
const listen = 10 * time.Second

// wait sleeps. If option 88 is due meanwhile, it asks for it. If that has no answer, the earlier
// servers stay valid (RFC 9915 §21.23).
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
				s.Former = s.lease // requested again when option 88 is back
				if err := s.gone(Stopped); err != nil {
					return err
				}
			}
			return errStopped
		}
	}
	return pause(ctx, until)
}

// refreshRetry is the pause before a refresh without an answer is repeated.
const refreshRetry = time.Minute

// holds puts a lease in force.
func (s *Session) holds(e Event, l *Lease) error {
	s.lease = l
	return s.changed(e, l)
}

// gone ends the use of the lease.
func (s *Session) gone(e Event) error {
	l := s.lease
	s.lease = nil
	return s.changed(e, l)
}

// end gives the lease back, or keeps it.
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

// pause sleeps. It returns an error if ctx ends first.
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
