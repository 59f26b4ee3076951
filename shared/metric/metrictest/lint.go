// Package metrictest holds a daemon's metrics to the rules of naming.
package metrictest

import (
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
)

// forbidden are labels whose values come from the network or grow with the number of clients.
var forbidden = []string{
	"address", "addr", "chaddr", "client", "client_id", "duid", "host", "hostname", "interface_id", "ip", "lease",
	"link_address", "mac", "peer", "relay", "remote_id", "source", "subscriber_id", "transaction_id", "xid",
}

// Lint fails the test for every metric that breaks a rule: a name without the daemon's prefix or
// with a unit that is no base unit, a counter that does not end in _total or something else that
// does, a histogram without a unit, a label that is not from a closed set, a missing help. Metrics
// of the Go runtime and of the process have names of their own.
func Lint(t testing.TB, g prometheus.Gatherer, d drop.Daemon) {
	t.Helper()
	problems, err := Problems(g, d)
	if err != nil {
		t.Fatalf("gathering metrics: %v", err)
	}
	for _, p := range problems {
		t.Error("metric " + p)
	}
}

// Problems is what Lint finds, each beginning with the name of its metric.
func Problems(g prometheus.Gatherer, d drop.Daemon) (problems []string, err error) {
	families, err := g.Gather()
	if err != nil {
		return nil, err
	}
	common, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		return nil, err
	}
	for _, p := range common {
		if !foreign(p.Metric) {
			problems = append(problems, p.Metric+": "+p.Text)
		}
	}
	for _, f := range families {
		name, kind := f.GetName(), f.GetType().String()
		if foreign(name) {
			continue
		}
		if !strings.HasPrefix(name, metric.Namespace(d)+"_") {
			problems = append(problems, name+": the name lacks the daemon's prefix")
		}
		if (kind == "COUNTER") != strings.HasSuffix(name, "_total") {
			problems = append(problems, name+": counters, and only they, end in _total")
		}
		if kind == "HISTOGRAM" && !strings.HasSuffix(name, "_seconds") && !strings.HasSuffix(name, "_bytes") {
			problems = append(problems, name+": a histogram's name ends in its unit")
		}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				problem := name + ": label " + l.GetName() + " has no closed set of values"
				if slices.Contains(forbidden, l.GetName()) && !slices.Contains(problems, problem) {
					problems = append(problems, problem)
				}
			}
		}
	}
	return problems, nil
}

// foreign reports whether a metric is the Go runtime's or the process's.
func foreign(name string) bool {
	return strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_")
}
