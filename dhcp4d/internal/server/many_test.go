package server

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// many is a document with n of something. Client i has the hardware address 02:00:00:00:00:i and
// the identifier ff:i.
func many(kind string, n int) string {
	var b strings.Builder
	list := func(format string) {
		for i := range n {
			fmt.Fprintf(&b, format, i>>8, i&0xff)
		}
	}
	subnet := "subnets:\n  - id: 1\n    subnet: 192.0.0.0/16\n    match: [{interface: eth1}]\n    pools: [192.0.2.10-192.0.2.250]\n"
	switch kind {
	case "classes by a test":
		b.WriteString("classes:\n")
		list("  - {test: \"pkt4.mac == 0x02000000%02x%02x and pkt4.htype == 1\", options: {merit-dump: x}}\n")
	case "classes by a part of a value":
		b.WriteString("classes:\n")
		list("  - {test: \"substring(pkt4.mac, 4, 2) == 0x%02x%02x\", options: {merit-dump: x}}\n")
	case "classes by a test, each with a reservation":
		b.WriteString("classes:\n")
		for i := range n {
			fmt.Fprintf(&b, "  - {name: c%d, test: \"pkt4.mac == 0x02000001%02x%02x\"}\n", i, i>>8, i&0xff)
		}
	case "classes by a hardware address":
		b.WriteString("classes:\n")
		list("  - {hw-address: \"02:00:00:00:%02x:%02x\", options: {merit-dump: x}}\n")
	case "classes by the beginning of a vendor class":
		b.WriteString("classes:\n")
		list("  - {vendor-class: \"Acme %02x%02x*\", options: {merit-dump: x}}\n")
	}
	b.WriteString(subnet)
	switch kind {
	case "reservations by hardware address":
		b.WriteString("    reservations:\n")
		for i := range n {
			fmt.Fprintf(&b, "      - {hw-address: \"02:00:00:01:%02x:%02x\", address: 192.0.%d.%d, options: {merit-dump: x}}\n", i>>8, i&0xff, 100+i/200, 1+i%200)
		}
	case "classes by a test, each with a reservation":
		b.WriteString("    reservations:\n")
		for i := range n {
			fmt.Fprintf(&b, "      - {class: c%d, address: 192.0.%d.%d}\n", i, 100+i/200, 1+i%200)
		}
	case "reservations by flexible identifier":
		b.WriteString("    flex-id: hexstring(pkt4.mac, ':')\n    reservations:\n")
		for i := range n {
			fmt.Fprintf(&b, "      - {flex-id: \"02:00:00:01:%02x:%02x\", address: 192.0.%d.%d}\n", i>>8, i&0xff, 100+i/200, 1+i%200)
		}
	}
	return b.String()
}

// BenchmarkMany shows that a query costs the same with one class or reservation and with 10,000.
func BenchmarkMany(b *testing.B) {
	for _, kind := range []string{
		"nothing", "classes by a test", "classes by a part of a value", "classes by a hardware address",
		"classes by the beginning of a vendor class", "classes by a test, each with a reservation", "reservations by hardware address", "reservations by flexible identifier",
	} {
		for _, n := range []int{1, 100, 10_000} {
			if kind == "nothing" && n > 1 {
				continue
			}
			b.Run(fmt.Sprintf("%d %s", n, kind), func(b *testing.B) {
				_, batch := steady(b, 64, many(kind, n))
				b.ReportAllocs()
				best := time.Hour // of the batches: what else runs on the machine does not count
				for b.Loop() {
					began := time.Now()
					batch()
					best = min(best, time.Since(began))
				}
				b.ReportMetric(float64(best.Nanoseconds())/64, "best-ns/query")
			})
		}
	}
}

// BenchmarkLink shows what a query costs where subnets share its link. The first has room.
func BenchmarkLink(b *testing.B) {
	for _, n := range []int{1, 2, 4, 16} {
		b.Run(fmt.Sprintf("%d subnets", n), func(b *testing.B) {
			document := "subnets:\n"
			for i := range n {
				document += fmt.Sprintf("  - {id: %d, subnet: 192.0.%d.0/24, network: home, pools: [192.0.%[2]d.10-192.0.%[2]d.250], match: [%s]}\n",
					i+1, i+2, map[bool]string{true: "{interface: eth1}"}[i == 0])
			}
			_, batch := steady(b, 64, document)
			b.ReportAllocs()
			best := time.Hour
			for b.Loop() {
				began := time.Now()
				batch()
				best = min(best, time.Since(began))
			}
			b.ReportMetric(float64(best.Nanoseconds())/64, "best-ns/query")
		})
	}
}
