package synctrace

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
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

// batch is a journal's batch that binds 192.0.2.n until a time. before is the batch before, nil for
// the first one.
func batch(segment uint32, number uint64, before []byte, n byte, ends uint64) []byte {
	value := binary.BigEndian.AppendUint64(append([]byte{1, 2}, make([]byte, 22)...), ends)
	record := append([]byte{1, 192, 0, 2, n, 0, 0, 0, 0}, value...)
	b := binary.BigEndian.AppendUint32(nil, 0x5ab81fe3)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint64(b, 0x9c3f0a17c2d4e5f6)
	b = binary.BigEndian.AppendUint32(b, segment)
	if before == nil {
		before = make([]byte, 8)
	}
	b = append(b, before[4:8]...)
	for _, v := range []uint64{number, 1, now} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(2+len(record)))
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(record))), record...)
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], crc32.MakeTable(crc32.Castagnoli)))
	return append(b, make([]byte, 4096-len(b))...)
}

func send(from int, b []byte) Call {
	return Call{Name: "sendmmsg", Begin: at(from), End: at(from), FD: 3, File: "UDPv6", Result: 1, Data: b}
}

// judged runs the judge on a table of traces.
func judged(t *testing.T, name string, early int, calls ...Call) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Helper()
		v, err := Judge(calls)
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Early) != early || v.ACKs == 0 {
			t.Errorf("%+v, want %d early", v, early)
		}
	})
}

func TestJudgePebble(t *testing.T) {
	const log = "/leases/000004.log"
	write := func(from, to int, b []byte) Call {
		return Call{Name: "write", Begin: at(from), End: at(to), FD: 5, File: log, Result: len(b), Data: b}
	}
	sync := func(from, to, result int) Call {
		return Call{Name: "fdatasync", Begin: at(from), End: at(to), FD: 5, File: log, Result: result}
	}
	r := record(7, now+3600)
	judged(t, "written, synced, sent", 0, write(0, 1, r), sync(2, 3, 0), send(4, acked(7)))
	judged(t, "sent twice", 0, write(0, 1, r), sync(2, 3, 0), send(4, acked(7)), send(5, acked(7)))
	judged(t, "two in one call, one of another address", 1, write(0, 1, r), sync(2, 3, 0), send(4, append(acked(7), acked(8)...)))
	judged(t, "written in two parts", 0, write(0, 1, r[:20]), write(1, 1, r[20:]), sync(2, 3, 0), send(4, acked(7)))
	judged(t, "sent while the sync runs", 1, write(0, 1, r), sync(2, 5, 0), send(4, acked(7)))
	judged(t, "synced while the write ran", 1, write(0, 3, r), sync(2, 4, 0), send(5, acked(7)))
	judged(t, "two syncs at a time, the later one ends first", 0, write(0, 1, r), sync(2, 9, 0), sync(3, 4, 0), send(5, acked(7)))
	judged(t, "only a part synced", 1, write(0, 1, r[:20]), sync(2, 3, 0), write(3, 3, r[20:]), send(4, acked(7)))
	judged(t, "never synced", 1, write(0, 1, r), send(4, acked(7)))
	judged(t, "the sync failed", 1, write(0, 1, r), sync(2, 3, -1), send(4, acked(7)))
	judged(t, "the sync failed and the next one did not", 1, write(0, 1, r), sync(2, 3, -1), sync(3, 3, 0), send(4, acked(7)))
	judged(t, "another file synced", 1, write(0, 1, r), Call{Name: "fsync", Begin: at(2), End: at(3), FD: 6, File: "/leases/000005.log"}, send(4, acked(7)))
	judged(t, "what is durable ends before what is acknowledged", 1, write(0, 1, record(7, now+1800)), sync(2, 3, 0), send(4, acked(7)))
	judged(t, "no disk at all", 1, send(4, acked(7)))
}

