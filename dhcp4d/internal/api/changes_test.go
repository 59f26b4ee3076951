package api

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

func TestChangesAreLoggedAndCounted(t *testing.T) {
	const order = `{"address":"192.0.2.9","hw_address":"02-00-5E-10-00-01","lease_time":60}`
	for _, c := range []struct {
		name, method, path, body string
		err                      error
		counted, logged          string
	}{
		{"released", "DELETE", "/v1/leases/192.0.2.3", "", nil, `change="release",result="done"`, `level=INFO msg="a change of a lease was ordered by the API" change=release address=192.0.2.3 by="api 2001:db8::9" result=done`},
		{"nothing to release", "DELETE", "/v1/leases/192.0.2.3", "", leases.ErrNotFound, `change="release",result="refused"`, `level=WARN msg="a change of a lease was ordered by the API" change=release address=192.0.2.3 by="api 2001:db8::9" result=refused error="nothing is known of the address"`},
		{"no address", "DELETE", "/v1/leases/router", "", nil, `change="release",result="refused"`, `error="no IPv4 address"`},
		{"reserved", "POST", "/v1/leases", order, nil, `change="reserve",result="done"`, `change=reserve address=192.0.2.9 by="api 2001:db8::9" result=done`},
		{"taken", "POST", "/v1/leases", order, fmt.Errorf("%w: it is leased to another client", leases.ErrConflict), `change="reserve",result="refused"`, "it is leased to another client"},
		{"the store fails", "POST", "/v1/leases", order, fmt.Errorf("%w: %w", operator.ErrStore, errors.New("no space")), `change="reserve",result="failed"`, "result=failed"},
		{"not understood", "POST", "/v1/leases", "{", nil, `change="reserve",result="refused"`, "the request cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			reg := prometheus.NewRegistry()
			f := &fake{all: someLeases(), err: c.err}
			h := NewHandler(Options{Leases: f, Orders: f, Trace: new(trace.Hub), Registry: reg, Log: slog.New(slog.NewTextHandler(&out, nil))})
			r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
			r.RemoteAddr = "[2001:db8::9]:40000"
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(httptest.NewRecorder(), r)
			for _, change := range []string{"release", "reserve"} {
				for _, result := range []string{"done", "failed", "refused"} {
					want := 0.0
					if fmt.Sprintf("change=%q,result=%q", change, result) == c.counted {
						want = 1
					}
					if n := testutil.ToFloat64(h.changes.counts.WithLabelValues(change, result)); n != want {
						t.Errorf("%s, %s: %v, want %v", change, result, n, want)
					}
				}
			}
			if n, err := testutil.GatherAndCount(reg, "dhcp4d_api_changes_total"); n != 6 || err != nil {
				t.Errorf("%d series, %v", n, err)
			}
			if !strings.Contains(out.String(), c.logged) || strings.Count(out.String(), "\n") != 1 {
				t.Errorf("logged %q, want %q", out.String(), c.logged)
			}
		})
	}
}
