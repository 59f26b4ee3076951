package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// WatchSocket registers what the kernel knows of a socket: datagrams that it
// dropped because nobody read them in time, and octets that wait to be read.
// The figures are read when they are scraped.
func WatchSocket(reg prometheus.Registerer, d drop.Daemon, name string, s interface{ Stats() (udp.Stats, error) }) {
	labels := prometheus.Labels{"socket": name}
	// A socket that is closed has nothing to tell any more.
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
			Help: "Octets that wait in the socket to be read, by the kernel's accounting.",
		}, figure(func(st udp.Stats) float64 { return float64(st.ReceiveQueue) })),
	)
}
