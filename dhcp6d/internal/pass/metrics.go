package pass

import (
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what each server was sent and what came from it.
type Metrics struct {
	sent, received *prometheus.CounterVec
	servers        []netip.AddrPort
}

// NewMetrics registers the series. Each server has one of each.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "dhcp6d", Name: name, Help: help},
			[]string{"server"})
		reg.MustRegister(c)
		return c
	}
	return &Metrics{
		sent: counter("dhcpv6_server_messages_sent_total",
			"Relay-forward messages sent to a DHCPv6 server of DHCP6D_DHCPV6_SERVERS."),
		received: counter("dhcpv6_server_messages_received_total",
			"Relay-reply messages received from a DHCPv6 server, also those that are dropped."),
	}
}

// Keep removes the series of all other servers. It is called when a reload has taken effect.
func (m *Metrics) Keep(servers []netip.AddrPort) {
	for _, a := range m.servers {
		if !slices.Contains(servers, a) {
			m.sent.DeleteLabelValues(a.String())
			m.received.DeleteLabelValues(a.String())
		}
	}
	m.servers = slices.Clone(servers)
}
