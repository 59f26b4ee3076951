package server

import (
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// outgoing has the answers that leave in one call of a writer.
type outgoing struct {
	packets []udp.Packet
	infos   []answerInfo // of each packet
}

// answerInfo is what is counted and told of an answer when it has left.
type answerInfo struct {
	kind  dhcp4.MessageType // 0: it answers a probe, and does not count
	trace *traced           // nil: nobody follows the client
}

func (o *outgoing) reset() {
	clear(o.infos)
	o.packets, o.infos = o.packets[:0], o.infos[:0]
}

// add adds an answer with its signature.
func (o *outgoing) add(data []byte, by way, kind dhcp4.MessageType, t *traced) {
	o.packets = append(o.packets, by.packet(data))
	o.infos = append(o.infos, answerInfo{kind, t})
}

// last returns the info of the answer that was added last.
func (o *outgoing) last() *answerInfo { return &o.infos[len(o.infos)-1] }

// send sends the answers, counts them, and completes their traces.
func (o *outgoing) send(w udp.Writer, l *Ledger) {
	w.Write(o.packets)
	l.sent(o)
	for i := range o.infos {
		o.infos[i].trace.sent(&o.packets[i])
	}
}
