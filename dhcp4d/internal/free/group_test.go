package free

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A pool of groups gives out what one pool for each group would.
func TestGroupsBehaveLikePoolsOfTheirOwn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := Number(netip.MustParseAddr("192.0.2.0"))
		groups := rapid.Int32Range(1, 4).Draw(t, "groups")
		ranges := make([][]Range, groups)
		var all []Range
		at := base
		for range rapid.IntRange(1, 7).Draw(t, "ranges") {
			at += rapid.Uint32Range(0, 3).Draw(t, "gap")
			n := rapid.Uint32Range(1, 70).Draw(t, "size")
			r := Range{First: Addr(at), Last: Addr(at + n - 1), Group: rapid.Int32Range(0, groups-1).Draw(t, "group")}
			all = append(all, r)
			ranges[r.Group] = append(ranges[r.Group], r)
			at += n
		}
		reserved := []netip.Addr{Addr(base + rapid.Uint32Range(0, at-base).Draw(t, "reserved"))}
		f := New(all, nil, reserved)
		twins := make([]*twin, groups)
		for g := range twins {
			twins[g] = newTwin(ranges[g], nil, reserved)
		}
		of := func(a uint32) *twin {
			for _, w := range twins {
				if _, ok := w.poolOf[a]; ok {
					return w
				}
			}
			return twins[0]
		}
		some := func(t *rapid.T) (list []int32) {
			list = []int32{}
			for g := range groups {
				if rapid.Bool().Draw(t, "may") {
					list = append(list, g)
				}
			}
			return list
		}
		check := func(t *rapid.T, list []int32) (uint32, bool) {
			got, ok := f.Next(list)
			var want uint32
			var free bool
			for _, g := range list {
				if want, free = twins[g].next(); free {
					break
				}
			}
			if got != want || ok != free {
				t.Fatalf("Next of groups %v is %v %v, want %v %v", list, Addr(got), ok, Addr(want), free)
			}
			return got, ok
		}
		anyAddr := func(t *rapid.T) uint32 { return base + rapid.Uint32Range(0, at-base+3).Draw(t, "addr") }
		t.Repeat(map[string]func(*rapid.T){
			"take next": func(t *rapid.T) {
				if a, ok := check(t, some(t)); ok {
					f.Take(a)
					of(a).take(a)
				}
			},
			"take any": func(t *rapid.T) { a := anyAddr(t); f.Take(a); of(a).take(a) },
			"return": func(t *rapid.T) {
				a, used := anyAddr(t), rapid.Bool().Draw(t, "used")
				f.Return(a, used)
				of(a).giveBack(a, used)
			},
			"share": func(t *rapid.T) {
				s := Share{Of: rapid.Uint32Range(0, 3).Draw(t, "shares")}
				s.Index = rapid.Uint32Range(0, max(s.Of, 1)-1).Draw(t, "share")
				f.SetShare(s)
				for _, w := range twins {
					w.share = s
				}
			},
			"rest": func(t *rapid.T) { a := anyAddr(t); f.Rest(a); of(a).putToRest(a) },
			"": func(t *rapid.T) {
				check(t, some(t))
				a := anyAddr(t)
				i, g, ok := f.Of(a)
				want := slices.IndexFunc(all, func(r Range) bool { return Number(r.First) <= a && a <= Number(r.Last) })
				if ok != (want >= 0) || (ok && (i != want || g != all[want].Group)) {
					t.Fatalf("%v is in range %d of group %d, %v", Addr(a), i, g, ok)
				}
			},
		})
	})
}
