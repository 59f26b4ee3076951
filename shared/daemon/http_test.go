package daemon

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// gone is a scraper that went away.
type gone struct{ http.ResponseWriter }

func (gone) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: unix.EPIPE}
}

// broken is a collector that fails.
type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(ch chan<- *prometheus.Desc) { ch <- b.desc }
func (b broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(b.desc, errors.New("it is broken"))
}

func TestScrapeErrors(t *testing.T) {
	scrape := func(reg *prometheus.Registry, w http.ResponseWriter) string {
		var said bytes.Buffer
		h := observability(reg, &Readiness{}, slog.New(slog.NewTextHandler(&said, nil)))
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return said.String()
	}
	reg := prometheus.NewRegistry()
	for _, name := range []string{"one", "two", "three"} {
		reg.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: name}))
	}
	if said := scrape(reg, gone{httptest.NewRecorder()}); said != "" {
		t.Errorf("of a scraper that went away: %s", said)
	}
	reg.MustRegister(broken{prometheus.NewDesc("four", "", nil, nil)})
	answer := httptest.NewRecorder()
	if said := scrape(reg, answer); !strings.Contains(said, "it is broken") || strings.Count(said, "\n") != 1 {
		t.Errorf("of a collector that fails: %s", said)
	}
	if !strings.Contains(answer.Body.String(), "one 0") {
		t.Error("the other metrics are not there")
	}
}
