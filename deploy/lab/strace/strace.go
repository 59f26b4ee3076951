// Package strace reads what strace saw a dhcp4d do, and judges whether any
// acknowledgement left before the record of its lease was on stable storage.
//
// It knows the way from a record to the disk on its own: the blocks of
// Pebble's log, the batches in it, and the key and value of a binding. It is
// given one file per thread, as strace writes them with [Options].
package strace

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Options are the arguments of strace for a trace with the prefix given: the
// tracer is not the parent (-D), a file per thread (-ff), start and duration
// of every call, file names, all octets in hexadecimal.
func Options(prefix string) []string {
	return []string{"strace", "-D", "-ff", "-o", prefix, "-ttt", "-T", "-y", "-xx", "-s", "1048576",
		"-e", "trace=write,pwrite64,writev,pwritev,fsync,fdatasync,sendto,sendmsg,sendmmsg"}
}

// A Call is a system call that returned.
type Call struct {
	Name       string
	Begin, End time.Duration // since the epoch
	File       string        // of its descriptor
	Result     int
	Data       []byte // written or sent, of all buffers
}

var (
	line   = regexp.MustCompile(`^([0-9]+\.[0-9]+) ([a-z0-9_]+)\((.*)\) += (-?[0-9]+).* <([0-9]+\.[0-9]+)>$`)
	name   = regexp.MustCompile(`^[0-9]+<((?:\\x[0-9a-f]{2})*)>`)
	buffer = regexp.MustCompile(`(?:iov_base=|>, )"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
)

// Read reads the files of a trace and returns the calls as they began.
func Read(prefix string) ([]Call, error) {
	files, err := filepath.Glob(prefix + ".*")
	if err != nil {
		return nil, fmt.Errorf("looking for the trace: %w", err)
	}
	var calls []Call
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("reading the trace: %w", err)
		}
		for l := range strings.Lines(string(b)) {
			c, ok, err := parse(strings.TrimSuffix(l, "\n"))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", filepath.Base(f), err)
			}
			if ok {
				calls = append(calls, c)
			}
		}
	}
	slices.SortStableFunc(calls, func(a, b Call) int { return int(a.Begin - b.Begin) })
	return calls, nil
}

// parse reads one line; signals and exits are none.
func parse(l string) (c Call, ok bool, err error) {
	m := line.FindStringSubmatch(l)
	if m == nil {
		return c, false, nil
	}
	c.Name = m[2]
	if c.Begin, err = seconds(m[1]); err != nil {
		return c, false, err
	}
	took, err := seconds(m[5])
	if err != nil {
		return c, false, err
	}
	c.End = c.Begin + took
	if c.Result, err = strconv.Atoi(m[4]); err != nil {
		return c, false, err
	}
	if n := name.FindStringSubmatch(m[3]); n != nil {
		c.File = string(octets(n[1]))
	}
	for _, b := range buffer.FindAllStringSubmatch(m[3], -1) {
		if b[2] != "" {
			return c, false, fmt.Errorf("strace has cut a buffer short: %.80s", l)
		}
		c.Data = append(c.Data, octets(b[1])...)
	}
	return c, true, nil
}

// seconds reads a number of seconds with six decimals, exactly.
func seconds(s string) (time.Duration, error) { return time.ParseDuration(s + "s") }

func octets(escaped string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(escaped, `\x`, ""))
	if err != nil {
		panic(err) // the expression takes nothing else
	}
	return b
}

// A Verdict is what a trace shows.
type Verdict struct {
	ACKs    int // acknowledgements sent
	Records int // that were made durable
	Syncs   int // of the log
	// Early are the ACKs that no durable record covers, in words.
	Early []string
}

// event is a moment in a trace.
type event struct {
	at   time.Duration
	rank int // of events at one moment: what proves least comes first
	do   func() error
}

// slack is what the second of a record may be off from the second of its ACK:
// both are cut off, and deciding comes before sending.
const slack = 2

// Judge goes through a trace. An ACK is early unless a record of its address
// that lasts as long as the ACK says is durable when the call that sends it
// begins; and a record is durable when a sync, which began after the record's
// write had returned, has returned without an error.
func Judge(calls []Call) (Verdict, error) {
	var v Verdict
	logs := make(map[string]*journal)
	lasts := make(map[[4]byte]int64) // durable, by address: when it ends
	var events []event
	for i := range calls {
		c := &calls[i]
		isLog := strings.HasSuffix(c.File, ".log")
		switch c.Name {
		case "sendto", "sendmsg", "sendmmsg":
			events = append(events, event{c.Begin, 0, func() error {
				for _, a := range acks(c.Data) {
					v.ACKs++
					if last, ok := lasts[a.address]; !ok {
						v.Early = append(v.Early, fmt.Sprintf("%v: no record of %v is durable", c.Begin, a.address))
					} else if want := int64(c.Begin/time.Second) + a.lease - slack; last < want {
						v.Early = append(v.Early, fmt.Sprintf("%v: %v is acknowledged until %d, durable is %d", c.Begin, a.address, want, last))
					}
				}
				return nil
			}})
		case "write", "pwrite64", "writev", "pwritev":
			if !isLog || c.Result < 0 {
				continue
			}
			if c.Name[0] == 'p' {
				return v, fmt.Errorf("%s is written out of order, which is not understood", c.File)
			}
			events = append(events, event{c.End, 2, func() error {
				j := logs[c.File]
				if j == nil {
					j = &journal{}
					logs[c.File] = j
				}
				j.written = append(j.written, c.Data[:min(c.Result, len(c.Data))]...)
				return nil
			}})
		case "fsync", "fdatasync":
			if !isLog || c.Result != 0 {
				continue
			}
			var j *journal
			var length int
			events = append(events, event{c.Begin, 1, func() error {
				if j = logs[c.File]; j != nil {
					length = len(j.written)
				}
				return nil
			}}, event{c.End, 3, func() error {
				v.Syncs++
				if j == nil {
					return nil
				}
				return j.durable(length, func(address [4]byte, ends int64) {
					v.Records++
					lasts[address] = ends
				})
			}})
		}
	}
	slices.SortStableFunc(events, func(a, b event) int {
		if a.at != b.at {
			return int(a.at - b.at)
		}
		return a.rank - b.rank
	})
	for _, e := range events {
		if err := e.do(); err != nil {
			return v, err
		}
	}
	return v, nil
}

type ack struct {
	address [4]byte
	lease   int64
}

// acks finds the DHCPACKs with an address in what was sent, which may be
// several datagrams.
func acks(b []byte) (found []ack) {
	cookie := []byte{0x63, 0x82, 0x53, 0x63}
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], cookie)
		if i < 0 {
			return found
		}
		if at += i; at < 236 {
			continue
		}
		a := ack{address: [4]byte(b[at-220:])}
		kind := byte(0)
		for o := b[at+4:]; len(o) > 2 && o[0] != 255 && len(o) >= 2+int(o[1]); o = o[2+int(o[1]):] {
			switch v := o[2 : 2+o[1]]; {
			case o[0] == 53 && len(v) == 1:
				kind = v[0]
			case o[0] == 51 && len(v) == 4:
				a.lease = int64(v[0])<<24 | int64(v[1])<<16 | int64(v[2])<<8 | int64(v[3])
			}
		}
		if kind == 5 && a.address != ([4]byte{}) {
			found = append(found, a)
		}
	}
}
