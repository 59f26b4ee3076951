package listen

import "github.com/prometheus/client_golang/prometheus"

// gauges is the state of the interfaces as metrics.
type gauges struct {
	link *Link
	up   *prometheus.Desc
}

// Gauges returns the collector of dhcp6d_interface_up.
func (l *Link) Gauges() prometheus.Collector {
	return &gauges{l, prometheus.NewDesc("dhcp6d_interface_up",
		"1 when clients on the interface can be answered; 0 when it is down, is a port of a bridge, "+
			"has no link-local address, could not be joined, or is configured by its name and does not exist.",
		[]string{"interface"}, nil)}
}

// Describe implements prometheus.Collector.
func (g *gauges) Describe(ch chan<- *prometheus.Desc) { ch <- g.up }

// Collect implements prometheus.Collector.
func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	for _, s := range g.link.Interfaces().Status() {
		up := 0.0
		if s.Trouble == NoTrouble {
			up = 1
		}
		ch <- prometheus.MustNewConstMetric(g.up, prometheus.GaugeValue, up, s.Name)
	}
}
