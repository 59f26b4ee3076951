package reply

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// exchange is a query and what its answer is made of.
type exchange struct {
	name    string
	query   []byte
	typ     dhcp4.MessageType
	message string
	options Options
}

// answer does with a query what a server does.
func (e *exchange) answer(q *dhcp4.Message, buf []byte) ([]byte, drop.Reason) {
	if why := q.Parse(e.query); why != drop.None {
		return nil, why
	}
	r := Reply{
		Type: e.typ, YIAddr: server.Next(), ServerID: server, LeaseTime: 3600, T1: 1800, T2: 3150,
		Message: e.message, Options: e.options, Room: RoomDirect,
	}
	return Append(buf[:0], q, &r)
}

var server = addr("198.51.100.1")

// exchanges are the usual ones, and one that needs every try of placing options and joins pieces.
func exchanges(t testing.TB) []exchange {
	const id = "3d0fff0000000100030001080027123456"
	bytesOf := func(typ dhcp4.MessageType, options string) []byte {
		q := query(t, typ, options)
		return q.Bytes()
	}
	list, tooMany := many(40)
	tooMany[121], tooMany[3] = bytes.Repeat([]byte{0, 1, 2, 3, 4}, 60), []byte{1, 2, 3, 4}
	options := usual(dhcp4.Offer).Options
	return []exchange{
		{"offer", bytesOf(dhcp4.Discover, id+"3706 0103060f1c2a 390205dc"), dhcp4.Offer, "", options},
		{"ack", bytesOf(dhcp4.Request, id+"3706 0103060f1c2a 390205dc 5203010161"), dhcp4.ACK, "", options},
		{"nak", bytesOf(dhcp4.Request, id), dhcp4.NAK, "the address belongs to another client of this subnet", options},
		{"too large", bytesOf(dhcp4.Discover, "3d020102"+list+"3d020304 3702 7903 5203010161 52020203"), dhcp4.Offer, "", tooMany},
	}
}

func TestNoAllocation(t *testing.T) {
	buf := make([]byte, 0, 1500)
	var q dhcp4.Message
	for _, e := range exchanges(t) {
		if _, why := e.answer(&q, buf); why != drop.None {
			t.Fatalf("%s: %v", e.name, why)
		}
		if n := testing.AllocsPerRun(100, func() { e.answer(&q, buf) }); n != 0 {
			t.Errorf("%s: %v allocations", e.name, n)
		}
	}
}

// BenchmarkAnswer parses the query and appends the reply.
func BenchmarkAnswer(b *testing.B) {
	buf := make([]byte, 0, 1500)
	var q dhcp4.Message
	for _, e := range exchanges(b) {
		b.Run(e.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e.answer(&q, buf)
			}
		})
	}
}
