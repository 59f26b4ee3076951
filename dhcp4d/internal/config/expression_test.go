package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// TestClassesWithTests: a class has a test, patterns or both, and asks for classes before it.
func TestClassesWithTests(t *testing.T) {
	s := mustParse(t, `
classes:
  - {name: phones, test: "substring(option[vendor-class-identifier].hex, 0, 5) == 'phone'"}
  - {name: seven, test: "pkt4.mac == 0x020000000007", options: {host-name: seven}}
  - {name: both, test: "member('phones') and member('seven')", options: {root-path: both}}
  - {name: mixed, vendor-class: "phone*", test: "not member('seven')", options: {host-name: mixed}}
  - {name: unknown phones, test: "member('phones') and unknown", options: {merit-dump: unknown}}
subnets:
  - id: 1
    subnet: 10.0.0.0/24
    match: []
    pools: []
    classes:
      - {name: phones, test: "member('phones') and pkt4.hlen == 6", options: {host-name: inner}}
      - {name: of inner, test: "member('phones')"}
  - {id: 2, subnet: 10.0.1.0/24, pools: [], match: [{class: phones}, {class: seven}]}
`)
	for _, c := range []struct {
		name   string
		client client
		subnet uint32
		want   string // names of the classes that give something
	}{
		{"no class", client{}, 1, ""},
		{"by its address", client{HWAddr: []byte{2, 0, 0, 0, 0, 7}}, 2, "seven"},
		{"by its address, a phone", client{VendorClass: []byte("phone 7"), HWAddr: []byte{2, 0, 0, 0, 0, 7}}, 2, "seven both unknown phones"},
		{"a phone", client{VendorClass: []byte("phone")}, 2, "mixed unknown phones"},
		{"in the subnet with an inner class", client{VendorClass: []byte("phone"), HWAddr: []byte{2, 0, 0, 0, 0, 8}}, 1, "mixed unknown phones phones"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, in := range c.client.classes(t, s, s.ByID(c.subnet)) {
				names = append(names, in.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
	e := client{VendorClass: []byte("phone"), HWAddr: []byte{2, 0, 0, 0, 0, 7}}.evaluator(t, s)
	if r := network.NewSelector(s).Select(&network.Facts{Classes: e}); r.Subnet == nil || r.Subnet.ID != 2 || r.Entry != 0 || r.Step != network.Kind {
		t.Errorf("%+v", r)
	}
	if got := s.ExplainClasses(s.ByID(1), e); got != "the query is in phones, seven, both, unknown phones, phones, of inner" {
		t.Error(got)
	}
}

// manyClasses is a document of n classes, each for one hardware address.
func manyClasses(n int, options bool) string {
	var b strings.Builder
	b.WriteString("classes:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: c%d, test: \"pkt4.mac == 0x02000000%04x\"", i, i)
		if options {
			fmt.Fprintf(&b, ", options: {host-name: h%d}", i)
		}
		b.WriteString("}\n")
	}
	b.WriteString("subnets:\n  - {id: 1, subnet: 10.0.0.0/24, pools: [], match: []}\n")
	return b.String()
}

// TestManyClasses checks that a client gets its one class of 10 000, without allocation.
func TestManyClasses(t *testing.T) {
	s := mustParse(t, manyClasses(10_000, true))
	sub := s.ByID(1)
	e := client{HWAddr: []byte{2, 0, 0, 0, 0x12, 0x34}}.evaluator(t, s)
	in := sub.AppendClasses(nil, e)
	if len(in) != 1 || in[0].Name != fmt.Sprint("c", 0x1234) {
		t.Fatalf("%v", in)
	}
	q, m := *e.Query(), new(expression.Membership)
	if n := testing.AllocsPerRun(10, func() {
		m.Forget()
		e.Begin(q, s.Classes, m)
		in = sub.AppendClasses(in[:0], e)
	}); n > 1 { // the first evaluation allocates the memory of the membership
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkAppendClasses measures what finding its classes costs one query.
func BenchmarkAppendClasses(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		for _, options := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d, that give options: %v", n, options), func(b *testing.B) {
				s := mustParse(b, manyClasses(n, options))
				e := client{HWAddr: []byte{2, 0, 0, 0, 0, 0}}.evaluator(b, s)
				q, m, in := *e.Query(), new(expression.Membership), []*network.Class(nil)
				b.ReportAllocs()
				for b.Loop() {
					m.Forget()
					e.Begin(q, s.Classes, m)
					in = s.All[0].AppendClasses(in[:0], e)
				}
			})
		}
	}
}
