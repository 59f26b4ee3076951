package consult

import (
	"sync/atomic"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	// maxUndone is about how many octets of events a program is told before it is done with some.
	maxUndone = 256 << 10
	// atOnce is the most octets of events in one write, so that questions do not wait for long.
	atOnce = outside.MaxFromDaemon
)

// feed is the events of one connection.
type feed struct {
	at   atomic.Uint64 // behind what was told
	done atomic.Uint64 // behind what the program is done with
	buf  []byte
}

// feedFor returns the events that a program wants, nil if it wants none.
func (l *Link) feedFor(h *outside.Hello) *feed {
	if h.Events == outside.NoEvents {
		return nil
	}
	if l.o.Events == nil {
		l.o.Log.Warn("the program outside wants events, and none are kept: set DHCP4D_OUTSIDE_EVENTS", "program", h.Name)
		return nil
	}
	at, end := l.o.Events.Bounds()
	switch {
	case len(h.Cursor) > 0:
		var known bool
		if at, known = l.o.Events.Place(h.Cursor); !known {
			l.o.Log.Warn("the program outside wants the events after one that is not known; it gets all that are kept", "program", h.Name)
		}
	case h.Events == outside.NewEvents:
		at = end
	}
	f := &feed{buf: make([]byte, atOnce)}
	f.at.Store(at)
	f.done.Store(at)
	return f
}

// nextEvents returns the events that are to be told next, if any.
func (l *Link) nextEvents(f *feed) []byte {
	at := f.at.Load()
	if at-f.done.Load() > maxUndone {
		return nil
	}
	n, next, err := l.o.Events.Read(f.buf, at)
	if err != nil {
		l.o.Log.Error("events cannot be read for the program outside", "error", err)
		return nil
	}
	f.at.Store(next)
	return f.buf[:n]
}

// done notes that the program is done with some events. It returns false if it was never told them.
func (l *Link) done(f *feed, r outside.Record) bool {
	if f == nil {
		return false
	}
	for code, value := range r.Fields() {
		if code != outside.FieldCursor {
			continue
		}
		if at, ours := l.o.Events.IsOurs(value); ours && at <= f.at.Load() {
			f.done.Store(max(at, f.done.Load()))
			l.more()
			return true
		}
	}
	return false
}
