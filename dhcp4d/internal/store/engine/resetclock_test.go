package engine

import (
	"log/slog"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

func TestResetClock(t *testing.T) {
	for _, kind := range []string{"pebble:", "journal:"} {
		t.Run(kind, func(t *testing.T) { resetClock(t, kind+t.TempDir()) })
	}
}

func resetClock(t *testing.T, url string) {
	const now, ahead lease.Time = 1_700_000_000, 2_000_000_000
	o := Options{Log: slog.New(slog.DiscardHandler), Now: func() lease.Time { return ahead }} // the wrong clock
	s := mustOpen(t, url, o)
	past, future, forever, released := storetest.Binding(1), storetest.Binding(2), storetest.Binding(3), storetest.Binding(4)
	past.Start, past.Changed, past.Expires = now-100, now-50, now+3550
	future.Start, future.Changed, future.Expires = now-100, ahead-10, ahead+3590
	forever.Start, forever.Changed, forever.Expires = ahead-10, ahead-10, lease.Never
	released.State, released.Start, released.Changed, released.Expires = lease.Released, ahead-20, ahead-10, ahead-10
	if _, err := s.Commit([]lease.Binding{past, future, forever, released}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	o.Now = func() lease.Time { return now }
	for round, want := range []int{3, 0} {
		moved, err := ResetClock(url, o)
		if err != nil || moved != want {
			t.Fatalf("round %d: moved %d records, want %d (error %v)", round, moved, want, err)
		}
	}
	s = mustOpen(t, url, o)
	got, found, err := storetest.Load(s)
	if err != nil {
		t.Fatal(err)
	}
	if found.Newest != now {
		t.Errorf("the newest is %d, want %d", found.Newest, now)
	}
	future.Changed, future.Expires = now, now+3600
	forever.Start, forever.Changed = now, now
	released.Start, released.Changed, released.Expires = now, now, now
	for _, want := range []lease.Binding{past, future, forever, released} {
		if b := got[storetest.Key(&want)]; !storetest.Same(&b, &want) {
			t.Errorf("got  %+v\nwant %+v", b, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, url string, o Options) store.Store {
	t.Helper()
	s, err := Open(url, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
