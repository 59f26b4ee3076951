package hooks

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
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

// Attach implements hook.Hook.
func (l *leaseLog) Attach(a *hook.Attachment) { event.Leases4Committed.Run(a, l.add) }

// closeWait is how long Close waits for a file that takes no data, such as a pipe without a reader.
// Only tests change it.
var closeWait = time.Second

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
