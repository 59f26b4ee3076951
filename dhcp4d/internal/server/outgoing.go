package server

import (
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// outgoing has the answers that leave in one call of a writer.
type outgoing struct {
	packets []udp.Packet
	notes   []sendNote // of each packet
}

// sendNote is what is counted and told of a packet when it has left.
type sendNote struct {
	kind  dhcp4.MessageType // 0: it answers a probe, and does not count
	trace *traced           // nil: nobody follows the client
}

func (o *outgoing) reset() {
	clear(o.notes)
	o.packets, o.notes = o.packets[:0], o.notes[:0]
}

// add adds an answer with its signature.
func (o *outgoing) add(data []byte, by way, kind dhcp4.MessageType, t *traced) {
	o.packets = append(o.packets, by.packet(data))
	o.notes = append(o.notes, sendNote{kind, t})
}

// last returns the note of the answer that was added last.
func (o *outgoing) last() *sendNote { return &o.notes[len(o.notes)-1] }

// send sends the answers, counts them, and completes their traces.
func (o *outgoing) send(w udp.Writer, l *Ledger) {
	w.Write(o.packets)
	l.sent(o)
	for i := range o.notes {
		o.notes[i].trace.sent(&o.packets[i])
	}
}
