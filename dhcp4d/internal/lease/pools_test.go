package lease

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// TestD4_86BarredPools: a client gets no new address of a pool that it may not have one of, and
// keeps what it has.
func TestD4_86BarredPools(t *testing.T) {
	in := func(s Standing) Address {
		a := Address{ID: ID{Addr: addrA}, Standing: s, InSubnet: true, InPool: true, Barred: true, Place: attachment.SamePort}
		if s == Mine || s == Taken {
			a.Expires, a.Changed = now+100, now-100
		}
		return a
	}
	next := ID{Addr: addrB}
	for _, c := range []struct {
		name  string
		query Query
		facts Facts
		kind  Kind
		id    ID
		drop  drop.Reason
		time  uint32
	}{
		{"DISCOVER of the holder", discover(), Facts{Own: in(Mine), Next: next, NextTimes: Times{60, 60, 60}}, Offer, next, drop.None, 60},
		{"DISCOVER of the holder, and no other address", discover(), Facts{Own: in(Mine)}, Dropped, ID{}, drop.NoAddress, 0},
		{"DISCOVER of the former holder", discover(), Facts{Own: in(Former), Next: next}, Offer, next, drop.None, 3600},
		{"DISCOVER of one with an offer", discover(), Facts{Own: in(Held), Next: next}, Offer, next, drop.None, 3600},
		{"DISCOVER that wishes it", wishing(addrA), Facts{Named: in(Free), Next: next}, Offer, next, drop.None, 3600},
		{"SELECTING", selecting(addrA), Facts{Named: in(Free)}, Nak, ID{}, drop.None, 0},
		{"SELECTING of what was offered before", selecting(addrA), Facts{Own: in(Held), Named: in(Held)}, Nak, ID{}, drop.None, 0},
		{"INIT-REBOOT of the holder, for what remains", initReboot(addrA), Facts{Own: in(Mine), Named: in(Mine)}, Ack, ID{Addr: addrA}, drop.None, 100},
		{"INIT-REBOOT of the former holder", initReboot(addrA), Facts{Own: in(Former), Named: in(Former)}, Nak, ID{}, drop.None, 0},
		{"renewal of the holder", renewing(addrA), Facts{Own: in(Mine), Named: in(Mine)}, Ack, ID{Addr: addrA}, drop.None, 3600},
		{"renewal of somebody else", renewing(addrA), Facts{Named: in(Free)}, Nak, ID{}, drop.None, 0},
		{"renewal of the former holder", renewing(addrA), Facts{Own: in(Former), Named: in(Former)}, Nak, ID{}, drop.None, 0},
		{"DISCOVER with the reservation", discover().with(addrA), Facts{Reserved: in(Free), Next: next}, Offer, ID{Addr: addrA}, drop.None, 3600},
		{"renewal of the reservation", renewing(addrA).with(addrA), Facts{Named: in(Free), Reserved: in(Free)}, Ack, ID{Addr: addrA}, drop.None, 3600},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := policy()
			d := Decide(&c.query, &p, &c.facts, now)
			if d.Kind != c.kind || d.Drop != c.drop || d.Time != c.time || (c.kind != Nak && d.ID != c.id) {
				t.Errorf("%+v", d)
			}
		})
	}
}
