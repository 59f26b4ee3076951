package server

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

func TestRL15_RL16_HooksSeeWhatRelaysAdd(t *testing.T) {
	b := newBench(t)
	var remote, linkLayer []byte
	b.hook(t, func(a *hook.Attachment) {
		event.Pkt4Receive.Run(a, func(e *event.Query) drop.Reason {
			p := e.Frame.Packet()
			remote, linkLayer = bytes.Clone(p.Relay(p.Relays()-1).RemoteID()), bytes.Clone(p.ClientLinkLayer())
			return hook.Continue
		})
	})
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
	options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte("\x00\x00\x00\x09line"))
	options = dhcp6.AppendOption(options, dhcp6.OptClientLinkLayer, []byte{0, 1, 2, 0, 0, 0, 0, 7})
	m := dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), direct.Addr(), options, query(message(dhcp4.Discover, 1)))
	b.ask(t, frame(t, m, direct))
	if string(remote) != "\x00\x00\x00\x09line" || !bytes.Equal(linkLayer, []byte{0, 1, 2, 0, 0, 0, 0, 7}) {
		t.Errorf("a hook sees Remote-Id %q, link-layer address %x", remote, linkLayer)
	}
}
