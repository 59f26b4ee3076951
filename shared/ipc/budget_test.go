//go:build budget

package ipc_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// bothWays does what both daemons do with the frames of a datagram, whatever kind it is.
func bothWays() func(b []byte) {
	var p dhcp6.Packet
	var q ipc.Query
	var r ipc.Response
	frame, answer := make([]byte, 0, 2*dhcp6.MaxDatagram), make([]byte, 0, 2*dhcp6.MaxDatagram)
	back := ipc.Context{Interface: []byte("eth1"), Source: netip.MustParseAddrPort("[2001:db8::1]:546")}
	return func(b []byte) {
		ipc.ParseProbe(b)
		ipc.ParseProbeReply(b)
		if r.Parse(b) == drop.None {
			r.Strip()
			return
		}
		query := b
		if p.Parse(b) == drop.None {
			if framed, why := ipc.AppendQuery(frame[:0], &p, back); why == drop.None {
				query = framed
			}
		}
		if q.Parse(query) != drop.None {
			return
		}
		answer, mark := ipc.BeginResponse(answer[:0], &q)
		answer = append(answer, q.DHCPv4()...)
		mark.End(answer)
	}
}

// frames are datagrams that were made to cost time.
func frames() [][]byte {
	ours := full("eth1", "2001:db8::1", "\x02\x22")
	subs := strings.Repeat(option(9, ""), 2000)
	vendors := strings.Repeat(option(17, isc, option(9, "")), 253)
	return [][]byte{
		message(dhcp6.DHCPv4Query, option(17, isc, subs), carried()),
		message(dhcp6.DHCPv4Query, vendors, carried()),
		message(dhcp6.DHCPv4Response, option(17, isc, subs, ours), carried()),
		message(dhcp6.DHCPv4Response, vendors, option(17, isc, ours), carried()),
		wrap(9, dhcp6.RelayForward, message(dhcp6.DHCPv4Query, carried())),
		wrap(9, dhcp6.RelayReply, message(dhcp6.DHCPv4Response, option(17, isc, ours), carried())),
	}
}

func TestBudgetOfAFrame(t *testing.T) {
	budgettest.Hold(t, "frame", 3, frames(), bothWays())
}

// FuzzBudget looks for datagrams that cost more than TestBudgetOfAFrame knows.
func FuzzBudget(f *testing.F) {
	for _, b := range frames() {
		f.Add(b)
	}
	work := bothWays()
	f.Fuzz(func(t *testing.T, b []byte) {
		size := len(b)
		if n := budget.Of(func() { work(b) }); n > 3*size+200 {
			t.Fatalf("%d octets cost %d units", size, n)
		}
	})
}
