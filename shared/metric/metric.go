// Package metric makes the registry of a daemon and the few series that every daemon has.
//
// It owns the naming rules (one prefix per daemon, base units, _total for counters only), the
// bucket sets, and the tallies through which a packet loop counts. Every package declares its own
// metrics by a constructor that takes a prometheus.Registerer. Labels come from closed sets and are
// resolved at the start: no packet costs a look-up of a label.
package metric

import (
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Namespace returns the prefix of a daemon's metrics, which is also its name.
func Namespace(d drop.Daemon) string {
	if d == drop.DHCP6D {
		return "dhcp6d"
	}
	return "dhcp4d"
}

// NewRegistry returns a registry with the metrics of the Go runtime and the process, and
// <daemon>_build_info.
func NewRegistry(d drop.Daemon, version string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: Namespace(d), Name: "build_info",
		Help: "Always 1; the labels say which build is running.",
		ConstLabels: prometheus.Labels{
			"version": version, "revision": Revision(), "goversion": runtime.Version(),
		},
	})
	info.Set(1)
	reg.MustRegister(info)
	return reg
}

// revision is set by the linker, because the toolchain stamps no commit into a binary built in a
// workspace.
var revision string

// Revision returns the commit that the binary was built from, followed by "-dirty" if the tree had
// changes. It returns "unknown" if neither the linker nor the toolchain knew it.
func Revision() string {
	if revision != "" {
		return revision
	}
	commit, dirty := "unknown", ""
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, s := range build.Settings {
			switch {
			case s.Key == "vcs.revision":
				commit = s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				dirty = "-dirty"
			}
		}
	}
	return commit + dirty
}

// NewPanics registers <daemon>_panics_total.
func NewPanics(reg prometheus.Registerer, d drop.Daemon) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: Namespace(d), Name: "panics_total",
		Help: "Panics that were caught, each a bug to report.",
	})
	reg.MustRegister(c)
	return c
}

// Once registers c, or returns the collector of the same metrics that reg has
// already: for what is made again by a reload, while its metrics go on.
func Once[C prometheus.Collector](reg prometheus.Registerer, c C) C {
	if err := reg.Register(c); err != nil {
		if known, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
			if c, ok := known.ExistingCollector.(C); ok {
				return c
			}
		}
		panic(err) // two collectors with one name
	}
	return c
}
