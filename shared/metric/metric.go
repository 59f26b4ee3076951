// Package metric makes the registry of a daemon and the few series that every
// daemon has.
//
// It owns the rules of naming (one prefix per daemon, base units, _total for
// counters only), the bucket sets, and the tallies through which a packet
// loop counts. Every package declares its own metrics by a constructor that
// takes a prometheus.Registerer; there is no registry of the package. Labels
// come from closed sets and are resolved when a daemon starts: nothing here
// looks up a label for a packet.
package metric

import (
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Namespace is the prefix of a daemon's metrics, which is its name too.
func Namespace(d drop.Daemon) string {
	if d == drop.DHCP6D {
		return "dhcp6d"
	}
	return "dhcp4d"
}

// NewRegistry returns a registry with the Go runtime, the process and
// <daemon>_build_info in it.
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

// revision is set by the linker: the toolchain stamps no commit into what is
// built from a workspace.
var revision string

// Revision is the commit that the binary was built from, with "-dirty" after it
// when the tree had changes; "unknown" when neither the linker nor the
// toolchain was told.
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
