package hooks

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// leaseLogVariables are the variables of the hook leaselog.
type leaseLogVariables struct {
	Path        string         `env:"PATH" envDefault:"stdout" kind:"stdout, stderr or the path of a file" desc:"hook leaselog: where one line of JSON per change of a lease goes; a file is appended to, and opened again by a reload that finds it moved away"`
	RotateSize  fileSize       `env:"ROTATE_SIZE" kind:"a size such as 100M or 1G" desc:"hook leaselog: rotate the file before it gets larger than this"`
	RotateDaily bool           `env:"ROTATE_DAILY" envDefault:"false" desc:"hook leaselog: rotate the file when a day begins, in UTC"`
	Compress    bool           `env:"COMPRESS" envDefault:"true" desc:"hook leaselog: compress rotated files with gzip"`
	Keep        config.Seconds `env:"KEEP" kind:"a duration such as 90s, 1h or 7d" desc:"hook leaselog: remove files that were rotated longer ago than this; unset means never"`
}

// fileSize is a size in octets.
type fileSize uint64

// minRotateSize is the least size at which a file may be rotated. A smaller one would make too many
// files.
const minRotateSize = 64 << 10

// UnmarshalText parses a number of octets, or a number of KiB, MiB or GiB with K, M or G behind it.
func (s *fileSize) UnmarshalText(text []byte) error {
	number, unit := string(text), uint64(1)
	for suffix, octets := range map[string]uint64{"K": 1 << 10, "M": 1 << 20, "G": 1 << 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = n, octets
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil || n*unit < minRotateSize || n*unit > math.MaxInt64 {
		return fmt.Errorf("%q is not a size of 64K or more, such as 100M or 1G", text)
	}
	*s = fileSize(n * unit)
	return nil
}

// Check implements hook.Checker.
func (v *leaseLogVariables) Check(c *hook.Check) {
	rotated := v.rotation().On()
	stream := v.Path == "stdout" || v.Path == "stderr"
	if stream && rotated {
		c.Mistake("PATH", fmt.Sprintf("%s cannot be rotated", v.Path),
			"name a file, or unset "+c.Name("ROTATE_SIZE")+" and "+c.Name("ROTATE_DAILY"))
	}
	if rotated {
		return
	}
	for _, name := range []string{"COMPRESS", "KEEP"} {
		if c.Given(name) {
			c.Mistake(name, "has no effect, because the lease log is not rotated",
				"set "+c.Name("ROTATE_SIZE")+" or "+c.Name("ROTATE_DAILY")+", or unset it")
		}
	}
}

func (v *leaseLogVariables) rotation() leaselog.Rotation {
	return leaselog.Rotation{Size: uint64(v.RotateSize), Daily: v.RotateDaily, Compress: v.Compress,
		Keep: v.Keep.Duration()}
}

// Needs implements hook.Needer.
func (v *leaseLogVariables) Needs() (variable, missing string) {
	if v.Path == "stdout" || v.Path == "stderr" {
		return "PATH", ""
	}
	return "PATH", config.MissingDirectory(filepath.Dir(v.Path))
}

// maxBuffer bounds the octets that wait to be written. It holds about ten thousand lines.
const maxBuffer = 4 << 20

// leaseLog is the hook that writes one JSON line for every change of a lease: who got which
// address, where, and until when.
//
// Changes are logged after they are durable, in the order of their commits. No client waits for the
// log: lines go to a bounded buffer, and a goroutine writes them to the file. If the file is too
// slow, lines are lost and counted.
type leaseLog struct {
	*logWriter // shared with the hook before a reload, if that wrote to the same path
	rotation   leaselog.Rotation
}

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

// output is what lines are written to.
type output interface {
	// WriteLines returns how many octets were written.
	WriteLines(lines []byte, now time.Time) (n int, err error)
	Close() error
}

// newLeaseLog opens the file for appending and starts a writer. If before writes to the same path,
// the new hook shares its writer, so that a reload loses no line.
func newLeaseLog(v *leaseLogVariables, env hook.Env, before *leaseLog) (*leaseLog, error) {
	const remedy = "opening the lease log: %w; make it writable or name another in DHCP4D_LEASELOG_PATH"
	if before != nil && before.path == v.Path {
		if err := before.reopen(); err != nil {
			return nil, fmt.Errorf(remedy, err)
		}
		if before.rotation == v.rotation() {
			return before, nil
		}
		return before.join(v.rotation()), nil
	}
	out, err := openOutput(v.Path)
	if err != nil {
		return nil, fmt.Errorf(remedy, err)
	}
	lost := metric.Once(env.Registry, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "leaselog_lost_lines_total",
		Help: "Lines of the lease log that could not be written.",
	}))
	return startLeaseLog(v.Path, out, v.rotation(), env.Log, lost), nil
}

