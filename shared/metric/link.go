package metric

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// Link is the authentication of the IPC as metrics show it.
type Link struct {
	Causes   []string               // for which datagrams are refused
	Refused  func(cause int) uint64 // how many, by index of Causes
	OldPeers func() int             // peers that know no sessions
}

// WatchLink registers the metrics of the IPC's authentication.
func WatchLink(reg prometheus.Registerer, d drop.Daemon, l Link) {
	for i, cause := range l.Causes {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: Namespace(d), Name: "ipc_refused_total", ConstLabels: prometheus.Labels{"cause": cause},
			Help: "IPC datagrams that were dropped as unauthentic, by cause.",
		}, func() float64 { return float64(l.Refused(i)) }))
	}
	reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: Namespace(d), Name: "ipc_old_peers",
		Help: "Peers on the IPC that sign each datagram, because they are of a version without sessions. " +
			"When it is 0 in all daemons, IPC_OLD_PEERS can be set to false.",
	}, func() float64 { return float64(l.OldPeers()) }))
}