func TestJudgeJournal(t *testing.T) {
	const name, syncing = "/leases/segment-0000000002", "O_RDWR|O_DSYNC|O_DIRECT|O_CLOEXEC"
	open := func(ms int, flags string) Call {
		return Call{Name: "openat", Begin: at(ms), End: at(ms), FD: 9, File: name, Flags: flags, Result: 9}
	}
	write := func(from, to int, b []byte, offset int64) Call {
		return Call{Name: "pwrite64", Begin: at(from), End: at(to), FD: 9, File: name, Offset: offset, Result: len(b), Data: b}
	}
	sync := func(from, to, result int) Call {
		return Call{Name: "fdatasync", Begin: at(from), End: at(to), FD: 9, File: name, Result: result}
	}
	closed := func(ms int) Call { return Call{Name: "close", Begin: at(ms), End: at(ms), FD: 9, File: name} }
	b, eighth := batch(2, 1, nil, 7, now+3600), batch(2, 1, nil, 8, now+3600)
	short, failed := write(1, 2, b, 0), write(1, 2, b, 0)
	short.Result, failed.Result = 64, -1
	spoilt := bytes.Clone(b)
	spoilt[60]++

	judged(t, "written past the cache, sent", 0, open(0, syncing), write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "O_SYNC is enough", 0, open(0, "O_WRONLY|O_SYNC"), write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "sent while the write runs", 1, open(0, syncing), write(1, 4, b, 0), send(3, acked(7)))
	judged(t, "sent before the write", 1, open(0, syncing), send(0, acked(7)), write(1, 2, b, 0))
	judged(t, "the write failed", 1, open(0, syncing), failed, send(3, acked(7)))
	judged(t, "the write was short", 1, open(0, syncing), short, send(3, acked(7)))
	judged(t, "the write was short and the rest followed", 0, open(0, syncing), short, write(2, 3, b[64:], 64), send(4, acked(7)))
	judged(t, "a descriptor without O_DSYNC", 1, open(0, "O_RDWR|O_DIRECT|O_CLOEXEC"), write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "a descriptor whose opening was not seen", 1, write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "the descriptor's number was O_DSYNC once", 1, open(0, syncing), closed(1), open(1, "O_RDWR"), write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "closed, and what it is now was not seen", 1, open(0, syncing), closed(1), write(1, 2, b, 0), send(3, acked(7)))
	judged(t, "without O_DSYNC, synced", 0, open(0, "O_RDWR|O_CLOEXEC"), write(1, 2, b, 0), sync(3, 3, 0), send(4, acked(7)))
	judged(t, "without O_DSYNC, sent while the sync runs", 1, open(0, "O_RDWR|O_CLOEXEC"), write(1, 2, b, 0), sync(3, 5, 0), send(4, acked(7)))
	judged(t, "without O_DSYNC, the sync failed", 1, open(0, "O_RDWR|O_CLOEXEC"), write(1, 2, b, 0), sync(3, 3, -1), send(4, acked(7)))
	judged(t, "a batch that no start would take, for its checksum", 1, open(0, syncing), write(1, 2, spoilt, 0), send(3, acked(7)))
	judged(t, "a batch behind a gap", 1, open(0, syncing), write(1, 2, b, 4096), send(3, acked(7)))
	judged(t, "a second batch", 0, open(0, syncing), write(1, 2, eighth, 0), write(3, 4, batch(2, 2, eighth, 7, now+3600), 4096), send(5, acked(7)))
	judged(t, "a second batch whose number is another", 1,
		open(0, syncing), write(1, 2, eighth, 0), write(3, 4, batch(2, 3, eighth, 7, now+3600), 4096), send(5, acked(7)))
	judged(t, "a second batch that follows another one", 1,
		open(0, syncing), write(1, 2, eighth, 0), write(3, 4, batch(2, 2, b, 7, now+3600), 4096), send(5, acked(7)))
	judged(t, "a batch of another segment", 1, open(0, syncing), write(1, 2, batch(1, 1, nil, 7, now+3600), 0), send(3, acked(7)))
	next := func(b []byte) []Call {
		const name = "/leases/segment-0000000003"
		return []Call{
			open(0, syncing), write(1, 2, eighth, 0),
			{Name: "openat", Begin: at(3), End: at(3), FD: 10, File: name, Flags: syncing, Result: 10},
			{Name: "pwrite64", Begin: at(4), End: at(5), FD: 10, File: name, Result: 4096, Data: b}, send(6, acked(7)),
		}
	}
	judged(t, "a next segment that follows a batch that is not there", 1, next(batch(3, 3, eighth, 7, now+3600))...)
	judged(t, "a next segment that follows the last batch", 0, next(batch(3, 2, eighth, 7, now+3600))...)
	judged(t, "what is durable ends before what is acknowledged", 1, open(0, syncing), write(1, 2, batch(2, 1, nil, 7, now+1800), 0), send(3, acked(7)))
	judged(t, "a segment made of zeros first", 0,
		open(0, "O_RDWR|O_CREAT|O_TRUNC|O_CLOEXEC"), Call{Name: "write", Begin: at(1), End: at(2), FD: 9, File: name, Result: 8192, Data: make([]byte, 8192)},
		sync(3, 4, 0), closed(5), open(6, syncing), write(7, 8, b, 0), send(9, acked(7)))
}

