//go:build budget

package attachment

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// Each relay level costs the logarithm of the number of relays that are trusted.
func TestBudgetOfManyRelays(t *testing.T) {
	var list []netip.Prefix
	for i := range 50_000 {
		list = append(list, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i), 15: 1}), 128))
	}
	trust := Trust{Relays: NewPrefixes(list), Links: NewPrefixes(list)}
	last := list[len(list)-1].Addr()
	levels := []level{{link: last.String(), peer: last.String()}, {link: last.String(), peer: client}, {peer: client}}
	p := chain(t, levels...)
	n := budget.Of(func() {
		if got := trust.Levels(p, last, "eth0"); got != 3 {
			t.Errorf("%d levels are believed", got)
		}
	})
	if n == 0 || n > 20*len(levels) {
		t.Errorf("%d levels cost %d units", len(levels), n)
	}
}
