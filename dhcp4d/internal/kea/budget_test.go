//go:build budget

package kea

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// refused is a configuration with n reservations that dhcp4d refuses.
func refused(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"Dhcp4": {"subnet4": [{"id": 1, "subnet": "10.0.0.0/8", "pools": [{"pool": "10.0.0.1-10.0.0.9"}], "reservations": [`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"hw-address": "02:00:00:00:%02x:%02x", "ip-address": "11.0.%d.%d"}`, i>>8, i&255, i>>8, i&255)
	}
	b.WriteString(`]}]}}`)
	return b.Bytes()
}

// costly are configurations that were made to cost time.
func costly(t testing.TB) [][]byte {
	all := [][]byte{
		[]byte(strings.Repeat("[", 150) + strings.Repeat("]", 150)), []byte(`{"Dhcp4": {"` + strings.Repeat("A", 2000) + `": [` + strings.Repeat("1,", 500) + `1]}}`),
		[]byte(strings.Repeat("/**/", 500) + "{}"), []byte(`{"a": "` + strings.Repeat(`\u0041`, 500) + `"}`), refused(20),
	}
	files, err := filepath.Glob("testdata/*.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// To read a configuration costs at most two units for each of its octets, and memory that grows
// with its length.
func TestBudgetOfReading(t *testing.T) {
	budgettest.Hold(t, "reading", 2, costly(t), func(b []byte) { _, _, _ = parse("kea.conf", alone(string(b))) })
	long := `{"` + strings.Repeat("A", 100000) + `": [` + strings.Repeat("1,", 2000) + `1]}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, _, err := parse("kea.conf", alone(long))
	runtime.ReadMemStats(&after)
	if n := int(after.TotalAlloc - before.TotalAlloc); err != nil || n > 40*len(long) {
		t.Errorf("%v, %d octets of memory for a configuration of %d", err, n, len(long))
	}
}

// What dhcp4d refuses is taken out in steps that grow with the configuration, not with its square.
func TestBudgetOfARefusedConfiguration(t *testing.T) {
	few, many := refused(50), refused(1000)
	cost := func(b []byte) float64 {
		n := budget.Of(func() {
			got, err := Import("kea.conf", alone(string(b)))
			if err != nil || len(got.Report) < 50 {
				t.Fatalf("%v", err)
			}
		})
		return float64(n) / float64(len(b))
	}
	a, b := cost(few), cost(many)
	if t.Logf("%.1f and %.1f units for each octet", a, b); b > 1.5*a {
		t.Errorf("%.1f units for each octet of a small configuration, %.1f of a large one", a, b)
	}
}

// FuzzBudget looks for configurations that cost more than TestBudgetOfReading knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costly(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := budget.Of(func() { _, _, _ = parse("kea.conf", alone(string(b))) }); n > 2*len(b)+20 {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
