package asking

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

func TestOnlyVerdictsThatSayNothingAreOneInMemory(t *testing.T) {
	for name, v := range map[string]*event.Verdict{
		"drop":       {Drop: true, Because: otherReason},
		"classes":    {Classes: []int{0}},
		"address":    {Address: netip.MustParseAddr("192.0.2.1")},
		"pool":       {Pool: "phones"},
		"lease time": {LeaseTime: 1},
		"options":    {Options: []outside.Option{{Code: 12}}},
	} {
		if kept(v) != v {
			t.Errorf("a verdict with %s is lost", name)
		}
	}
	if kept(&event.Verdict{Classes: []int{}}) != open {
		t.Error("a verdict that says nothing has memory of its own")
	}
	if n := reflect.TypeFor[event.Verdict]().NumField(); n != 7 {
		t.Errorf("a verdict has %d fields, and kept looks at 7", n)
	}
}

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
			var q event.Query
			octets := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6})
			octets = dhcp4.AppendEnd(dhcp4.AppendType(octets, dhcp4.Discover))
			var message dhcp4.Message
			if why := message.Parse(octets); why != drop.None {
				b.Fatal(why)
			}
			decide := func(client int) hook.Result {
				binary.BigEndian.PutUint32(message.CHAddr(), uint32(client))
				e.Begin(expression.Query{Message: &message}, nil, &member)
				q.Message, q.Evaluator, q.Subnet = &message, &e, subnet
				return a.Decide(&q)
			}
			for client := range bm.clients {
				if decide(client) == hook.GoOn {
					b.Fatal("a verdict is known to nobody")
				}
				a.Learn(a.Asking(nil), &outside.Answer{Verdict: outside.Continue, Keep: 3600}, 0, nil)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if r := decide(i * 40503 % bm.clients); r != hook.GoOn { // far from the one before
					b.Fatal(r)
				}
			}
		})
	}
}
