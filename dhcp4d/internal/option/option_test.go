package option

import (
	"fmt"
	"testing"
)

func TestSet(t *testing.T) {
	var none *Set
	if _, ok := none.Lookup(3); ok || none.Len() != 0 || none.Has(3) {
		t.Error("a nil set holds something")
	}
	var b Builder
	for code := 1; code < 255; code += 3 {
		b.Put(byte(code), fmt.Appendf(nil, "%0*d", code, code)) // as long as its code
	}
	s := b.Set()
	for code := range 256 {
		got, ok := s.Lookup(byte(code))
		want := code%3 == 1 && code < 255
		if ok != want || (ok && (len(got) != code || cap(got) != code)) || s.Has(byte(code)) != ok {
			t.Errorf("option %d: %q %v", code, got, ok)
		}
	}
}

func TestLayers(t *testing.T) {
	set := func(pairs ...string) *Set {
		var b Builder
		for i := 0; i < len(pairs); i += 2 {
			b.Put(pairs[i][0], []byte(pairs[i+1]))
		}
		return b.Set()
	}
	base := set("a", "base", "b", "base", "c", "base", "d", "base").Over(set("a", "global", "e", "global"))
	l := Layers{
		Base: base, Pool: set("b", "pool", "c", "pool"),
		Classes: []*Set{set("c", "class0", "d", "class0"), set("c", "class1")},
		Top:     set("d", "reservation"),
	}
	for code, want := range map[byte]string{'a': "base", 'b': "pool", 'c': "class1", 'd': "reservation", 'e': "global", 'f': ""} {
		if got, ok := l.Lookup(code); string(got) != want || ok != (want != "") {
			t.Errorf("%c: %q", code, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { lookups(&l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func lookups(l *Layers) {
	for code := range 256 {
		l.Lookup(byte(code))
	}
}

func BenchmarkLookupOfAll256Codes(b *testing.B) {
	var of Builder
	for _, code := range []byte{3, 6, 15, 26, 42} {
		of.Put(code, []byte{192, 0, 2, 1})
	}
	l := Layers{Base: of.Set()}
	b.ReportAllocs()
	for b.Loop() {
		lookups(&l)
	}
}
