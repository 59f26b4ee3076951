package udp

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// row is what a stub of recvmmsg puts into one row.
type row struct {
	length, segment int
	truncated       bool
}

// stub makes a reader whose receives bring these batches of rows.
func stub(t *testing.T, batch int, fills ...[]row) *reader {
	t.Helper()
	c, err := Listen(Options{Address: netip.MustParseAddrPort("[::1]:0"), Coalesce: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	r := c.NewReader(batch).(*reader)
	serial := byte(0)
	r.receive = func(uintptr) bool {
		r.errno = 0
		for i, row := range fills[0] {
			m := &r.msgs[i]
			if m.header.Controllen != controlStride || m.header.Namelen != sizeofName6 || m.header.Flags != 0 {
				t.Errorf("row %d was not prepared: %+v", i, m.header)
			}
			onlyIPv6.putName(&r.names[i], netip.MustParseAddrPort("[::1]:9"))
			m.length = uint32(row.length)
			control := r.control[i*controlStride:][:0:controlStride]
			if row.segment > 0 {
				var data []byte
				control, data = appendControl(control, unix.IPPROTO_UDP, unix.UDP_GRO, 4)
				binary.NativeEndian.PutUint32(data, uint32(row.segment))
			}
			m.header.SetControllen(len(control))
			if row.truncated {
				m.header.Flags = unix.MSG_TRUNC
			}
			for j := range row.length {
				if row.segment > 0 && j > 0 && j%row.segment == 0 {
					serial++
				}
				r.rows[i*r.stride+j] = serial
			}
			serial++
		}
		r.filled = len(fills[0])
		fills = fills[1:]
		return true
	}
	return r
}

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		name  string
		batch int
		fills [][]row
		want  [][]int // lengths of the packets of each Read
	}{
		{"one datagram per row", 4, [][]row{{{100, 0, false}, {50, 0, false}}}, [][]int{{100, 50}}},
		{"a row of equal segments", 4, [][]row{{{300, 100, false}}}, [][]int{{100, 100, 100}}},
		{"the last segment is shorter", 4, [][]row{{{201, 100, false}}}, [][]int{{100, 100, 1}}},
		{"a segment as long as the row", 4, [][]row{{{100, 100, false}}}, [][]int{{100}}},
		{"a segment longer than the row", 4, [][]row{{{100, 1000, false}}}, [][]int{{100}}},
		{
			"a row holds more than a batch", 4,
			[][]row{{{1000, 100, false}, {7, 0, false}}, {{5, 0, false}}},
			[][]int{{100, 100, 100, 100}, {100, 100, 100, 100}, {100, 100, 7}, {5}},
		},
		{"a batch ends with a row", 2, [][]row{{{20, 10, false}, {30, 15, false}}, {{1, 0, false}}}, [][]int{{10, 10}, {15, 15}, {1}}},
		{"a truncated row is one truncated packet", 4, [][]row{{{300, 100, true}, {20, 10, false}}}, [][]int{{-300, 10, 10}}},
		{"an empty datagram", 4, [][]row{{{0, 0, false}, {1, 0, false}}}, [][]int{{0, 1}}},
		{"rows are prepared again", 2, [][]row{{{1, 0, true}}, {{2, 1, false}, {3, 0, false}}, {{4, 0, false}}}, [][]int{{-1}, {1, 1}, {3}, {4}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := stub(t, tc.batch, tc.fills...)
			serial := byte(0)
			for i, want := range tc.want {
				ps, err := r.Read()
				if err != nil {
					t.Fatal(err)
				}
				var got []int
				for _, p := range ps {
					length := len(p.Data)
					if length > 0 && !p.Truncated && p.Data[0] != serial {
						t.Errorf("read %d: packet %d where %d was due", i, p.Data[0], serial)
					}
					if cap(p.Data) > r.size || (!p.Truncated && length > 0 && p.Data[length-1] != serial) {
						t.Errorf("read %d: packet %d runs into the next", i, serial)
					}
					serial++
					if p.Truncated {
						length = -length
						serial += byte(max(0, (-length-1)/100)) // the stub counted its segments
					}
					got = append(got, length)
				}
				if !slices.Equal(got, want) {
					t.Errorf("read %d: %v, want %v", i, got, want)
				}
			}
		})
	}
}

// An error that belongs to a datagram sent earlier is not the reader's.
func TestReadGoesOn(t *testing.T) {
	r := stub(t, 1, []row{{length: 3}})
	receive, errs := r.receive, []unix.Errno{unix.ECONNREFUSED, unix.EINTR, unix.EHOSTUNREACH}
	r.receive = func(fd uintptr) bool {
		if len(errs) > 0 {
			r.errno, errs = errs[0], errs[1:]
			return true
		}
		return receive(fd)
	}
	ps, err := r.Read()
	if err != nil || len(ps) != 1 {
		t.Fatalf("%d packets, %v", len(ps), err)
	}
	r.receive = func(uintptr) bool { r.errno = unix.ENOMEM; return true }
	if _, err := r.Read(); err == nil {
		t.Error("no error")
	}
}
