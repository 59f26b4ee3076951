package hooks

import (
	"log/slog"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/spool"
)

// A program outside gets the Remote-Id of a lease also with a change that no query has caused.
func TestEventsHaveTheRemoteIDOfTheLease(t *testing.T) {
	s, err := spool.Open(spool.Options{Dir: t.TempDir(), Size: 1 << 20, Log: slog.New(slog.DiscardHandler), Lost: func(int) { t.Error("an event is lost") }})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := &kept{Spool: s}
	ended, without := changeOf(lease.EventExpired, 5), changeOf(lease.EventExpired, 6)
	ended.Relays, without.Relays, without.Binding.RemoteID = nil, nil, nil
	for _, e := range []*event.Lease{ended, without} {
		k.tell(e)
	}
	var told []string
	b, at := make([]byte, 4096), uint64(0)
	for end := time.Now().Add(time.Minute); len(told) < 2; {
		n, next, err := s.Read(b, at)
		if err != nil || time.Now().After(end) {
			t.Fatalf("after %q: %v", told, err)
		}
		if n == 0 {
			time.Sleep(time.Millisecond)
			continue
		}
		for octets := b[:n]; len(octets) > 0; {
			record, _, _ := outside.Next(octets, outside.MaxFromDaemon)
			r, wrong := outside.Parse(record)
			if wrong != outside.None {
				t.Fatal(wrong)
			}
			told, octets = append(told, hexadecimal(r.Event().RemoteID)), octets[len(record):]
		}
		at = next
	}
	if told[0] != "00:00:00:09:61" || told[1] != "" {
		t.Errorf("it is told %q", told)
	}
}
