package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// WatchSocket registers the kernel's figures of a socket: the datagrams that it dropped because the
// buffer was full, and the octets that wait to be read. A scrape reads them.
func WatchSocket(reg prometheus.Registerer, d drop.Daemon, name string, s interface{ Stats() (udp.Stats, error) }) {
	labels := prometheus.Labels{"socket": name}
	// A closed socket has no figures.
	figure := func(of func(udp.Stats) float64) func() float64 {
		return func() float64 {
			st, err := s.Stats()
			if err != nil {
				return 0
			}
			return of(st)
		}
	}
	reg.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: Namespace(d), Name: "socket_drops_total", ConstLabels: labels,
			Help: "Datagrams that the kernel dropped because the socket's buffer was full.",
		}, figure(func(st udp.Stats) float64 { return float64(st.Drops) })),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: Namespace(d), Name: "socket_receive_queue_bytes", ConstLabels: labels,
			Help: "Octets that wait in the socket, by the kernel's accounting.",
		}, figure(func(st udp.Stats) float64 { return float64(st.ReceiveQueue) })),
	)
}
