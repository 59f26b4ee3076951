package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// account is an equation: a daemon's count of datagrams received is the sum of their fates.
type account struct {
	received string
	fates    []string // names of series, or series with some of their labels
}

// accounts are the equations that must hold, by daemon.
var accounts = map[string][]account{
	"dhcp6d": {
		{"dhcp6d_packets_received_total", []string{"dhcp6d_queries_forwarded_total", "dhcp6d_packets_answered_total",
			"dhcp6d_messages_passed_total", "dhcp6d_messages_returned_total",
			`dhcp6d_packets_silent_total socket="link"`, `dhcp6d_packets_dropped_total socket="link"`}},
		{"dhcp6d_ipc_packets_received_total", []string{"dhcp6d_responses_relayed_total", "dhcp6d_ipc_probe_replies_total",
			`dhcp6d_packets_dropped_total socket="ipc"`}},
	},
	"dhcp4d": {
		{"dhcp4d_queries_received_total", []string{"dhcp4d_responses_sent_total", "dhcp4d_queries_silent_total",
			`dhcp4d_packets_dropped_total socket="ipc"`}},
	},
}

// settled waits until no datagram waits in a daemon, and checks that the daemon has counted the
// fate of every datagram that it received.
func settled(t *testing.T, half *servers.Half, daemon string) {
	t.Helper()
	select {
	case <-half.Ended():
		return
	default:
	}
	var wrong []string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		series, err := half.Metrics()
		if err != nil {
			wrong = []string{err.Error()}
			continue
		}
		if wrong = unsettled(series, daemon); len(wrong) == 0 {
			return
		}
	}
	t.Errorf("%s has not counted one fate for each datagram that it received:\n%s", daemon, strings.Join(wrong, "\n"))
}

// unsettled returns which accounts do not add up.
func unsettled(series map[string]float64, daemon string) (wrong []string) {
	for _, a := range accounts[daemon] {
		received, known := servers.Sum(series, a.received), 0.0
		var text strings.Builder
		for _, f := range a.fates {
			name, label, _ := strings.Cut(f, " ")
			for s, v := range series {
				if (s == name || strings.HasPrefix(s, name+"{")) && strings.Contains(s, label) && v != 0 {
					known += v
					fmt.Fprintf(&text, "\n  %s %v", s, v)
				}
			}
		}
		if received != known {
			wrong = append(wrong, fmt.Sprintf("%s %v is not the sum %v of%s", a.received, received, known, text.String()))
		}
	}
	return wrong
}

func TestUnsettled(t *testing.T) {
	good := map[string]float64{
		`dhcp4d_queries_received_total{type="discover"}`:                      5,
		`dhcp4d_responses_sent_total{type="offer"}`:                           2,
		`dhcp4d_queries_silent_total{reason="released"}`:                      1,
		`dhcp4d_packets_dropped_total{reason="no_subnet",socket="ipc"}`:       2,
		`dhcp4d_packets_dropped_total{reason="no_subnet",socket="something"}`: 7,
	}
	if wrong := unsettled(good, "dhcp4d"); len(wrong) > 0 {
		t.Error(wrong)
	}
	good[`dhcp4d_queries_silent_total{reason="no_record"}`] = 2
	if wrong := unsettled(good, "dhcp4d"); len(wrong) != 1 {
		t.Errorf("%q", wrong)
	}
}
