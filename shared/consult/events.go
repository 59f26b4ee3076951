package consult

import (
	"slices"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/spool"
)

const (
	// maxUndone is about how many octets of events a program is told before it is done with some.
	maxUndone = 256 << 10
	// atOnce is the most octets of events in one write, so that questions do not wait for long.
	atOnce = outside.MaxFromDaemon
)

// feed is the events of one connection.
type feed struct {
	buf  []byte // of the goroutine that writes
	at   uint64 // behind what was told, of the same
	said string // the last error, of the same

	mu     sync.Mutex
	done   uint64  // behind what the program is done with
	told   []event // that the program is not done with
	undone int     // octets of these
}

// event is one that was told.
type event struct {
	cursor spool.Cursor
	octets int
}

// feedFor returns the events that a program wants, nil if it wants none.
func (l *Link) feedFor(h *outside.Hello) *feed {
	if h.Events == outside.NoEvents {
		return nil
	}
	if l.o.Events == nil {
		l.o.Log.Warn("the program outside wants events, and none are kept; set DHCP4D_OUTSIDE_EVENTS",
			"program", h.Name)
		return nil
	}
	at, end := l.o.Events.Bounds()
	switch {
	case len(h.Cursor) > 0:
		var known bool
		if at, known = l.o.Events.Position(h.Cursor); !known {
			l.o.Log.Warn("the program outside wants the events after one that is not known; it gets all that are kept",
				"program", h.Name)
		}
	case h.Events == outside.NewEvents:
		at = end
	}
	return &feed{buf: make([]byte, atOnce), at: at, done: at}
}

// readAgain is the pause after events could not be read.
const readAgain = time.Second

// nextEvents returns the events that are to be told next, if any.
func (l *Link) nextEvents(f *feed) []byte {
	f.mu.Lock()
	undone := f.undone
	f.mu.Unlock()
	if undone > maxUndone {
		return nil
	}
	n, next, err := l.o.Events.Read(f.buf, f.at)
	if err != nil {
		if f.said != err.Error() {
			f.said = err.Error()
			l.o.Log.Error("events cannot be read for the program outside, trying again", "error", err)
		}
		time.AfterFunc(readAgain, l.more)
		return nil
	}
	f.at = next
	f.mu.Lock()
	defer f.mu.Unlock()
	for octets := f.buf[:n]; len(octets) > 0; {
		record, _, _ := outside.Next(octets, outside.MaxFromDaemon)
		f.told = append(f.told, event{spool.CursorOf(record), len(record)})
		octets = octets[len(record):]
	}
	f.undone += n
	return f.buf[:n]
}

// done notes that the program is done with some events. It reports whether the program was told
// them, and whether it says so for the first time.
func (l *Link) done(f *feed, r outside.Record) (told, first bool) {
	if f == nil {
		return false, false
	}
	for code, value := range r.Fields() {
		if code != outside.FieldCursor || len(value) != spool.CursorLen {
			continue
		}
		if told, first = f.until(spool.Cursor(value)); first {
			l.more()
		}
	}
	return told, first
}

// until forgets the events up to one.
func (f *feed) until(last spool.Cursor) (told, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last.Position() <= f.done {
		return true, false
	}
	i := slices.IndexFunc(f.told, func(e event) bool { return e.cursor == last })
	if i < 0 {
		return false, false
	}
	f.done = last.Position()
	for _, e := range f.told[:i+1] {
		f.undone -= e.octets
	}
	f.told = slices.Delete(f.told, 0, i+1)
	return true, true
}
