package dhcp4

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// consult does what a server does with a query: parse, check, key, and the
// look-ups of a decision and its reply.
func consult(m *Message, b, buf []byte) (sum int) {
	if m.Parse(b) != drop.None || m.CheckRequest() != drop.None {
		return 0
	}
	key, _ := m.AppendClientKey(buf[:0])
	sum += len(key)
	for _, code := range [...]byte{OptRequestedAddress, OptServerIdentifier, OptSubnetSelection} {
		if _, ok := m.Addr(code); ok {
			sum++
		}
	}
	if v, ok := m.Uint32(OptLeaseTime); ok {
		sum += int(v)
	}
	if v, ok := m.Uint16(OptMaximumMessageSize); ok {
		sum += int(v)
	}
	if info, ok := m.RelayInfo(); ok {
		if _, ok := info.LinkSelection(); ok {
			sum++
		}
	}
	if m.Requested(OptIPv6OnlyPreferred) {
		sum++
	}
	return sum + len(m.ParameterRequestList())
}

// queries are a usual one and one that takes the slow way everywhere.
func queries() map[string][]byte {
	usual := raw(53, 1, 3, 61, 15, 0xff, 0, 0, 0, 1, 0, 3, 0, 1, 8, 0, 39, 18, 52, 86,
		50, 4, 192, 0, 2, 10, 54, 4, 192, 0, 2, 1, 57, 2, 5, 220, 60, 3, 'c', 'p', 'e',
		55, 8, 1, 3, 6, 15, 28, 42, 119, 121, 12, 3, 'b', 'o', 'x', 255)
	pieces := overloaded(3, "3d03010203 37020306 ff", "5205 04c0000200 ff", 61, 2, 9, 9, 55, 1, 1, 82, 4, 1, 1, 'a', 5)
	return map[string][]byte{"usual": usual, "pieces": pieces}
}

func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 2048)
	var m Message
	for name, b := range queries() {
		if consult(&m, b, buf) == 0 {
			t.Fatalf("%s: not consulted", name)
		}
		if n := testing.AllocsPerRun(100, func() { consult(&m, b, buf) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(100, func() {
			h := m.Header()
			out := AppendHeader(buf[:0], &h)
			for code, v := range m.All() {
				out = AppendOption(out, code, v)
			}
			m.AppendEcho(out, OptClientIdentifier)
		}); n != 0 {
			t.Errorf("%s: %v allocations to write it again", name, n)
		}
	}
}

func BenchmarkParse(b *testing.B) {
	var m Message
	for name, q := range queries() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if why := m.Parse(q); why != drop.None {
					b.Fatal(why)
				}
			}
		})
	}
}

func BenchmarkConsult(b *testing.B) {
	buf := make([]byte, 2048)
	var m Message
	for name, q := range queries() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				consult(&m, q, buf)
			}
		})
	}
}
