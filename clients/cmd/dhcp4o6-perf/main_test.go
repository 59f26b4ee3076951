package main

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
)

func TestLine(t *testing.T) {
	last := load.Report{Seconds: 1, Completed: 1000}
	got := line(last, load.Report{Seconds: 2, Completed: 1500, Lost: 3, Faults: map[string]uint64{"refused": 2, "malformed": 1}})
	if want := "    2 s       1500 exchanges      500/s  lost 3  faults 3  p99 0.00 ms  "; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
