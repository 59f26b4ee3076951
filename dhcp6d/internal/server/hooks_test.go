package server

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

func TestRL15_RL16_HooksSeeWhatRelaysAdd(t *testing.T) {
	b := newBench(t)
	var remote, linkLayer, port []byte
	set := *b.up.Settings.Load()
	set.Hooks = event.NewHooks(hooktest.Set(t, func(a *hook.Attachment) {
		event.Pkt6Receive.Run(a, func(e *event.Datagram) drop.Reason {
			r := e.Packet.Relay(e.Packet.Relays() - 1)
			remote, linkLayer, port = bytes.Clone(r.RemoteID()), bytes.Clone(e.Packet.ClientLinkLayer()), bytes.Clone(r.InterfaceID())
			return hook.Continue
		})
	}))
	b.up.Settings.Store(&set)
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
	options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, []byte("\x00\x00\x00\x09line"))
	options = dhcp6.AppendOption(options, dhcp6.OptClientLinkLayer, []byte{0, 1, 2, 0, 0, 0, 0, 7})
	m := dhcp6.AppendRelayForward(nil, 0, us, client.Addr(), options, query(dhcpv4(1, 1)))
	m = dhcp6.AppendRelayForward(nil, 1, us, relay.Addr(), dhcp6.AppendOption(nil, dhcp6.OptRemoteID, []byte("\x00\x00\x00\x09outer")), m)
	b.up.batch([]udp.Packet{{Data: m, Peer: relay, Local: us, Interface: eth1.Index}})
	if string(port) != "port7" || string(remote) != "\x00\x00\x00\x09line" || !bytes.Equal(linkLayer, []byte{0, 1, 2, 0, 0, 0, 0, 7}) {
		t.Errorf("a hook sees Interface-Id %q, Remote-Id %q, link-layer address %x", port, remote, linkLayer)
	}
	b.ipc.Sent(1)
}
