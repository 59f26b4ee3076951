package hooks

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
)

// maxBuffer bounds the octets that wait to be written. It holds about ten thousand lines.
const maxBuffer = 4 << 20

// logWriter writes the lines of the hooks that use it.
type logWriter struct {
	path string
	log  *slog.Logger
	lost prometheus.Counter

	mu       sync.Mutex
	more     sync.Cond
	users    []*leaseLog // the one in effect first
	out      output
	inEffect leaselog.Rotation // of the first user, and of the last one after it has left
	next     *leaselog.File    // takes the place of out, nil if there is none
	buf      []byte
	line     []byte // scratch memory of add
	closed   bool
	warned   time.Time
	writing  int           // lines that are handed to the file
	ended    chan struct{} // closed when the writer has ended

	rotateAfter time.Time     // no rotation before this, because the last one failed; owned by write
	rotated     chan struct{} // wakes tidy
	stopTidy    context.CancelFunc
	tidied      chan struct{} // closed when tidy has returned
}

func startLeaseLog(path string, out output, r leaselog.Rotation, log *slog.Logger, lost prometheus.Counter) *leaseLog {
	ctx, stop := context.WithCancel(context.Background())
	w := &logWriter{
		path: path, log: log, out: out, lost: lost, ended: make(chan struct{}),
		rotated: make(chan struct{}, 1), stopTidy: stop, tidied: make(chan struct{}),
	}
	w.more.L = &w.mu
	l := w.join(r)
	go func() {
		defer close(w.ended)
		w.write()
	}()
	go func() {
		defer close(w.tidied)
		w.tidy(ctx)
	}()
	return l
}

// join returns another hook that uses the writer. Its rotation takes effect when the hooks before
// it are closed.
func (w *logWriter) join(r leaselog.Rotation) *leaseLog {
	l := &leaseLog{w, r}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.users = append(w.users, l)
	w.inEffect = w.users[0].rotation
	return l
}

// reopen makes the writer go on with a new file at its path, if somebody has moved the old file
// away.
func (w *logWriter) reopen() error {
	w.mu.Lock()
	file, ok := w.out.(*leaselog.File)
	if w.next != nil {
		file = w.next
	}
	w.mu.Unlock()
	if !ok || !file.MovedAway() {
		return nil
	}
	next, err := leaselog.Open(w.path)
	if err != nil {
		return err
	}
	w.mu.Lock()
	next, w.next = w.next, next
	w.mu.Unlock()
	w.more.Signal()
	if next != nil {
		return next.Close()
	}
	return nil
}

// add may be called by several goroutines.
func (w *logWriter) add(e *event.Lease) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line = appendLine(w.line[:0], e)
	switch {
	case w.closed:
		w.loseLocked(1, "the log was closed by a reload at that moment")
		return
	case len(w.buf)+len(w.line) > maxBuffer:
		w.loseLocked(1, "the file cannot be written as fast as leases change")
		return
	}
	w.buf = append(w.buf, w.line...)
	w.more.Signal()
}

// write is the writer's goroutine. It writes all lines that wait in one call.
func (w *logWriter) write() {
	var lines []byte
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.buf) == 0 && w.next == nil && !w.closed {
			w.more.Wait()
		}
		if len(w.buf) == 0 && w.next == nil {
			return
		}
		lines, w.buf = w.buf, lines[:0]
		w.writing = countLines(lines)
		out, next, rotation := w.out, w.next, w.inEffect
		w.next = nil
		w.mu.Unlock()
		if next != nil {
			w.closeOld(out)
			out = next
		}
		now := time.Now()
		if len(lines) > 0 {
			out = w.rotate(out, rotation, len(lines), now)
		}
		n, err := out.WriteLines(lines, now)
		w.mu.Lock()
		w.out = out
		if err != nil && w.writing > 0 {
			w.loseLocked(countLines(lines[n:]), err.Error())
		}
		w.writing = 0
	}
}

// rotateRetry is the pause after a failed rotation.
const rotateRetry = time.Minute

// rotate returns the output for the next octets: a new file if it is time for one.
func (w *logWriter) rotate(out output, r leaselog.Rotation, octets int, now time.Time) output {
	file, ok := out.(*leaselog.File)
	if !ok || now.Before(w.rotateAfter) || !file.Due(r, octets, now) {
		return out
	}
	next, err := file.Rotate(now)
	if err != nil {
		w.rotateAfter = now.Add(rotateRetry)
		w.log.Warn("the lease log was not rotated, it goes on in the same file; free the disk, or let the daemon "+
			"write to the directory", "error", err)
		return out
	}
	w.closeOld(out)
	w.wakeTidy()
	return next
}

// closeOld closes a file that has been replaced.
func (w *logWriter) closeOld(out output) {
	if err := out.Close(); err != nil {
		w.log.Warn("a file of the lease log could not be closed, its last lines may be missing", "error", err)
	}
}

// tidyEvery is how often tidy looks for rotated files that are too old.
const tidyEvery = time.Hour

func (w *logWriter) wakeTidy() {
	select {
	case w.rotated <- struct{}{}:
	default: // it is already woken
	}
}

// tidy is the goroutine that compresses and removes rotated files.
func (w *logWriter) tidy(ctx context.Context) {
	var tidier leaselog.Tidier
	every := time.NewTicker(tidyEvery)
	defer every.Stop()
	for {
		w.mu.Lock()
		r := w.inEffect
		w.mu.Unlock()
		if r.On() {
			if err := tidier.Tidy(ctx, w.path, r, time.Now()); err != nil {
				w.log.Warn("rotated files of the lease log could not be compressed or removed", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.rotated:
		case <-every.C:
		}
	}
}

func countLines(lines []byte) (n int) {
	for _, c := range lines {
		if c == '\n' {
			n++
		}
	}
	return n
}

// loseLocked counts lost lines, and logs that at most once a minute.
func (w *logWriter) loseLocked(n int, why string) {
	w.lost.Add(float64(n))
	if now := time.Now(); now.Sub(w.warned) >= time.Minute {
		w.warned = now
		w.log.Warn("lines of the lease log are lost", "reason", why)
	}
}