func openOutput(path string) (output, error) {
	switch path {
	case "stdout":
		return &stream{WriteCloser: keepOpen{os.Stdout}}, nil
	case "stderr":
		return &stream{WriteCloser: keepOpen{os.Stderr}}, nil
	}
	return leaselog.Open(path)
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

// stream is standard output or standard error.
type stream struct {
	io.WriteCloser
	torn bool // the last write ended within a line
}

// WriteLines implements output. After a torn line it first ends that line.
func (s *stream) WriteLines(lines []byte, _ time.Time) (n int, err error) {
	if s.torn {
		if _, err := s.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	n, err = s.Write(lines)
	s.torn = n > 0 && lines[n-1] != '\n'
	return n, err
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

// Attach implements hook.Hook.
func (l *leaseLog) Attach(a *hook.Attachment) { event.Leases4Committed.Run(a, l.add) }

// closeWait is how long Close waits for a file that takes no data, such as a pipe without a reader.
const closeWait = time.Second

// Close ends the use of the writer. When the last hook is closed, the writer writes the lines that
// wait, and closes the file. Lines that come later, or that the file does not take in time, are
// lost and counted.
func (l *leaseLog) Close() error {
	w := l.logWriter
	w.mu.Lock()
	w.users = slices.DeleteFunc(w.users, func(u *leaseLog) bool { return u == l })
	last := len(w.users) == 0
	if w.closed = last; !last {
		w.inEffect = w.users[0].rotation
	}
	w.mu.Unlock()
	w.wakeTidy() // by the rotation that is in effect now
	if !last {
		return nil
	}
	w.more.Signal()
	w.stopTidy()
	late := time.After(closeWait)
	select {
	case <-w.tidied:
	case <-late: // tidy ends when the disk answers
	}
	select {
	case <-w.ended:
		return w.out.Close()
	case <-time.After(closeWait):
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.loseLocked(w.writing+countLines(w.buf), "the file takes nothing, and the daemon does not wait for it")
	w.buf, w.writing = nil, 0
	return nil // the writer still uses the file
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

// appendLine appends the line of a change, a JSON object. It writes what encoding/json would write
// of the type Line in the tests, but allocates nothing.
func appendLine(b []byte, e *event.Lease) []byte {
	v := &e.Binding
	b = appendTime(append(b, `{"time":`...), e.Time.UTC())
	b = appendText(append(b, `,"event":`...), e.Event.String())
	if e.By != "" {
		b = appendText(append(b, `,"by":`...), e.By)
	}
	b = appendAddr(append(b, `,"address":`...), v.Addr)
	b = strconv.AppendUint(append(b, `,"subnet":`...), uint64(v.Subnet), 10)
	if id := identifier(v.Client); len(id) > 0 {
		b = appendHex(append(b, `,"client_id":`...), id)
	}
	b = strconv.AppendUint(append(b, `,"hw_type":`...), uint64(v.HWType), 10)
	if len(v.HWAddr) > 0 {
		b = appendHex(append(b, `,"hw_address":`...), v.HWAddr)
	}
	b = appendAddr(append(b, `,"ipv6_source":`...), v.Source)
	if e.Interface != "" {
		b = appendText(append(b, `,"interface":`...), e.Interface)
	}
	for i := range e.Relays {
		if i == 0 {
			b = append(b, `,"relays":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendRelay(b, &e.Relays[i])
	}
	if len(e.Relays) > 0 {
		b = append(b, ']')
	} else if id := v.Remote(); len(id) > 0 {
		b = appendHex(append(b, `,"remote_id":`...), id) // no query has caused the change
	}
	b = appendTime(append(b, `,"start":`...), moment(v.Start))
	b = append(b, `,"expires":`...)
	if v.Expires == lease.Never {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, moment(v.Expires))
	}
	return append(b, '}', '\n')
}

func appendRelay(b []byte, r *event.Relay) []byte {
	b = appendAddr(append(b, `{"link_address":`...), r.LinkAddress)
	b = appendAddr(append(b, `,"peer_address":`...), r.PeerAddress)
	if len(r.InterfaceID) > 0 {
		b = appendHex(append(b, `,"interface_id":`...), r.InterfaceID)
	}
	if len(r.RemoteID) > 0 {
		b = appendHex(append(b, `,"remote_id":`...), r.RemoteID)
	}
	return append(b, '}')
}

func moment(t lease.Time) time.Time { return time.Unix(int64(t), 0).UTC() }

// appendTime appends a time as RFC 3339 has it.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, '"')
	if a.IsValid() {
		b = a.WithZone("").AppendTo(b)
	}
	return append(b, '"')
}

// appendText appends a name that an operator or a dhcp6d has given, as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, err := json.Marshal(s)
			if err != nil {
				panic("lease log: " + err.Error()) // a string can always be encoded
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// identifier returns the client identifier in a client key, nil if the key is a hardware address.
func identifier(key []byte) []byte {
	if len(key) == 0 || key[0] != dhcp4.KeyClientID {
		return nil
	}
	return key[1:]
}

// appendHex appends v in hexadecimal and in quotes.
func appendHex(b, v []byte) []byte { return append(octets.AppendHex(append(b, '"'), v), '"') }

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
