package free

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func addrs(from, to string) Range {
	return Range{First: netip.MustParseAddr(from), Last: netip.MustParseAddr(to)}
}

// twin is the pool as plain lists.
type twin struct {
	all      []uint32 // ascending, reserved ones left out
	poolOf   map[uint32]int
	size     []int
	fresh    map[uint32]bool
	cursor   int // position in all
	queue    []uint32
	rest     [][]uint32
	reserved map[uint32]bool
	share    Share
}

func newTwin(pools, excluded []Range, reserved []netip.Addr) *twin {
	w := &twin{poolOf: map[uint32]int{}, size: make([]int, len(pools)), fresh: map[uint32]bool{},
		rest: make([][]uint32, len(pools)), reserved: map[uint32]bool{}}
	for _, a := range reserved {
		w.reserved[Number(a)] = true
	}
	for i, r := range pools {
	next:
		for a := Number(r.First); a <= Number(r.Last); a++ {
			for _, x := range excluded {
				if Number(x.First) <= a && a <= Number(x.Last) {
					continue next
				}
			}
			w.poolOf[a] = i
			w.all = append(w.all, a)
			if !w.reserved[a] {
				w.size[i]++
				w.fresh[a] = true
			}
		}
	}
	slices.Sort(w.all)
	return w
}

func (w *twin) next() (uint32, bool) {
	for i := range w.all {
		if a := w.all[(w.cursor+i)%len(w.all)]; w.fresh[a] && w.share.Has(a) {
			return a, true
		}
	}
	for _, a := range w.queue[:min(len(w.queue), shareQueue)] {
		if w.share.Has(a) {
			return a, true
		}
	}
	if w.share.Of > 1 {
		return w.nextOfOthers()
	}
	for i := range w.all {
		if a := w.all[(w.cursor+i)%len(w.all)]; w.fresh[a] {
			return a, true
		}
	}
	if len(w.queue) > 0 {
		return w.queue[0], true
	}
	return 0, false
}

func (w *twin) nextOfOthers() (uint32, bool) {
	var fresh []uint32
	for _, a := range w.all {
		if w.fresh[a] {
			fresh = append(fresh, a)
		}
	}
	for _, list := range [][]uint32{fresh, slices.Clone(w.queue)} {
		slices.Reverse(list)
		for _, a := range list[:min(len(list), shareQueue)] {
			if a%w.share.Of == (w.share.Index+1)%w.share.Of {
				return a, true
			}
		}
		if len(list) > 0 {
			return list[0], true
		}
	}
	return 0, false
}

func (w *twin) isOut(a uint32) bool {
	_, in := w.poolOf[a]
	return in && !w.reserved[a] && !w.fresh[a] && !slices.Contains(w.queue, a) && !slices.Contains(w.rest[w.poolOf[a]], a)
}

func (w *twin) take(a uint32) {
	if w.fresh[a] {
		delete(w.fresh, a)
		w.cursor = slices.Index(w.all, a) + 1
	}
	w.queue = slices.DeleteFunc(w.queue, func(b uint32) bool { return a == b })
}

func (w *twin) giveBack(a uint32, used bool) {
	switch {
	case !w.isOut(a):
	case used:
		w.queue = append(w.queue, a)
	default:
		w.fresh[a] = true
	}
}

func (w *twin) putToRest(a uint32) (uint32, bool) {
	if !w.isOut(a) {
		return 0, false
	}
	i := w.poolOf[a]
	w.rest[i] = append(w.rest[i], a)
	if len(w.rest[i]) <= max(w.size[i]/10, 1) {
		return 0, false
	}
	woken := w.rest[i][0]
	w.rest[i] = w.rest[i][1:]
	return woken, true
}

func (w *twin) wake(a uint32) {
	if i, in := w.poolOf[a]; in {
		w.rest[i] = slices.DeleteFunc(w.rest[i], func(b uint32) bool { return a == b })
	}
}

func TestPoolBehavesLikeItsTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := Number(netip.MustParseAddr("192.0.2.0"))
		var pools, excluded []Range
		at := base
		for range rapid.IntRange(0, 4).Draw(t, "pools") {
			at += rapid.Uint32Range(0, 5).Draw(t, "gap")
			n := rapid.Uint32Range(1, 150).Draw(t, "size")
			pools = append(pools, Range{First: Addr(at), Last: Addr(at + n - 1)})
			at += n
		}
		if rapid.Bool().Draw(t, "descending") {
			slices.Reverse(pools)
		}
		for range rapid.IntRange(0, 3).Draw(t, "exclusions") {
			lo := base + rapid.Uint32Range(0, at-base).Draw(t, "from")
			excluded = append(excluded, Range{First: Addr(lo), Last: Addr(lo + rapid.Uint32Range(0, 30).Draw(t, "length"))})
		}
		var reserved []netip.Addr
		for range rapid.IntRange(0, 3).Draw(t, "reservations") {
			reserved = append(reserved, Addr(base+rapid.Uint32Range(0, at-base).Draw(t, "reserved")))
		}
		f, w := New(pools, excluded, reserved), newTwin(pools, excluded, reserved)

		anyAddr := func(t *rapid.T) uint32 { return base + rapid.Uint32Range(0, at-base+3).Draw(t, "addr") }
		t.Repeat(map[string]func(*rapid.T){
			"take next": func(t *rapid.T) {
				if a, ok := f.Next(nil); ok {
					f.Take(a)
					w.take(a)
				}
			},
			"take any": func(t *rapid.T) { a := anyAddr(t); f.Take(a); w.take(a) },
			"return": func(t *rapid.T) {
				a, used := anyAddr(t), rapid.Bool().Draw(t, "used")
				f.Return(a, used)
				w.giveBack(a, used)
			},
			"rest": func(t *rapid.T) {
				a := anyAddr(t)
				g, gok := f.Rest(a)
				e, eok := w.putToRest(a)
				if g != e || gok != eok {
					t.Fatalf("Rest woke %v %v, want %v %v", Addr(g), gok, Addr(e), eok)
				}
			},
			"wake": func(t *rapid.T) { a := anyAddr(t); f.Wake(a); w.wake(a) },
			"share": func(t *rapid.T) {
				w.share.Of = rapid.Uint32Range(0, 3).Draw(t, "shares")
				w.share.Index = rapid.Uint32Range(0, max(w.share.Of, 1)-1).Draw(t, "share")
				f.SetShare(w.share)
			},
			"": func(t *rapid.T) {
				g, gok := f.Next(nil)
				e, eok := w.next()
				if g != e || gok != eok {
					t.Fatalf("Next is %v %v, want %v %v", Addr(g), gok, Addr(e), eok)
				}
				a := anyAddr(t)
				_, in := w.poolOf[a]
				if f.Covers(a) != in || f.Reserved(a) != w.reserved[a] {
					t.Fatalf("%v: Covers %v, Reserved %v", Addr(a), f.Covers(a), f.Reserved(a))
				}
				if free := w.fresh[a] || slices.Contains(w.queue, a); f.Has(a) != free {
					t.Fatalf("%v: Free is %v", Addr(a), !free)
				}
				var queue, rest, wantRest []uint32
				f.Queued(func(a uint32) { queue = append(queue, a) })
				for i := range pools {
					for off := range f.lists.all(f.lists.rest + uint32(i)) {
						rest = append(rest, f.addr(off))
					}
				}
				for _, r := range w.rest {
					wantRest = append(wantRest, r...)
				}
				if !slices.Equal(queue, w.queue) || !slices.Equal(rest, wantRest) {
					t.Fatalf("queue %v rest %v, want %v %v", queue, rest, w.queue, wantRest)
				}
				for i := range pools {
					free := 0
					for a, j := range w.poolOf {
						if j == i && (w.fresh[a] || slices.Contains(w.queue, a)) {
							free++
						}
					}
					if size, got := f.Use(i); int(size) != w.size[i] || int(got) != free {
						t.Fatalf("pool %d: %d of %d free, want %d of %d", i, got, size, free, w.size[i])
					}
				}
			},
		})
	})
}

func TestNeverUsedAddressesComeFirstThenTheLongestUnused(t *testing.T) {
	f := New([]Range{addrs("192.0.2.1", "192.0.2.4")}, nil, nil)
	var got []string
	take := func() {
		a, _ := f.Next(nil)
		f.Take(a)
		got = append(got, Addr(a).String())
	}
	take()
	take()
	f.Return(Number(netip.MustParseAddr("192.0.2.2")), true)
	f.Return(Number(netip.MustParseAddr("192.0.2.1")), true)
	take()
	take()
	take()
	take()
	want := []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.2", "192.0.2.1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, ok := f.Next(nil); ok {
		t.Error("an exhausted pool has a next address")
	}
}

func TestNoAllocationOnceUsed(t *testing.T) {
	f := New([]Range{addrs("10.0.0.0", "10.0.255.255")}, nil, nil)
	cycle := func() {
		a, _ := f.Next(nil)
		f.Take(a)
		f.Return(a, true)
	}
	for range 1 << 16 {
		cycle()
	}
	if n := testing.AllocsPerRun(1000, cycle); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A client's cost must not depend on the size of the pool nor on its fill.
func BenchmarkTakeAndReturn(b *testing.B) {
	for _, size := range []struct{ name, last string }{{"24", "10.0.0.255"}, {"16", "10.0.255.255"}, {"8", "10.255.255.255"}} {
		for _, fill := range []int{0, 50, 99} {
			b.Run(fmt.Sprintf("prefix=%s/full=%d%%", size.name, fill), func(b *testing.B) {
				f := New([]Range{addrs("10.0.0.0", size.last)}, nil, nil)
				n, _ := f.Use(0)
				for range uint64(n) * uint64(fill) / 100 {
					a, _ := f.Next(nil)
					f.Take(a)
				}
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					a, _ := f.Next(nil)
					f.Take(a)
					f.Return(a, true)
				}
			})
		}
	}
}

func BenchmarkNewSlash8(b *testing.B) {
	b.ReportAllocs()
	for range b.N {
		New([]Range{addrs("10.0.0.0", "10.255.255.255")}, nil, nil)
	}
}