func TestABatchAcrossBlocks(t *testing.T) {
	// A batch that is longer than the rest of its block, in two chunks.
	var l pebbleLog
	whole := record(9, now)[11:]
	filler := make([]byte, chunkBlock-11-11-30)
	chunk := func(kind byte, b []byte) []byte {
		return append([]byte{0, 0, 0, 0, byte(len(b)), byte(len(b) >> 8), kind, 0, 0, 0, 0}, b...)
	}
	b := chunk(5, append(make([]byte, 12), bytes.Repeat([]byte{0, 0}, (len(filler)-12)/2)...))
	first := chunkBlock - len(b) - 11
	b = append(b, chunk(6, whole[:first])...)
	b = append(b, chunk(8, whole[first:])...)
	var got binding
	if err := l.durable(b, 0, func(r binding) { got = r }); err != nil || got != (binding{[4]byte{192, 0, 2, 9}, now}) {
		t.Errorf("read %v, %v", got, err)
	}
}

func TestRead(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "trace")
	var hexed strings.Builder
	for _, c := range "/l/1.log" {
		fmt.Fprintf(&hexed, `\x%02x`, c)
	}
	text := `1700000000.000010 openat(AT_FDCWD<\x2f>, "` + hexed.String() + `", O_RDWR|O_CREAT|O_DSYNC|O_DIRECT|O_CLOEXEC, 0600) = 5<` + hexed.String() + `> <0.000020>
1700000000.000050 pwrite64(5<` + hexed.String() + `>, "\x01\x02", 2, 4096) = 2 <0.000050>
1700000000.000100 write(5<` + hexed.String() + `>, "\x01\x02", 2) = 2 <0.000050>
--- SIGURG {si_signo=SIGURG} ---
1700000000.000300 sendmmsg(8<\x55>, [{msg_hdr={msg_name={}, msg_iov=[{iov_base="\x03", iov_len=1}], msg_iovlen=1}, msg_len=1}, {msg_hdr={msg_iov=[{iov_base="\x04", iov_len=1}]}}], 2, 0) = 2 <0.000010>
1700000000.000400 fdatasync(5<` + hexed.String() + `>) = -1 EIO (Input/output error) <0.000010>
1700000000.000500 futex(0x1, FUTEX_WAIT) = ?
`
	if err := os.WriteFile(prefix+".1", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	calls, err := Read(prefix)
	if err != nil || len(calls) != 5 {
		t.Fatalf("the calls are %+v, %v", calls, err)
	}
	o, p, w, s, f := calls[0], calls[1], calls[2], calls[3], calls[4]
	if o.FD != 5 || o.Result != 5 || o.File != "/l/1.log" || o.Flags != "O_RDWR|O_CREAT|O_DSYNC|O_DIRECT|O_CLOEXEC" {
		t.Errorf("openat: %+v", o)
	}
	if p.FD != 5 || p.Offset != 4096 || string(p.Data) != "\x01\x02" {
		t.Errorf("pwrite64: %+v", p)
	}
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
