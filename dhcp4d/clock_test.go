package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
)

// shown is a lease as the API shows it.
type shown struct {
	Address string
	State   string
	Changed time.Time
	Expires time.Time
}

// running is a dhcp4d on a machine whose clocks the test moves.
type running struct {
	t       *testing.T
	m       *clocktest.Machine
	environ []string
	metrics string
	api     string
	stop    func()
}

func newRunning(t *testing.T) *running {
	d := &running{t: t, m: clocktest.NewRunning(), api: freePort(t)}
	d.environ, d.metrics = daemonOn(t, t.TempDir())
	d.environ = append(d.environ, "DHCP4D_API_LISTEN="+d.api, "DHCP4D_API_TOKEN=0123456789abcdef0123456789abcdef")
	return d
}

func (d *running) start() {
	d.t.Helper()
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan error, 1)
	go func() { done <- runOn(ctx, d.m, nil, d.environ, io.Discard, io.Discard) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Errorf("dhcp4d ended with %v", err)
		}
	}
}

// ask makes a request of the API and reads the lease that it answers with.
func (d *running) ask(method, path, body string) (l shown) {
	d.t.Helper()
	r, err := http.NewRequestWithContext(d.t.Context(), method, "http://"+d.api+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer 0123456789abcdef0123456789abcdef")
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		d.t.Fatalf("%s %s: %s %s (error %v)", method, path, answer.Status, text, err)
	}
	if err := json.Unmarshal(text, &l); err != nil {
		d.t.Fatalf("%s: %v", text, err)
	}
	return l
}

const (
	leasePath = "/v1/leases/192.0.2.10"
	leaseBody = `{"address": "192.0.2.10", "client_id": "ff:01", "hw_address": "", "lease_time": 600}`
)

// TestAClockThatIsSet leases an address for ten minutes, with the clock set at every stage, and
// asks the next dhcp4d for it.
func TestAClockThatIsSet(t *testing.T) {
	for _, x := range []struct {
		name                    string
		before, during, stopped time.Duration
		reboot                  bool
	}{
		{name: "two hours slow, set right while it runs", before: -2 * time.Hour, during: 2 * time.Hour},
		{name: "two hours fast, set right while it runs", before: 2 * time.Hour, during: -2 * time.Hour},
		{name: "two hours slow, set right while it is stopped", before: -2 * time.Hour, stopped: 2 * time.Hour},
		{name: "two hours fast, set right while it is stopped", before: 2 * time.Hour, stopped: -2 * time.Hour},
		{name: "two hours slow, set right across a reboot", before: -2 * time.Hour, stopped: 2 * time.Hour, reboot: true},
		{name: "two hours fast, set right across a reboot", before: 2 * time.Hour, stopped: -2 * time.Hour, reboot: true},
	} {
		t.Run(x.name, func(t *testing.T) {
			d := newRunning(t)
			d.m.Step(x.before)
			d.start()
			ready(t, d.metrics)
			d.ask("POST", "/v1/leases", leaseBody)
			if x.during != 0 {
				d.m.Step(x.during)
				waitForMetric(t, d.metrics, "dhcp4d_clock_steps_total 1")
			}
			d.stop()
			d.m.Step(x.stopped)
			if x.reboot {
				d.m.Reboot(0)
				d.m.Synchronise()
			}
			d.start()
			ready(t, d.metrics)
			l := d.ask("GET", leasePath, "")
			left := l.Expires.Sub(d.m.Read().Wall)
			if l.State != "bound" || left < 9*time.Minute || left > 10*time.Minute+2*time.Second {
				t.Errorf("the lease is %s and ends in %v, want bound and about ten minutes", l.State, left)
			}
			var stdout bytes.Buffer
			d.stop()
			if err := runOn(t.Context(), d.m, []string{"leases", "export", "-store", "-format", "json"}, d.environ, &stdout, io.Discard); err != nil {
				t.Fatal(err)
			}
			var exported []shown
			if err := json.Unmarshal(stdout.Bytes(), &exported); err != nil || len(exported) != 1 || exported[0].Expires.Sub(l.Expires).Abs() > 2*time.Second {
				t.Errorf("exported %s, shown %+v (error %v)", stdout.String(), l, err)
			}
		})
	}
}

// waitForMetric waits for a line of the metrics.
func waitForMetric(t *testing.T, metrics, want string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		r, err := http.Get("http://" + metrics + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(body), "\n"+want+"\n") {
			return
		}
	}
	t.Fatalf("no line %q in the metrics", want)
}

func TestAClockOfThePast(t *testing.T) {
	d := newRunning(t)
	d.m.Step(-40 * 365 * 24 * time.Hour)
	d.start()
	defer d.stop()
	if status := readyz(t, d.metrics, "clock: the clock of this machine shows"); status != http.StatusServiceUnavailable {
		t.Errorf("status %d while the clock is decades behind", status)
	}
	d.m.Synchronise()
	ready(t, d.metrics)
}
