package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/web"
)

// servers are the HTTP servers of a daemon: one for metrics and health, and one for profiles if it
// is configured. They stop after the components, so that a scrape can read the last counts.
type servers struct {
	log  *slog.Logger
	stop context.CancelFunc
	all  sync.WaitGroup
}

func startHTTP(name string, s Settings, reg *prometheus.Registry, ready *Readiness, log *slog.Logger) *servers {
	ctx, stop := context.WithCancel(context.Background())
	w := &servers{log: log, stop: stop}
	prefix := strings.ToUpper(name) + "_"
	w.serve(ctx, prefix+"METRICS_LISTEN", s.MetricsListen, observability(reg, ready, log))
	if s.DebugListen != "" {
		w.serve(ctx, prefix+"DEBUG_LISTEN", s.DebugListen, profiles())
	}
	return w
}

// listenAgain is the pause after a failed attempt to listen.
const listenAgain = time.Second

// serve listens at an address and serves there. If another program has the port, serve logs that
// and tries again: clients must not go without leases for a port of the metrics.
func (w *servers) serve(ctx context.Context, variable string, at config.Listen, h http.Handler) {
	l, err := net.Listen("tcp", string(at))
	if err != nil {
		w.log.Error("cannot listen, trying again; free the port or set the variable", "variable", variable,
			"address", string(at), "error", err)
	}
	w.all.Go(func() {
		for ; err != nil; l, err = net.Listen("tcp", string(at)) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(listenAgain):
			}
		}
		w.log.Info("listening", "variable", variable, "address", l.Addr().String())
		if err := web.New(l, h, w.log).Serve(ctx); err != nil {
			w.log.Error("the HTTP server ended", "variable", variable, "error", err)
		}
	})
}

// close waits for the scrapes under way and stops.
func (w *servers) close() {
	w.stop()
	w.all.Wait()
}

// observability answers /metrics, /healthz and /readyz.
func observability(reg *prometheus.Registry, ready *Readiness, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", newScrapes(promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError,
	})))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // nobody needs the answer if the client has gone
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		ok, report := ready.Report()
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, report)
	})
	return mux
}

// scrapeLog logs the errors of collectors.
type scrapeLog struct{ log *slog.Logger }

// Println takes a text and an error.
func (l scrapeLog) Println(v ...any) {
	l.log.Error("collecting metrics failed", "error", strings.TrimSuffix(fmt.Sprintln(v...), "\n"))
}

func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
