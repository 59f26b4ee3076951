package server

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

func TestD6_31EachLinkIsAnsweredWithItsOwnOptions(t *testing.T) {
	all, eth, seven := answer.New(duid, answer.Options{}), answer.New(duid, answer.Options{}), answer.New(duid, answer.Options{})
	u := Up{set: &Settings{Answer: all, Links: NewLinks([]LinkAnswer{
		{Link: netip.MustParsePrefix("2001:db8:7::/64"), Answer: seven},
		{Interface: "eth2", Answer: eth},
	})}}
	link7 := netip.MustParseAddr("2001:db8:7::1")
	request := dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{1, 2, 3})
	for _, tt := range []struct {
		name, ifc  string
		m          []byte
		want       *answer.Server
		unbelieved int
	}{
		{"by interface", "eth2", request, eth, 0},
		{"another interface", "eth1", request, all, 0},
		{"by the address of the relay's link", "eth1", relayed(request, 1), seven, 0},
		{"which, listed before, counts before the interface", "eth2", relayed(request, 2), seven, 0},
		{"D6-13 a link that a relay names is not the interface", "eth2", dhcp6.AppendRelayForward(nil, 0, us, client.Addr(), nil, request), all, 0},
		{"D6-13 behind an LDRA, which names no link, it is", "eth2", dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(), client.Addr(), nil, request), eth, 0},
		{"another relayed link", "eth1", dhcp6.AppendRelayForward(nil, 0, us, client.Addr(), nil, request), all, 0},
		{"RL-20 a link-local link-address names no link, the next level does", "eth1", dhcp6.AppendRelayForward(nil, 1, link7, us, nil,
			dhcp6.AppendRelayForward(nil, 0, client.Addr(), client.Addr(), nil, request)), seven, 0},
		{"RL-20 or else the interface is the link", "eth2", dhcp6.AppendRelayForward(nil, 0, client.Addr(), client.Addr(), nil, request), eth, 0},
		{"RL-22 a level that is not believed names none", "eth1", dhcp6.AppendRelayForward(nil, 1, us, client.Addr(), nil,
			dhcp6.AppendRelayForward(nil, 0, link7, client.Addr(), nil, request)), all, 1},
	} {
		var p dhcp6.Packet
		if why := p.Parse(tt.m); why != drop.None {
			t.Fatal(why)
		}
		u.path = attachment.Path{Packet: &p, Believed: p.Relays() - tt.unbelieved}
		if u.answerOn(&listen.Interface{Name: tt.ifc, Names: []string{tt.ifc}}) != tt.want {
			t.Errorf("D6-31 %s", tt.name)
		}
	}
}
