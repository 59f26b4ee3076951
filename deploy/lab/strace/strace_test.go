package strace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const now = 1_700_000_000

// record is a log with one batch that binds 192.0.2.n until a time.
func record(n byte, ends uint64) []byte {
	value := binary.BigEndian.AppendUint64(append([]byte{1, 2}, make([]byte, 22)...), ends)
	batch := append(make([]byte, 12), 1, 9, 1, 192, 0, 2, n, 0, 0, 0, 0, byte(len(value)))
	batch = append(batch, value...)
	return append([]byte{0, 0, 0, 0, byte(len(batch)), 0, 5, 0, 0, 0, 0}, batch...)
}

// acked is a datagram that acknowledges 192.0.2.n for an hour.
func acked(n byte) []byte {
	b := make([]byte, 240)
	copy(b[16:], []byte{192, 0, 2, n})
	copy(b[236:], []byte{0x63, 0x82, 0x53, 0x63})
	return append(b, 53, 1, 5, 51, 4, 0, 0, 0x0e, 0x10, 255)
}

func at(ms int) time.Duration { return now*time.Second + time.Duration(ms)*time.Millisecond }

func TestJudge(t *testing.T) {
	const log = "/leases/000004.log"
	write := func(from, to int, b []byte) Call {
		return Call{Name: "write", Begin: at(from), End: at(to), File: log, Result: len(b), Data: b}
	}
	sync := func(from, to, result int) Call {
		return Call{Name: "fdatasync", Begin: at(from), End: at(to), File: log, Result: result}
	}
	send := func(from int, b []byte) Call {
		return Call{Name: "sendmmsg", Begin: at(from), End: at(from), File: "UDPv6", Result: 1, Data: b}
	}
	r := record(7, now+3600)
	for _, tt := range []struct {
		name  string
		calls []Call
		early int
	}{
		{"written, synced, sent", []Call{write(0, 1, r), sync(2, 3, 0), send(4, acked(7))}, 0},
		{"sent twice", []Call{write(0, 1, r), sync(2, 3, 0), send(4, acked(7)), send(5, acked(7))}, 0},
		{"two in one call, one of another address", []Call{write(0, 1, r), sync(2, 3, 0), send(4, append(acked(7), acked(8)...))}, 1},
		{"written in two parts", []Call{write(0, 1, r[:20]), write(1, 1, r[20:]), sync(2, 3, 0), send(4, acked(7))}, 0},
		{"sent while the sync runs", []Call{write(0, 1, r), sync(2, 5, 0), send(4, acked(7))}, 1},
		{"synced while the write ran", []Call{write(0, 3, r), sync(2, 4, 0), send(5, acked(7))}, 1},
		{"only a part synced", []Call{write(0, 1, r[:20]), sync(2, 3, 0), write(3, 3, r[20:]), send(4, acked(7))}, 1},
		{"never synced", []Call{write(0, 1, r), send(4, acked(7))}, 1},
		{"the sync failed", []Call{write(0, 1, r), sync(2, 3, -1), send(4, acked(7))}, 1},
		{"another file synced", []Call{write(0, 1, r), {Name: "fsync", Begin: at(2), End: at(3), File: "/leases/000005.log"}, send(4, acked(7))}, 1},
		{"what is durable ends before what is acknowledged", []Call{write(0, 1, record(7, now+1800)), sync(2, 3, 0), send(4, acked(7))}, 1},
		{"no disk at all", []Call{send(4, acked(7))}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			v, err := Judge(tt.calls)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Early) != tt.early || v.ACKs == 0 {
				t.Errorf("%+v, want %d early", v, tt.early)
			}
		})
	}
}

func TestABatchAcrossBlocks(t *testing.T) {
	// A batch too long for what its block has left, in two chunks.
	var j journal
	whole := record(9, now)[11:]
	filler := make([]byte, blockSize-11-11-30)
	chunk := func(kind byte, b []byte) []byte {
		return append([]byte{0, 0, 0, 0, byte(len(b)), byte(len(b) >> 8), kind, 0, 0, 0, 0}, b...)
	}
	j.written = append(j.written, chunk(5, append(make([]byte, 12), bytes.Repeat([]byte{0, 0}, (len(filler)-12)/2)...))...)
	first := blockSize - len(j.written) - 11
	j.written = append(j.written, chunk(6, whole[:first])...)
	j.written = append(j.written, chunk(8, whole[first:])...)
	var got [4]byte
	if err := j.durable(len(j.written), func(a [4]byte, _ int64) { got = a }); err != nil || got != [4]byte{192, 0, 2, 9} {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestRead(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "trace")
	var hexed strings.Builder
	for _, c := range "/l/1.log" {
		fmt.Fprintf(&hexed, `\x%02x`, c)
	}
	text := `1700000000.000100 write(5<` + hexed.String() + `>, "\x01\x02", 2) = 2 <0.000050>
--- SIGURG {si_signo=SIGURG} ---
1700000000.000300 sendmmsg(8<\x55>, [{msg_hdr={msg_name={}, msg_iov=[{iov_base="\x03", iov_len=1}], msg_iovlen=1}, msg_len=1}, {msg_hdr={msg_iov=[{iov_base="\x04", iov_len=1}]}}], 2, 0) = 2 <0.000010>
1700000000.000400 fdatasync(5<` + hexed.String() + `>) = -1 EIO (Input/output error) <0.000010>
1700000000.000500 futex(0x1, FUTEX_WAIT) = ?
`
	if err := os.WriteFile(prefix+".1", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := Read(prefix)
	if err != nil || len(calls) != 3 {
		t.Fatalf("%+v, %v", calls, err)
	}
	w, s, f := calls[0], calls[1], calls[2]
	if w.File != "/l/1.log" || string(w.Data) != "\x01\x02" || w.End-w.Begin != 50*time.Microsecond || w.Begin != now*time.Second+100*time.Microsecond {
		t.Errorf("write: %+v", w)
	}
	if s.Name != "sendmmsg" || string(s.Data) != "\x03\x04" {
		t.Errorf("sendmmsg: %+v", s)
	}
	if f.Result != -1 {
		t.Errorf("fdatasync: %+v", f)
	}
}
