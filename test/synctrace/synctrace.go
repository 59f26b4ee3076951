// Package synctrace reads the system calls of a dhcp4d, as strace recorded them. It judges whether
// an acknowledgement left before the record of its lease was on stable storage.
//
// It does not use the code of the stores. It has its own reader of Pebble's log, of a journal's
// segments, and of the bindings in them. Its input is one file per thread, made by strace with
// [Options]. The trace must begin with the start of dhcp4d, because the flags of a descriptor are
// known only from its opening.
package synctrace

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

// Options returns the arguments of strace for a trace with this prefix: the tracer is not the
// parent (-D), one file per thread (-ff), start and duration of every call, file names, octets in
// hexadecimal. Data is cut at 65536 octets. That holds a group of hundreds of records, but not
// all zeros of a new segment, which would take seconds to write.
func Options(prefix string) []string {
	return []string{"strace", "-D", "-ff", "-o", prefix, "-ttt", "-T", "-y", "-xx", "-s", "65536",
		"-e", "trace=openat,close,write,pwrite64,writev,pwritev,fsync,fdatasync,sendto,sendmsg,sendmmsg"}
}

// A Call is a system call that has returned.
type Call struct {
	Name       string
	Begin, End time.Duration // since the epoch
	FD         int           // its argument, or for openat its result
	File       string        // of that descriptor
	Flags      string        // of openat, such as O_RDWR|O_DSYNC
	Offset     int64         // of pwrite64, pwritev
	Result     int
	Data       []byte // written or sent, of all buffers; of a long write only the beginning
}

var (
	line   = regexp.MustCompile(`^([0-9]+\.[0-9]+) ([a-z0-9_]+)\((.*)\) += (-?[0-9]+(?:<(?:\\x[0-9a-f]{2})*)?).* <([0-9]+\.[0-9]+)>$`)
	name   = regexp.MustCompile(`^([0-9]+)<((?:\\x[0-9a-f]{2})*)`)
	flags  = regexp.MustCompile(`, (O_[A-Z_|]+)`)
	offset = regexp.MustCompile(`, ([0-9]+)$`)
	buffer = regexp.MustCompile(`(?:iov_base=|>, )"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?`)
)

// Read reads the files of a trace and returns the calls in the order in which they began.
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

// parse reads one line. It returns false for signals and exits.
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
	result, _, _ := strings.Cut(m[4], "<")
	if c.Result, err = strconv.Atoi(result); err != nil {
		return c, false, err
	}
	if c.Name == "openat" {
		if f := flags.FindStringSubmatch(m[3]); f != nil {
			c.Flags = f[1]
		}
		m[3] = m[4] // the result is the descriptor
	}
	if n := name.FindStringSubmatch(m[3]); n != nil {
		if c.FD, err = strconv.Atoi(n[1]); err != nil {
			return c, false, err
		}
		c.File = string(octets(n[2]))
	}
	if o := offset.FindStringSubmatch(m[3]); o != nil && c.Name[0] == 'p' {
		if c.Offset, err = strconv.ParseInt(o[1], 10, 64); err != nil {
			return c, false, err
		}
	}
	for _, b := range buffer.FindAllStringSubmatch(m[3], -1) {
		if b[2] != "" && c.Name[0] == 's' {
			return c, false, fmt.Errorf("strace has cut a buffer short: %.80s", l)
		}
		c.Data = append(c.Data, octets(b[1])...)
	}
	return c, true, nil
}

// seconds parses a number of seconds with six decimals, exactly.
func seconds(s string) (time.Duration, error) { return time.ParseDuration(s + "s") }

func octets(escaped string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(escaped, `\x`, ""))
	if err != nil {
		panic(err) // the regular expression matches only digits
	}
	return b
}

type ack struct {
	address [4]byte
	lease   int64
}

// acks returns the DHCPACKs with an address in sent data, which may be several datagrams.
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
