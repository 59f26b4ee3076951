package synctrace

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Verdict is what a trace shows.
type Verdict struct {
	ACKs    int // ACKs that were sent
	Records int // records that were made durable
	Syncs   int // syncs of the store: calls, or writes that sync
	// Early says in words which ACKs no durable record covers.
	Early []string
}

// event is a moment in a trace.
type event struct {
	at   time.Duration
	rank int // the order of events at the same moment: the one that proves least comes first
	do   func() error
}

// The ranks.
const (
	sends = iota
	closes
	syncs // and writes, when they begin
	written
	durable
	opened
)

// slack is how many seconds the end of a lease in its record may differ from its end in the ACK.
// Both are rounded down, and the ACK is later than the decision.
const slack = 2

// A descriptor is an open file descriptor.
type descriptor struct {
	dsync bool // its writes are durable when they return
	at    int64
}

// A piece is a write to a file.
type piece struct {
	at     int64
	octets []byte
}

// A file is a file of the store.
type file struct {
	pending []piece // written, not yet known to be durable
	settled int     // the number of pieces before those, durable or lost
	content interface {
		durable(b []byte, at int64, fn func(binding)) error
	}
}

// A judge reads a trace.
type judge struct {
	Verdict
	fds      map[int]*descriptor
	files    map[string]*file
	segments segments
	lasts    map[[4]byte]int64 // the end of the durable lease, by address
}

// Judge reads a trace. An ACK is early unless a durable record has its address and lasts as long as
// the ACK says. The record must be durable when the call begins that sends the ACK. A write is
// durable
//
//   - when the write has returned, as far as it says, if the descriptor was
//     opened with O_DSYNC or O_SYNC and the trace shows that;
//   - else when a sync of the file, which began after the write had returned,
//     has returned without an error, and none before it with one.
//
// And a record is durable when all of its batch is.
func Judge(calls []Call) (Verdict, error) {
	j := &judge{fds: make(map[int]*descriptor), files: make(map[string]*file), lasts: make(map[[4]byte]int64)}
	var events []event
	for i := range calls {
		events = append(events, j.events(&calls[i])...)
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.rank - b.rank
	})
	for _, e := range events {
		if err := e.do(); err != nil {
			return j.Verdict, err
		}
	}
	return j.Verdict, nil
}

func (j *judge) events(c *Call) []event {
	switch c.Name {
	case "sendto", "sendmsg", "sendmmsg":
		return []event{{c.Begin, sends, func() error { j.sent(c); return nil }}}
	case "openat":
		if c.Result < 0 {
			return nil
		}
		return []event{{c.End, opened, func() error {
			set := strings.Split(c.Flags, "|")
			j.fds[c.FD] = &descriptor{dsync: slices.Contains(set, "O_DSYNC") || slices.Contains(set, "O_SYNC")}
			return nil
		}}}
	case "close":
		return []event{{c.Begin, closes, func() error { delete(j.fds, c.FD); return nil }}}
	case "write", "pwrite64", "writev", "pwritev":
		return j.writes(c)
	case "fsync", "fdatasync":
		return j.syncs(c)
	}
	return nil
}

// syncs treats a failed sync as the loss of the pending writes. The kernel reports the failure only
// once, and the next sync would succeed.
func (j *judge) syncs(c *Call) []event {
	f := j.file(c.File)
	if f == nil {
		return nil
	}
	upTo := 0
	return []event{{c.Begin, syncs, func() error {
		upTo = f.settled + len(f.pending)
		return nil
	}}, {c.End, durable, func() error {
		if c.Result == 0 {
			j.Syncs++
		}
		for ; f.settled < upTo; f.settled++ {
			p := f.pending[0]
			f.pending = f.pending[1:]
			if c.Result != 0 {
				continue
			}
			if err := j.durable(c, f, p); err != nil {
				return err
			}
		}
		return nil
	}}}
}

func (j *judge) writes(c *Call) []event {
	f := j.file(c.File)
	if f == nil || c.Result < 0 {
		return nil
	}
	p := piece{c.Offset, c.Data[:min(c.Result, len(c.Data))]}
	var d *descriptor
	begins := event{c.Begin, syncs, func() error {
		if d = j.fds[c.FD]; d == nil {
			d = &descriptor{} // the trace does not have its opening
			j.fds[c.FD] = d
		}
		return nil
	}}
	return []event{begins, {c.End, written, func() error {
		if c.Name[0] == 'w' {
			p.at = d.at
			d.at += int64(c.Result)
		}
		if !d.dsync {
			f.pending = append(f.pending, p)
			return nil
		}
		j.Syncs++
		return j.durable(c, f, p)
	}}}
}

// file returns the file of that name if the store writes records to it, else nil.
func (j *judge) file(path string) *file {
	f, base := j.files[path], filepath.Base(path)
	switch {
	case f != nil:
	case strings.HasPrefix(base, segmentPrefix):
		s := j.segments.file(path)
		if s == nil {
			return nil // the name of a segment that is not complete yet
		}
		f = &file{content: s}
	case strings.HasSuffix(base, ".log"):
		f = &file{content: &pebbleLog{}}
	default:
		return nil
	}
	j.files[path] = f
	return f
}

func (j *judge) durable(c *Call, f *file, p piece) error {
	err := f.content.durable(p.octets, p.at, func(r binding) {
		j.Records++
		j.lasts[r.address] = r.ends
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	return nil
}

func (j *judge) sent(c *Call) {
	for _, a := range acks(c.Data) {
		j.ACKs++
		if last, ok := j.lasts[a.address]; !ok {
			j.Early = append(j.Early, fmt.Sprintf("%v: no record of %v is durable", c.Begin, a.address))
		} else if want := int64(c.Begin/time.Second) + a.lease - slack; last < want {
			j.Early = append(j.Early,
				fmt.Sprintf("%v: %v is acknowledged until %d, durable is %d", c.Begin, a.address, want, last))
		}
	}
}
