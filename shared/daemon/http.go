package daemon

import (
	"context"
	"errors"
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
)

// web is the HTTP servers of a daemon: one for metrics and health, one for
// profiles when it is wanted. They outlive the components, so that the last
// counts can be read.
type web struct {
	servers []*http.Server
	metrics net.Listener
	all     sync.WaitGroup
}

func listenHTTP(name string, s Settings, reg *prometheus.Registry, ready *Readiness, log *slog.Logger) (*web, error) {
	w := &web{}
	l, err := listen(name, "METRICS_LISTEN", s.MetricsListen)
	if err != nil {
		return nil, err
	}
	w.metrics = l
	var debug net.Listener
	if s.DebugListen != "" {
		if debug, err = listen(name, "DEBUG_LISTEN", s.DebugListen); err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	w.serve(l, observability(reg, ready, log), log)
	if debug != nil {
		w.serve(debug, profiles(), log)
	}
	return w, nil
}

func listen(name, variable string, at config.Listen) (net.Listener, error) {
	l, err := net.Listen("tcp", string(at))
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %s: %w; free the port or set %s_%s", at, err, strings.ToUpper(name), variable)
	}
	return l, nil
}

// observability answers /metrics, /healthz and /readyz.
func observability(reg *prometheus.Registry, ready *Readiness, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		ErrorLog: scrapeLog{log}, ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // whoever asked and went away does not matter
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

// scrapeLog takes the errors of scrapes. It leaves out those of a scraper that
// went away, of which there is one for each metric: no fault of ours, and
// whoever can reach the port could fill the log.
type scrapeLog struct{ log *slog.Logger }

// Println takes a text and an error.
func (l scrapeLog) Println(v ...any) {
	for _, one := range v {
		var network *net.OpError
		if err, ok := one.(error); ok && errors.As(err, &network) {
			return
		}
	}
	l.log.Error("serving metrics", "error", strings.TrimSuffix(fmt.Sprintln(v...), "\n"))
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

func (w *web) serve(l net.Listener, h http.Handler, log *slog.Logger) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	w.servers = append(w.servers, server)
	w.all.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("http server ended", "address", l.Addr().String(), "error", err)
		}
	})
}

func (w *web) addr() string { return w.metrics.Addr().String() }

// close lets a scrape that is under way finish.
func (w *web) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range w.servers {
		if s.Shutdown(ctx) != nil {
			_ = s.Close() // the second try cannot be improved upon
		}
	}
	w.all.Wait()
}
