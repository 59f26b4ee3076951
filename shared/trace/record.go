package trace

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// Record is what became of one packet of a subscriber.
type Record struct {
	Time   time.Time `json:"time"`
	Daemon string    `json:"daemon"`
	// Exchange is the transaction id and the client of the DHCPv4 message: the same in both
	// daemons.
	Exchange string `json:"exchange"`
	// Steps are the packet's way in plain words. The last one is what became of it.
	Steps []string `json:"steps"`
	// In is the datagram that came in, Out the one that was sent because of it.
	In  *Datagram `json:"in,omitempty"`
	Out *Datagram `json:"out,omitempty"`
	// Message and Reply are the DHCPv4 messages in a query and in an answer, cut at MaxOctets. Each
	// is empty if there is none.
	Message []byte `json:"message,omitempty"`
	Reply   []byte `json:"reply,omitempty"`
	// Lost is how many records before this one were lost.
	Lost int `json:"lost,omitempty"`
}

// Say adds a step.
func (r *Record) Say(format string, args ...any) {
	r.Steps = append(r.Steps, fmt.Sprintf(format, args...))
}

// The sockets of a [Datagram].
const (
	Link = "link" // of dhcp6d, to clients and relays
	IPC  = "ipc"  // between the daemons
)

// Datagram is a UDP datagram in a record.
type Datagram struct {
	Time   time.Time `json:"time"`
	Socket string    `json:"socket"`
	// Interface is that of the link, empty if the routes chose it.
	Interface string `json:"interface,omitempty"`
	// From and To are its source and destination. The address of From is unspecified if the kernel
	// chose it.
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
	// Length is its payload in octets, and Data the payload, cut at MaxOctets.
	Length int    `json:"length"`
	Data   []byte `json:"data"`
}

// NewDatagram makes a datagram with a copy of its payload. local and peer are its ends; in says
// that it was received.
func NewDatagram(at time.Time, socket, ifc string, in bool, local, peer netip.AddrPort, payload []byte) *Datagram {
	d := &Datagram{
		Time: at, Socket: socket, Interface: ifc, From: local, To: peer, Length: len(payload), Data: Octets(payload),
	}
	if in {
		d.From, d.To = peer, local
	}
	return d
}

// End returns our end of a datagram on a socket: with its own address, if that is known.
func End(a netip.Addr, bound netip.AddrPort) netip.AddrPort {
	if a.IsValid() {
		return netip.AddrPortFrom(a, bound.Port())
	}
	return bound
}

// Exchange returns the name of a DHCPv4 message's exchange, which is the same in both daemons: the
// transaction id and the client.
func Exchange(m *dhcp4.Message) string {
	if id, _ := m.Option(dhcp4.OptClientIdentifier); len(id) > 0 {
		return fmt.Sprintf("xid %#08x, client %x", uint32(m.Xid()), id)
	}
	return fmt.Sprintf("xid %#08x, hardware %x", uint32(m.Xid()), m.CHAddr())
}

// Describe returns a DHCPv4 message in a line of words.
func Describe(m *dhcp4.Message) string {
	var text strings.Builder
	id, _ := m.Option(dhcp4.OptClientIdentifier)
	fmt.Fprintf(&text, "%s, xid %#08x, hardware %s, client identifier %s",
		strings.ToUpper(m.Type().String()), uint32(m.Xid()), orNone(m.CHAddr()), orNone(id))
	say := func(name string, a netip.Addr, ok bool) {
		if ok && !a.IsUnspecified() {
			fmt.Fprintf(&text, ", %s %v", name, a)
		}
	}
	option := func(name string, code byte) {
		a, ok := m.Addr(code)
		say(name, a, ok)
	}
	say("ciaddr", m.CIAddr(), true)
	say("yiaddr", m.YIAddr(), true)
	option("requested address", dhcp4.OptRequestedAddress)
	option("server identifier", dhcp4.OptServerIdentifier)
	if why, ok := m.Option(dhcp4.OptMessage); ok {
		fmt.Fprintf(&text, ", message %.80q", why)
	}
	return text.String()
}

func orNone(b []byte) string {
	if len(b) == 0 {
		return "none"
	}
	return hex.EncodeToString(b)
}

// Octets returns a copy of a datagram for a record.
func Octets(b []byte) []byte { return bytes.Clone(b[:min(len(b), MaxOctets)]) }
