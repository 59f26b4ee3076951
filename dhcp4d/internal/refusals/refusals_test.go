package refusals

import (
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

func TestRecent(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	var r Recent
	add := func(after time.Duration, subnet uint32) {
		one := Refusal{Time: start.Add(after).Unix(), Subnet: subnet, Why: drop.NoAddress}
		one.SetHWAddr([]byte{2, byte(subnet)})
		r.Add(&one)
	}
	count := func(after time.Duration, subnet uint32) uint64 { return r.BySubnet(start.Add(after))[subnet] }
	if len(r.Last(9)) != 0 || len(r.BySubnet(start)) != 0 {
		t.Error("something was refused before anything was")
	}
	for i := range 300 {
		add(time.Duration(i)*time.Second, 1)
	}
	add(10*time.Minute, 2)
	if n := count(10*time.Minute, 1); n != 300 {
		t.Errorf("%d within the window, want 300", n)
	}
	if n := count(16*time.Minute, 1); n >= 300 || n == 0 {
		t.Errorf("%d of 300 when the window begins after the first", n)
	}
	if n := count(20*time.Minute, 1); n != 0 {
		t.Errorf("%d after the window", n)
	}
	if n := count(20*time.Minute, 2); n != 1 {
		t.Errorf("%d of the other subnet, want 1", n)
	}
	if n := count(48*time.Hour, 2); n != 0 {
		t.Errorf("%d after days", n)
	}
	last := r.Last(1000)
	if len(last) != kept || last[0].Subnet != 2 || last[1].Subnet != 1 || string(last[0].HWAddr()) != "\x02\x02" || last[1].Time < last[2].Time {
		t.Errorf("%d kept, the newest %+v", len(last), last[0])
	}
	one := last[0]
	if n := testing.AllocsPerRun(100, func() { r.Add(&one) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
