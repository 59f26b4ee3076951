package server

import (
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// The time of leases has no fractions. A client counts its lease from when it sent its REQUEST, and
// keeps its address until then, wherever in a second that was.
func TestALeaseLastsToItsLastMoment(t *testing.T) {
	for _, fraction := range []time.Duration{0, 300 * time.Millisecond, 900 * time.Millisecond} {
		b := newBench(t)
		b.clocks.Pass((time.Second + fraction - time.Duration(b.clocks.Read().Wall.Nanosecond())) % time.Second)
		a := b.bind(t, 1)
		other := func() bool {
			offer := b.ask(t, frame(t, query(message(dhcp4.Discover, 2, addrOption(dhcp4.OptRequestedAddress, a.String()))), direct))
			return offer.YIAddr() == a
		}
		b.clocks.Pass(time.Hour - 50*time.Millisecond)
		if other() {
			t.Errorf("a lease that began %v after the second is given away before it has ended", fraction)
		}
		b.clocks.Pass(3 * time.Minute) // the offer of another address has ended too
		if !other() {
			t.Errorf("a lease that began %v after the second is not given away after it has ended", fraction)
		}
	}
}
