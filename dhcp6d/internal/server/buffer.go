package server

import (
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// atBuffer runs the hooks at a buffer point. They may change the datagram e.Data. The changed
// octets lie in the memory of v.
func atBuffer(hooks *hook.List[event.Datagram], e *event.Datagram, v *event.View) drop.Reason {
	if hooks.Empty() {
		return hook.Continue
	}
	v.Octets.Changed, e.View = false, v
	why := hooks.Run(e)
	e.View = nil
	return why
}

// atBuffer6Send runs the hooks at buffer6_send for the datagram out, which e describes. If they
// change it, their octets go to the end of buf, and out and e point there. The datagram is dropped
// if their octets cannot be parsed as an answer.
func (s *Settings) atBuffer6Send(e *event.Datagram, v *event.View, buf []byte, out *udp.Packet) ([]byte, drop.Reason) {
	hooks := &s.Hooks.Buffer6Send
	if hooks.Empty() {
		return buf, hook.Continue
	}
	why := atBuffer(hooks, e, v)
	if why != hook.Continue || !v.Octets.Changed {
		return buf, why
	}
	if v.Packet.ParseReply(e.Data) != drop.None {
		return buf, hook.Drop
	}
	start := len(buf)
	buf = append(buf, e.Data...)
	out.Data = buf[start:len(buf):len(buf)]
	e.Data = out.Data
	return buf, hook.Continue
}
