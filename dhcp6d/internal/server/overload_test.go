package server

import (
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/forward"
)

func TestUnderOverloadExchangesThatHaveBegunComeFirst(t *testing.T) {
	b := newBench(t)
	settings := *b.up.Settings.Load()
	settings.Patience = forward.Patience{Query: time.Second, Discover: 50 * time.Millisecond}
	b.up.set = &settings
	start := time.Now()
	discover, request := query(dhcpv4(1, 1)), query(dhcpv4(1, 3))
	// at has a datagram come out of the socket at a time after having waited.
	at := func(after, waited time.Duration, data []byte) string {
		b.up.now, b.up.served = start.Add(after), services
		p := from(client, data)
		p.Received = b.up.now.Add(-waited).UnixNano()
		_, why := b.up.receive(&p)
		return why.Label()
	}
	const ms = time.Millisecond
	for _, step := range []struct {
		name          string
		after, waited time.Duration
		data          []byte
		want          string
	}{
		{"no delay", 0, 0, discover, "none"},
		{"a pause of the process is no overload", 150 * ms, 140 * ms, discover, "none"},
		{"the queue is worked off", 160 * ms, 10 * ms, discover, "none"},
		{"a queue builds up", 300 * ms, 60 * ms, discover, "none"},
		{"and stands", 370 * ms, 100 * ms, discover, "stale"},
		{"the rest of an exchange is served", 371 * ms, 100 * ms, request, "none"},
		{"new ones are not", 372 * ms, 100 * ms, discover, "stale"},
		{"nor what nobody waits for", 373 * ms, 1100 * ms, request, "stale"},
		{"those that come through in time are", 400 * ms, 20 * ms, discover, "none"},
		{"others are not, as long as there are some", 500 * ms, 60 * ms, discover, "stale"},
		{"the queue has gone", 710 * ms, 20 * ms, discover, "none"},
		{"and builds up anew", 800 * ms, 60 * ms, discover, "none"},
	} {
		if got := at(step.after, step.waited, step.data); got != step.want {
			t.Errorf("%s: %s, want %s", step.name, got, step.want)
		}
	}
}
