// Package tracetest measures what tracing costs a daemon.
package tracetest

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

// BatchSize is the number of datagrams of a batch.
const BatchSize = 64

// Benchmark measures a batch without watches, with watches of other subscribers, and with watches
// whose records nobody reads. Prepare returns the function that handles a batch of BatchSize
// datagrams of a client that is not {9}.
func Benchmark(b *testing.B, prepare func(b *testing.B, hub *trace.Hub) (batch func())) {
	other := trace.Subscriber{HWAddr: []byte{9}}
	everybody := trace.Subscriber{Source: netip.MustParsePrefix("::/0")}
	for _, c := range []struct {
		name    string
		watches int
		of      trace.Subscriber
	}{
		{"off", 0, trace.Subscriber{}},
		{"another", 1, other},
		{"a_hundred_others", 100, other},
		{"a_hundred_prefixes", 100, trace.Subscriber{Source: netip.MustParsePrefix("2001:db8:9::/64")}},
		{"unread", 1, everybody},
		{"a_hundred_unread", 100, everybody},
	} {
		b.Run(c.name, func(b *testing.B) {
			hub := new(trace.Hub)
			for range c.watches {
				w, err := hub.Watch(c.of)
				if err != nil {
					b.Fatal(err)
				}
				defer w.Close()
			}
			batch := prepare(b, hub)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				batch()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(BatchSize*b.N), "ns/datagram")
		})
	}
}
