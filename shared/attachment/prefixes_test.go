package attachment

import (
	"net/netip"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A set of prefixes contains what one of the prefixes contains, whichever are inside of others.
func TestPrefixesContainWhatOneOfThemDoes(t *testing.T) {
	in, out := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		octet := rapid.SampledFrom([]byte{0, 1, 2, 0x80, 0xff})
		address := func(name string) netip.Addr {
			return netip.AddrFrom16([16]byte{0x20, 0x01, octet.Draw(t, name), octet.Draw(t, name), 14: octet.Draw(t, name), 15: octet.Draw(t, name)})
		}
		var list []netip.Prefix
		for range rapid.IntRange(0, 12).Draw(t, "prefixes") {
			bits := rapid.SampledFrom([]int{0, 16, 17, 24, 31, 32, 112, 120, 127, 128}).Draw(t, "bits")
			list = append(list, netip.PrefixFrom(address("prefix"), bits).Masked())
		}
		if rapid.Bool().Draw(t, "local") {
			list = append(list, netip.MustParsePrefix("::1/128"))
		}
		s := NewPrefixes(list)
		for _, a := range []netip.Addr{address("address"), netip.IPv6Loopback(), netip.MustParseAddr("ff02::1"), netip.MustParseAddr("fe80::1")} {
			want := slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
			if got := s.Contains(a); got != want {
				t.Fatalf("%v contain %v: %v", list, a, got)
			}
			// A node has a global address, or is this host, if that is listed by itself.
			node := slices.ContainsFunc(list, func(p netip.Prefix) bool {
				return (a.IsGlobalUnicast() || (a.IsLoopback() && p.IsSingleIP())) && p.Contains(a)
			})
			if got := s.writer(a); got != node {
				t.Fatalf("a node of %v has the address %v: %v", list, a, got)
			}
			if want {
				in++
			} else {
				out++
			}
		}
	})
	if in == 0 || out == 0 {
		t.Errorf("%d addresses were in the prefixes, %d were not", in, out)
	}
}
