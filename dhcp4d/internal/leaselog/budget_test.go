//go:build budget

package leaselog

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

var (
	asked = netip.MustParseAddr("192.0.2.10")
	begun = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
)

// entry is line n of a log, about a client of its own: every second one ends the lease.
func entry(n int, relays string) string {
	at := begun.Add(time.Duration(n) * time.Second).Format(time.RFC3339)
	event := [...]string{"allocated", "released"}[n%2]
	return fmt.Sprintf(`{"time":"%s","event":"%s","address":"192.0.2.10","subnet":1,"hw_type":1,"hw_address":"02:00:00:00:%02x:%02x",`+
		`"ipv6_source":"fe80::1","interface":"eth1","start":"%s","expires":"%s","relays":[%s]}`,
		at, event, n/2>>8&255, n/2&255, at, begun.Add(time.Duration(n+3600)*time.Second).Format(time.RFC3339), relays) + "\n"
}

// The lines of a file cost at most three units for each octet, whatever they are.
func TestBudgetOfALog(t *testing.T) {
	name := filepath.Join(t.TempDir(), "leases.json")
	relay := `{"link_address":"2001:db8::1","peer_address":"fe80::2","interface_id":"706f7274"}`
	seeds := [][]byte{
		[]byte(entry(0, "") + entry(1, "")), []byte(strings.Repeat(entry(0, strings.Repeat(relay+",", 20)+relay), 3)),
		bytes.Repeat([]byte("{}\n"), 100), bytes.Repeat([]byte("\n"), 300), bytes.Repeat([]byte("["), 300),
		[]byte(strings.Repeat(`"address":"192.0.2.10"`, 20)), []byte(strings.Repeat(`"address":"192.0.2.10"`+"\n", 20)),
	}
	budgettest.Hold(t, "log", 3, seeds, func(b []byte) {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = ReadHistory(context.Background(), name, asked, begun.Add(time.Hour)) // errors cost too
	})
}

// A history costs steps and memory that grow with the length of the log, not with its square, in
// one file and in many.
func TestBudgetOfAHistory(t *testing.T) {
	for _, perFile := range []int{1 << 30, 4} {
		cost := func(lines int) (units, memory float64) {
			dir := t.TempDir()
			octets := 0
			for n := 0; n < lines; {
				var b strings.Builder
				for range min(perFile, lines-n) {
					b.WriteString(entry(n, ""))
					n++
				}
				name := filepath.Join(dir, "leases.json")
				if n < lines {
					name += "-" + begun.Add(time.Duration(n)*time.Second).Format(stamp)
				}
				if err := os.WriteFile(name, []byte(b.String()), 0o600); err != nil {
					t.Fatal(err)
				}
				octets += b.Len()
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			spent := budget.Of(func() {
				h, err := ReadHistory(context.Background(), filepath.Join(dir, "leases.json"), asked, begun.Add(time.Hour))
				if err != nil || len(h.Tenures) != lines/2 {
					t.Fatalf("%d tenures of %d lines, %v", len(h.Tenures), lines, err)
				}
			})
			runtime.ReadMemStats(&after)
			return float64(spent) / float64(octets), float64(after.TotalAlloc-before.TotalAlloc) / float64(octets)
		}
		units, memory := cost(200)
		manyUnits, manyMemory := cost(4000)
		t.Logf("%.1f and %.1f units, %.0f and %.0f octets of memory for each octet", units, manyUnits, memory, manyMemory)
		if manyUnits > 1.2*units || manyMemory > 1.5*memory+20 {
			t.Errorf("%d lines a file: a short log costs %.1f units and %.0f octets of memory for each octet, a long one %.1f and %.0f",
				perFile, units, memory, manyUnits, manyMemory)
		}
	}
}
