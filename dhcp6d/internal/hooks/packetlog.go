package hooks

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// packetLogVariables are the variables of the hook packetlog.
type packetLogVariables struct {
	Points []string `env:"POINTS" envDefault:"pkt6_receive,buffer6_send" kind:"list of buffer6_receive, pkt6_receive, pkt6_send, buffer6_send" desc:"hook packetlog: the points where packets are logged"`
	Rate   uint32   `env:"RATE" envDefault:"10" desc:"hook packetlog: most lines per second; 0 is no limit, and then each packet costs many times what it costs to serve it"`
}

// Check implements hook.Checker.
func (v *packetLogVariables) Check(c *hook.Check) {
	var known []string
	for _, p := range event.Points() {
		known = append(known, string(p))
	}
	c.Known("POINTS", "point", v.Points, known)
}

// packetLog is the hook that logs packets, decoded and with all options.
type packetLog struct {
	hook.PacketLog
	points []hook.FilterPoint[event.Datagram]
}

func newPacketLog(v *packetLogVariables, env hook.Env, _ *packetLog) (*packetLog, error) {
	l := &packetLog{PacketLog: hook.NewPacketLog(env.Log, v.Rate)}
	for _, p := range v.Points {
		l.points = append(l.points, hook.FilterPoint[event.Datagram](p))
	}
	return l, nil
}

// Attach implements hook.Hook.
func (l *packetLog) Attach(a *hook.Attachment) {
	for _, p := range l.points {
		p.Run(a, func(e *event.Datagram) drop.Reason {
			l.packet(string(p), e)
			return hook.Continue
		})
	}
}

func (l *packetLog) packet(point string, e *event.Datagram) {
	log, ok := l.At(point, e.Received)
	if !ok {
		return
	}
	packet, err := e.Decode()
	l.Write(log.With("interface", e.Interface, "peer", e.Peer, "local", e.Local, "octets", len(e.Data)), packet, err)
}
