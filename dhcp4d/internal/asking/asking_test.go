package asking

import (
	"encoding/binary"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
)

// BenchmarkDecide shows what a verdict costs that is kept, of few clients and of as many as the
// cache takes by default, whose verdicts are in no cache of the processor.
func BenchmarkDecide(b *testing.B) {
	for _, bm := range []struct {
		name    string
		clients int
	}{{"64 clients", 64}, {"65536 clients", 65536}} {
		b.Run(bm.name, func(b *testing.B) {
			key, err := expression.CompileValue("pkt4.mac", nil)
			if err != nil {
				b.Fatal(err)
			}
			metrics := NewMetrics(prometheus.NewRegistry(), nil)
			link := consult.NewLink(consult.Options{Path: "/nowhere", Log: slog.New(slog.DiscardHandler), Metrics: metrics.Metrics})
			defer link.Close()
			a := &Asker{Config: Config{Key: key, Timeout: time.Second, Verdicts: bm.clients}, Link: link, Metrics: metrics, Cache: consult.NewCache(bm.clients)}
			subnet := &network.Subnet{ID: 1}
			var e expression.Evaluator
			var member expression.Membership
			octets := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6})
			octets = dhcp4.AppendEnd(dhcp4.AppendType(octets, dhcp4.Discover))
			var message dhcp4.Message
			if why := message.Parse(octets); why != drop.None {
				b.Fatal(why)
			}
			decide := func(client int) drop.Reason {
				binary.BigEndian.PutUint32(message.CHAddr(), uint32(client))
				e.Begin(expression.Query{Message: &message}, nil, &member)
				_, why := a.Decide(&e, subnet, parking.NoOutcome, nil, 0)
				return why
			}
			for client := range bm.clients {
				if decide(client) == drop.None {
					b.Fatal("a verdict is known to nobody")
				}
				a.Learn(a.Asking(nil), &outside.Answer{Verdict: outside.Continue, Keep: 3600}, 0, nil)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if why := decide(i * 40503 % bm.clients); why != drop.None { // far from the one before
					b.Fatal(why)
				}
			}
		})
	}
}
