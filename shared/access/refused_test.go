package access

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// pass lets time pass, and what is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A request without the token is logged at once. Those that follow within seconds are one line.
func TestRefusedRequestsAreLoggedAndCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		refused := NewRefused(prometheus.NewRegistry(), "dhcp4d", slog.New(slog.NewTextHandler(&out, nil)))
		guard := NewGuard(token, refused, http.NotFoundHandler())
		ask := func(path string) {
			r := httptest.NewRequest(http.MethodDelete, path, nil)
			r.RemoteAddr = "[2001:db8::9]:40000"
			w := httptest.NewRecorder()
			if guard.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
				t.Errorf("%d", w.Code)
			}
		}
		lines := func() []string {
			defer out.Reset()
			return strings.Split(strings.TrimSpace(out.String()), "\n")
		}
		ask("/v1/leases/192.0.2.10")
		if l := lines(); len(l) != 1 || !strings.Contains(l[0], `level=WARN`) || !strings.Contains(l[0], "from=[2001:db8::9]:40000 method=DELETE path=/v1/leases/192.0.2.10") {
			t.Errorf("the first: %q", l)
		}
		for range 1000 {
			ask("/v1/" + strings.Repeat("x", 5000))
		}
		pass(sayEvery)
		if l := lines(); len(l) != 1 || !strings.Contains(l[0], "requests=1000") {
			t.Errorf("those that follow: %q", l)
		}
		pass(sayEvery)
		ask("/v1/" + strings.Repeat("x", 5000))
		if l := lines(); len(l) != 1 || !strings.Contains(l[0], "method=DELETE") || len(l[0]) > 400 {
			t.Errorf("after a pause: %q", l)
		}
		if n := testutil.ToFloat64(refused); n != 1002 {
			t.Errorf("%v are counted", n)
		}
		pass(2 * sayEvery) // ends the timer
	})
}
