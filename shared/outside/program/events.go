package program

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const (
	// maxEvents bounds the events that wait for Told. When there are more, the connection is closed
	// as soon as Told has got those: the daemon then sends the others again.
	maxEvents = 1 << 14
	// doneEvery is how many events are done together while more wait.
	doneEvery = 256
	// The pauses after an error of Told.
	firstPause, longestPause = 100 * time.Millisecond, 30 * time.Second
)

// events hands the events of one connection to Told.
type events struct {
	c      *connection
	path   string // of the cursor, empty if none is kept
	queue  chan []byte
	missed bool // an event was not queued; of the goroutine that reads
	closed chan struct{}
}

func newEvents(c *connection, daemon string) *events {
	e := &events{c: c, path: c.program.Cursor, queue: make(chan []byte, maxEvents), closed: make(chan struct{})}
	if e.path != "" && daemon != "" {
		e.path += "." + strings.Map(func(r rune) rune {
			if r == '/' || r == 0 {
				return '_'
			}
			return r
		}, daemon)
	}
	return e
}

// wants returns which events the program wants, and since which one.
func (e *events) wants() (outside.Events, []byte) {
	if e.path == "" {
		return outside.NewEvents, nil
	}
	p := e.c.program
	p.mu.Lock()
	if p.latest == nil {
		p.latest = map[string]*events{}
	}
	p.latest[e.path] = e
	p.mu.Unlock()
	cursor, err := os.ReadFile(e.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		e.c.log.Error("the cursor cannot be read; all events that are still known come again", "error", err)
	}
	return outside.AllEvents, cursor
}

// add queues an event.
func (e *events) add(record []byte) {
	if e.missed {
		return // those behind it would come too early
	}
	select {
	case e.queue <- record:
	default:
		e.missed = true
		close(e.closed)
	}
}

// run hands out events until the context ends.
func (e *events) run(ctx context.Context) {
	var done []byte // cursor of the last event that Told has taken
	since := 0
	for {
		var record []byte
		select {
		case record = <-e.queue:
		default:
			e.done(done, since)
			since = 0
			select {
			case record = <-e.queue:
			case <-e.closed:
				if len(e.queue) > 0 {
					continue
				}
				_ = e.c.conn.Close() // to get what was missed
				return
			case <-ctx.Done():
				return
			}
		}
		r, wrong := outside.Parse(record)
		if wrong != outside.None {
			continue
		}
		event := r.Event()
		for pause := firstPause; ; pause = min(2*pause, longestPause) {
			err := e.c.program.told(&event)
			if err == nil {
				break
			}
			e.c.log.Warn("an event was not taken, and is sent again", "error", err, "pause", pause)
			if sleep(ctx, pause); ctx.Err() != nil {
				e.done(done, since)
				return
			}
		}
		done = append(done[:0], event.Cursor...)
		if since++; since == doneEvery {
			e.done(done, since)
			since = 0
		}
	}
}

// done keeps the cursor of the last of some events that are done, and tells the daemon.
func (e *events) done(cursor []byte, n int) {
	if n == 0 {
		return
	}
	p := e.c.program
	p.mu.Lock()
	latest := p.latest[e.path] == e // a newer connection may have come further
	p.mu.Unlock()
	if e.path != "" && latest {
		if err := replace(e.path, cursor); err != nil {
			e.c.log.Error("the cursor cannot be kept; after the next start events come again", "error", err)
		}
	}
	e.c.send(outside.AppendDone(nil, cursor))
}

// replace replaces a file, so that there is a whole one after a power cut.
func replace(path string, content []byte) error {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, content) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
