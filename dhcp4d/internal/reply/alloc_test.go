package reply

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// exchanges are queries with their decisions: the usual ones, and one that
// needs every try of placing options and joins pieces.
func exchanges(t testing.TB) map[string]func(buf []byte) drop.Reason {
	list, options := many(40)
	options[121], options[3] = bytes.Repeat([]byte{0, 1, 2, 3, 4}, 60), []byte{1, 2, 3, 4}
	queries := map[string]dhcp4.Message{
		"offer":     query(t, dhcp4.Discover, "3d0fff0000000100030001080027123456 3706 0103060f1c2a 390205dc"),
		"ack":       query(t, dhcp4.Request, "3d0fff0000000100030001080027123456 3706 0103060f1c2a 390205dc 5203010161"),
		"nak":       query(t, dhcp4.Request, "3d0fff0000000100030001080027123456"),
		"too large": query(t, dhcp4.Discover, "3d020102"+list+"3d020304 3702 7903 5203010161 52020203"),
	}
	runs := make(map[string]func([]byte) drop.Reason)
	for name, q := range queries {
		r := usual(dhcp4.Offer)
		switch name {
		case "ack":
			r = usual(dhcp4.ACK)
		case "nak":
			r = usual(dhcp4.NAK)
			r.Message = "the address belongs to another client of this subnet"
		case "too large":
			r.Options, r.SIAddr = options, addr("0.0.0.0")
		}
		runs[name] = func(buf []byte) drop.Reason {
			_, why := Append(buf[:0], &q, &r)
			return why
		}
	}
	return runs
}

func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 0, 1500)
	for name, run := range exchanges(t) {
		if why := run(buf); why != drop.None {
			t.Fatalf("%s: %v", name, why)
		}
		if n := testing.AllocsPerRun(100, func() { run(buf) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	buf := make([]byte, 0, 1500)
	for name, run := range exchanges(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(buf)
			}
		})
	}
}
