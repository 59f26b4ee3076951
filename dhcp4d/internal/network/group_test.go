package network

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

func TestD4_86GroupsOfPools(t *testing.T) {
	pools := []Pool{{Only: []int{4}}, {Name: "a"}, {}, {Only: []int{4}}, {Name: "a", Only: []int{7}}, {Name: "b"}}
	g := group(pools)
	var numbers []int32
	for _, p := range pools {
		numbers = append(numbers, p.Group)
	}
	if !slices.Equal(numbers, []int32{0, 1, 2, 0, 3, 4}) {
		t.Errorf("the groups are %v", numbers)
	}
	class := func(number int, pools ...string) *Class { return &Class{Number: number, Pools: pools} }
	for _, c := range []struct {
		name string
		in   []*Class
		want []int32
	}{
		{"no class", nil, []int32{1, 2, 4}},
		{"a class without pools", []*Class{class(1)}, []int32{1, 2, 4}},
		{"a class with pools of its own", []*Class{class(4)}, []int32{0, 1, 2, 4}},
		{"two", []*Class{class(4), class(7)}, []int32{0, 1, 2, 3, 4}},
		{"a class that names pools", []*Class{class(1, "a")}, []int32{1}},
		{"a class that names pools, one of them its own", []*Class{class(7, "a")}, []int32{1, 3}},
		{"the last class decides", []*Class{class(1, "a"), class(2, "b")}, []int32{4}},
		{"pools that are not here", []*Class{class(1, "a"), class(2, "c")}, []int32{1}},
		{"a class with pools of its own that names others", []*Class{class(4, "b")}, []int32{4}},
	} {
		if got := g.AppendFor(nil, c.in, nil, ""); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	for _, c := range []struct {
		pool string
		in   []*Class
		want []int32
	}{
		{"a", nil, []int32{1}},
		{"a", []*Class{class(7)}, []int32{1, 3}},
		{"a", []*Class{class(1, "b")}, []int32{1}},
		{"c", []*Class{class(1, "b")}, []int32{4}},
		{"c", nil, []int32{1, 2, 4}},
	} {
		if got := g.AppendFor(nil, c.in, nil, c.pool); !slices.Equal(got, c.want) {
			t.Errorf("a hook chooses %s: %v, want %v", c.pool, got, c.want)
		}
	}
	if got := group([]Pool{{Only: []int{1}}}).AppendFor(nil, nil, nil, ""); got == nil || len(got) != 0 {
		t.Errorf("who may have no pool gets %#v, want a list without groups", got)
	}
	if group([]Pool{{}, {}}) != nil {
		t.Error("any client may have any pool, and there are groups")
	}
}

// BenchmarkClassesWithPools: each of n classes, told apart by hardware address, has a pool of its
// own.
func BenchmarkClassesWithPools(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			all := new(expression.Classes)
			scope := all.Scope()
			var list []Class
			s := Subnet{Pools: make([]Pool, n)}
			for i := range n {
				test, err := expression.CompileTest(fmt.Sprintf("pkt4.mac == 0x0200%08x", i), &expression.Vocabulary{Classes: scope})
				if err != nil {
					b.Fatal(err)
				}
				number, err := scope.Add(fmt.Sprint("c", i), test, nil)
				if err != nil {
					b.Fatal(err)
				}
				c := Class{Number: number}
				c.Value, c.Is, _ = test.Key()
				list = append(list, c)
				s.Pools[i].Only = []int{number}
			}
			s.Classes, s.Groups = NewClassList(list, 0, n), group(s.Pools)
			octets := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, CHAddr: [16]byte{2, 0, 0, 0, 0, byte(n / 2)}})
			var m dhcp4.Message
			if why := m.Parse(dhcp4.AppendEnd(dhcp4.AppendType(octets, dhcp4.Discover))); why != drop.None {
				b.Fatal(why)
			}
			var e expression.Evaluator
			var member expression.Membership
			q := expression.Query{Message: &m, Local: netip.IPv6Unspecified()}
			var in []*Class
			groups := make([]int32, 0, 8)
			b.ReportAllocs()
			for b.Loop() {
				member.Forget()
				e.Begin(q, all, &member)
				in = s.AppendClasses(in[:0], &e)
				groups = s.Groups.AppendFor(groups[:0], in, nil, "")
			}
			if len(in) != 1 || len(groups) != 1 {
				b.Fatalf("%d classes, %d groups", len(in), len(groups))
			}
		})
	}
}
