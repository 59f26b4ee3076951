package server

import (
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

// The record of a lease has the Remote-Id of the relay that is believed and next to the client.
func TestTheRemoteIDIsStored(t *testing.T) {
	const line = "\x00\x00\x0d\xe9line 7"
	with := func(s spot, remoteID string) spot { s.remoteID = remoteID; return s }
	deeper := spot{source: "2001:db8:c::1", levels: []spotLevel{{"2001:db8:7::1", "fe80::c", "port"}, {"2001:db8:7::1", "fe80::c", "port"}}, unbelieved: 1}
	for _, c := range []struct {
		name         string
		where        spot
		beside, here string
	}{
		{"beside an Interface-Id", with(onPort("1"), line), line, line},
		{"as the name of the port", with(onPort(""), line), "", line},
		{"none", onPort("1"), "", ""},
		{"in a level that is not believed", with(deeper, line), "", ""},
		{"the longest", with(onPort("1"), strings.Repeat("l", lease.MaxRemoteID)), strings.Repeat("l", lease.MaxRemoteID), strings.Repeat("l", lease.MaxRemoteID)},
		{"one that is too long to be searched for", with(onPort("1"), strings.Repeat("l", lease.MaxRemoteID+1)), "", ""},
		{"one that is too short to be one", with(onPort("1"), line[:4]), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			r := b.stored(t, b.obtain(t, c.where, holder{1, 1}))
			if string(r.RemoteID) != c.beside || string(r.Remote()) != c.here {
				t.Errorf("the record has %q beside the point, %q in all; want %q and %q", r.RemoteID, r.Remote(), c.beside, c.here)
			}
			if p, ok := attachment.Split(r.Point); !ok || (p.Kind == attachment.RemoteID) != (c.here != "" && c.beside == "") {
				t.Errorf("the point is %+v", p)
			}
		})
	}
}

// The attachment point decides, not the Remote-Id: another one changes nothing for the client, and
// the same one opens no other port.
func TestTheRemoteIDDecidesNothing(t *testing.T) {
	h := holder{1, 1}
	at := func(port, line string) spot {
		s := onPort(port)
		s.remoteID = "\x00\x00\x0d\xe9" + line
		return s
	}
	b := newBench(t)
	b.reload(t, "[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.19], match: [{link-address: \"::/0\"}], limit: 1, moves: refuse}]")
	a := b.obtain(t, at("1", "line 7"), h)
	if got := b.obtain(t, at("1", "line 8"), h); got != a {
		t.Errorf("with another Remote-Id the client gets %v, and had %v", got, a)
	}
	if kind, got := b.tell(t, at("1", "line 9"), discovers(2)); kind != 0 {
		t.Errorf("another Remote-Id makes room at a full port: %v of %v", kind, got)
	}
	if kind := b.renew(t, at("2", "line 8"), h, a); kind != 0 {
		t.Errorf("renewed at another port with the same Remote-Id: %v", kind)
	}
	if b.release(t, at("2", "line 8"), h, a) {
		t.Error("released from another port with the same Remote-Id")
	}
	if !b.release(t, at("1", "line 9"), h, a) {
		t.Error("not released from its port with another Remote-Id")
	}
}
