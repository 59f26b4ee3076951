package hook_test

import (
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

func TestSampler(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	s := hook.NewSampler(2)
	for i, want := range []struct {
		after time.Duration
		left  uint64
		ok    bool
	}{
		{0, 0, true}, {0, 0, true}, {0, 0, false}, {999 * time.Millisecond, 0, false},
		{time.Second, 2, true}, {time.Second, 0, true}, {time.Second, 0, false}, {time.Minute, 1, true},
	} {
		if left, ok := s.Take(start.Add(want.after)); left != want.left || ok != want.ok {
			t.Errorf("event %d: %v after %d left out, want %v after %d", i, ok, left, want.ok, want.left)
		}
	}
	all := hook.NewSampler(0)
	for range 100 {
		if _, ok := all.Take(start); !ok {
			t.Fatal("one is not let through")
		}
	}
}
