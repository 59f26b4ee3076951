package hooks

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// packetLogVariables are the variables of the hook packetlog.
type packetLogVariables struct {
	Points []string `env:"POINTS" envDefault:"pkt4_receive,pkt4_send" kind:"list of buffer4_receive, pkt4_receive, subnet4_select, lease4_select, lease4_renew, lease4_release, lease4_decline, pkt4_send, buffer4_send, leases4_committed" desc:"hook packetlog: the points where packets, and at the last one changes of leases, are logged"`
	Rate   uint32   `env:"RATE" envDefault:"10" desc:"hook packetlog: most lines per second; 0 is no limit, and then each packet costs many times what it costs to serve it"`
}

// Check implements hook.Checker.
func (v *packetLogVariables) Check(c *hook.Check) {
	var known []string
	for _, p := range event.Filters() {
		known = append(known, string(p))
	}
	c.Known("POINTS", "point", v.Points, append(known, string(event.Leases4Committed)))
}

// packetLog is the hook that logs every packet with all its options, as text.
type packetLog struct {
	hook.PacketLog
	points []string
}

func newPacketLog(v *packetLogVariables, env hook.Env, _ *packetLog) (*packetLog, error) {
	return &packetLog{hook.NewPacketLog(env.Log, v.Rate), v.Points}, nil
}

// Attach implements hook.Hook.
func (l *packetLog) Attach(a *hook.Attachment) {
	for _, p := range l.points {
		if p == string(event.Leases4Committed) {
			event.Leases4Committed.Run(a, l.lease)
			continue
		}
		hook.FilterPoint[event.Query](p).Run(a, func(e *event.Query) drop.Reason {
			l.packet(p, e)
			return hook.Continue
		})
	}
}

// packet logs the query, or at pkt4_send and later the reply, with what is decided so far.
func (l *packetLog) packet(point string, e *event.Query) {
	log, ok := l.At(point, e.Received)
	if !ok {
		return
	}
	log = log.With("dhcp6d", e.DHCP6D, "octets", len(e.Data))
	if e.Subnet != nil {
		log = log.With("subnet", e.Subnet.ID)
	}
	if e.Address.IsValid() {
		log = log.With("address", e.Address)
	}
	packet, err := e.Decode()
	l.Write(log, packet, err)
}

func (l *packetLog) lease(e *event.Lease) {
	if log, ok := l.At(string(event.Leases4Committed), e.Time); ok {
		log.Info("lease", "event", e.Event.String(), "address", e.Binding.Addr, "subnet", e.Binding.Subnet,
			"interface", e.Interface)
	}
}
