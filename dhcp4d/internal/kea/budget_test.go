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

// many is a configuration with n elements of one kind. Format makes an element of two octets.
func many(n int, head, format, tail string) []byte {
	var b bytes.Buffer
	b.WriteString(head)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, format, i>>8, i&255)
	}
	b.WriteString(tail)
	return b.Bytes()
}

// An import costs steps that grow with the configuration, not with its square, also where dhcp4d
// refuses much of it.
func TestBudgetOfAnImport(t *testing.T) {
	const subnet = `{"Dhcp4": {"subnet4": [{"id": 1, "subnet": "10.0.0.0/8", "pools": [{"pool": "10.0.0.1-10.0.0.9"}]}], `
	for name, of := range map[string]func(n int) []byte{
		"refused reservations": refused,
		"rules": func(n int) []byte {
			head := many(n, subnet+`"client-classes": [`, `{"name": "class%d.%d", "test": "member('ALL')"}`, `], `)
			return many(n, string(head)+`"hooks-libraries": [{"library": "libdhcp_flex_option.so", "parameters": {"options": [`, `{"code": 224, "supersede": "'%d/%d'"}`, `]}}]}}`)
		},
		"refused rules": func(n int) []byte {
			return many(n, subnet+`"hooks-libraries": [{"library": "libdhcp_flex_option.so", "parameters": {"options": [`, `{"code": 224, "supersede": "none%d(%d"}`, `]}}]}}`)
		},
		"reservations of all subnets": func(n int) []byte {
			head := many(n, `{"Dhcp4": {"reservations-global": true, "subnet4": [`, `{"subnet": "10.%d.%d.0/24"}`, `], "reservations": [`)
			return many(n, string(head), `{"hw-address": "02:00:00:00:%02x:%02x", "hostname": "h"}`, `]}}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(b []byte) float64 {
				n := budget.Of(func() {
					got, err := Import("kea.conf", alone(string(b)))
					if err != nil || len(got.Report) < 50 {
						t.Fatalf("%v", err)
					}
				})
				return float64(n) / float64(len(b))
			}
			large := 1000
			if name == "refused rules" {
				large = 200
			}
			a, b := cost(of(100)), cost(of(large))
			if t.Logf("%.1f and %.1f units for each octet", a, b); b > 1.5*a {
				t.Errorf("%.1f units for each octet of a small configuration, %.1f of a large one", a, b)
			}
		})
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
