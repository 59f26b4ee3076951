package server

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// The addresses of the tests. eth1 is served. eth2 is served and has an LDRA behind it. Interface 9
// is not served.
var (
	client   = netip.MustParseAddrPort("[fe80::a00:27ff:fe12:3456]:546")
	relay    = netip.MustParseAddrPort("[2001:db8:2::10]:547")
	us       = netip.MustParseAddr("2001:db8:1::1")
	fourd    = netip.MustParseAddrPort("[::1]:6768")
	kea      = netip.MustParseAddrPort("[::1]:7861")
	duid     = []byte{0, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	foreign  = []byte{0, 4, 9, 9, 9}
	eth1     = listen.Interface{Index: 3, Name: "eth1", Up: true, Joined: true}
	eth2     = listen.Interface{Index: 4, Name: "eth2", Up: true, Joined: true}
	services = listen.NewInterfaces(eth1, eth2)
)

var key = ipc.Key{ID: 1, Secret: []byte("0123456789abcdef0123456789abcdef")}

// bench is dhcp6d on sockets without a kernel.
type bench struct {
	link, ipc *udptest.Socket
	up        *Up
	down      *Down
	registry  *prometheus.Registry
	set       *backend.Set
	end       *ipc.End
	probes    *ipc.Signer
	now       time.Time // of all clocks; it stands unless the test moves it
}

// started is long enough ago for every signature of a test.
var started = time.Unix(1_700_000_000, 0)

// poison in the sname of a carried message makes the hooks of a bench drop or panic, depending on
// its value.
const (
	dropMe  = 'D'
	panicMe = 'P'
	limitMe = 'L'
	nameAt  = 44 // of sname in a DHCPv4 message
)

func newBench(t testing.TB, backends ...backend.Spec) *bench {
	t.Helper()
	return newKeyedBench(t, nil, backends...)
}

func newKeyedBench(t testing.TB, keys ipc.Keys, backends ...backend.Spec) *bench {
	t.Helper()
	if backends == nil {
		backends = []backend.Spec{{Name: "four", Host: "::1", Port: 6768}}
	}
	b := &bench{
		link:     udptest.New(netip.MustParseAddrPort("[::]:547")),
		ipc:      udptest.New(netip.MustParseAddrPort("[::1]:6767")),
		registry: prometheus.NewRegistry(),
		end:      ipc.NewEnd(drop.DHCP6D, keys, true),
	}
	b.probes, b.now = b.end.NewSigner(), time.Now()
	clock := func() time.Time { return b.now }
	log := slog.New(slog.DiscardHandler)
	b.set = backend.New(backend.Options{Log: log, Specs: backends, End: b.end, Metrics: backend.NewMetrics(b.registry), Now: clock})
	poisoned := func(e *event.Datagram) drop.Reason {
		at := bytes.Index(e.Data, []byte{0x63, 0x82, 0x53, 0x63})
		switch {
		case at < 0:
		case e.Data[at-236+nameAt] == dropMe:
			return hook.Drop
		case e.Data[at-236+nameAt] == panicMe:
			panic("poisoned")
		case e.Data[at-236+nameAt] == limitMe:
			return drop.RateLimited
		}
		return hook.Continue
	}
	links, ipcs := NewLedgers(b.registry)
	served := func() *listen.Interfaces { return services }
	b.up = &Up{
		Log: log, Link: b.link.NewReader(64), Answers: b.link.NewWriter(64), Queries: b.ipc.NewWriter(64),
		Interfaces: served,
		Settings:   new(atomic.Pointer[Settings]),
		Backends:   b.set, Ledger: links, Signer: b.end.NewSigner(), Now: clock,
	}
	b.up.Settings.Store(&Settings{
		MaxWait: backend.MaxWait{Query: 2 * time.Hour, Discover: time.Hour}, // a test run is shorter
		Access: Access{Trust: attachment.Trust{
			Relays:     attachment.NewPrefixes([]netip.Prefix{netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParsePrefix("::1/128")}),
			Interfaces: func(name string) bool { return name == "eth2" },
			Links:      attachment.NewPrefixes([]netip.Prefix{netip.MustParsePrefix("2001:db8:7::/64")}),
		}},
		Answer: answer.New(duid, answer.Options{Offer4o6: true, Servers4o6: []netip.Addr{us}}),
		Hooks: event.NewHooks(hooktest.Of(t, b.registry, log,
			hooktest.Kind("poison", func(a *hook.Attachment) {
				event.Buffer6Receive.Run(a, poisoned)
				event.Buffer6Send.Run(a, poisoned)
			}),
			hooktest.Kind("see", func(a *hook.Attachment) { event.Pkt6Receive.Run(a, seesEverything(t)) }))),
	})
	b.down = &Down{
		Log: log, IPC: b.ipc.NewReader(64), Link: b.link.NewWriter(64), Interfaces: served, Settings: b.up.Settings,
		Backends: b.set, Ledger: ipcs, Opener: b.end.NewOpener(started), Now: clock,
	}
	return b
}

// probe sends a probe to a dhcp4d. It returns the probe and the answer, which is accepted.
func (b *bench) probe(t testing.TB, four *ipctest.Half) (asked, answered []byte) {
	t.Helper()
	asked, ok := b.probes.AppendProbe(ipc.AppendFullProbe(nil, 0), 0, b.set.From(fourd).Peer, b.now)
	if !ok {
		t.Fatal("IPC-27 a full probe cannot be authenticated")
	}
	answered = four.Answer(asked)
	b.down.batch([]udp.Packet{{Data: bytes.Clone(answered), Peer: fourd}})
	return asked, answered
}

// meet gives the bench and a dhcp4d a session.
func (b *bench) meet(t testing.TB, four *ipctest.Half) {
	t.Helper()
	b.probe(t, four)
	b.probe(t, four)
}

// seesEverything is a hook that fails the test if an event at pkt6_receive lacks anything.
func seesEverything(t testing.TB) func(*event.Datagram) drop.Reason {
	return func(e *event.Datagram) drop.Reason {
		if e.Received.IsZero() || e.Interface == "" || e.Index == 0 || !e.Peer.IsValid() || !e.Local.IsValid() ||
			len(e.Data) == 0 || e.Packet == nil || e.Path == nil || e.Path.Packet != e.Packet || e.Path.Source != e.Peer.Addr() || string(e.Path.Interface) != e.Interface {
			t.Errorf("pkt6_receive sees %+v, something is missing", *e)
		}
		return hook.Continue
	}
}

// run lets both halves work until the test ends, or stop is called.
func (b *bench) run(t testing.TB) (stop func()) {
	t.Helper()
	done := make(chan error, 2)
	go func() { done <- b.up.Run(context.Background()) }()
	go func() { done <- b.down.Run(context.Background()) }()
	stop = sync.OnceFunc(func() {
		_, _ = b.link.Close(), b.ipc.Close()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(stop)
	return stop
}

// sum returns the sum of the series of a name whose labels contain all of with, each written as
// label=value.
func (b *bench) sum(t testing.TB, name string, with ...string) (n float64) {
	t.Helper()
	return b.scrape(t)(name, with...)
}

// scrape reads all series at once, and returns sum for these values.
func (b *bench) scrape(t testing.TB) (sum func(name string, with ...string) float64) {
	t.Helper()
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return func(name string, with ...string) (n float64) {
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
		series:
			for _, m := range f.GetMetric() {
				var labels []string
				for _, l := range m.GetLabel() {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
				for _, w := range with {
					if !strings.Contains(" "+strings.Join(labels, " ")+" ", " "+w+" ") {
						continue series
					}
				}
				n += m.GetCounter().GetValue()
			}
		}
		return n
	}
}

// dhcpv4 is a DHCPv4 message: header, cookie, message type and end.
func dhcpv4(op, kind byte) []byte {
	m := make([]byte, 236, 256)
	m[0], m[1], m[2] = op, 1, 6
	return append(m, 0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255)
}

// query is a DHCPV4-QUERY with the options and the carried messages.
func query(carried ...[]byte) []byte {
	q := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	for _, c := range carried {
		q = dhcp6.AppendOption(q, dhcp6.OptDHCPv4Msg, c)
	}
	return q
}

// relayed puts this many levels around a message, with hop counts that ascend outwards.
func relayed(m []byte, levels int) []byte {
	link := netip.MustParseAddr("2001:db8:7::1")
	for i := range levels {
		options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
		m = dhcp6.AppendRelayForward(nil, uint8(i), link, client.Addr(), options, m)
	}
	return m
}

func with(m []byte, code dhcp6.Code, data []byte) []byte {
	return dhcp6.AppendOption(bytes.Clone(m), code, data)
}

// from is a datagram by multicast on eth1.
func from(peer netip.AddrPort, data []byte) udp.Packet {
	return udp.Packet{Data: data, Peer: peer, Local: listen.RelayAgentsAndServers, Interface: eth1.Index}
}

// back is the response that a backend makes for a forwarded query.
func back(t testing.TB, forwarded []byte) []byte {
	t.Helper()
	var q ipc.Query
	if why := q.Parse(forwarded); why != drop.None {
		t.Fatalf("what was forwarded is %v", why)
	}
	frame, mark := ipc.BeginResponse(nil, &q)
	frame = append(frame, dhcpv4(2, 2)...)
	frame, why := mark.End(frame)
	if why != drop.None {
		t.Fatal(why)
	}
	return frame
}

func patched(b []byte, at int, v ...byte) []byte {
	b = bytes.Clone(b)
	copy(b[at:], v)
	return b
}

// want is what becomes of a datagram.
type want struct {
	fate fate
	why  drop.Reason
	rule silence.Reason
}

// accounted is a datagram of TestAccount.
type accounted struct {
	name string
	in   udp.Packet
	want want
}

// TestAccount sends a known mix through both halves and checks the ledgers: every datagram has one
// fate, and there is one for every reason.
func TestAccount(t *testing.T) {
	b := newBench(t)
	good := query(dhcpv4(1, 1))
	context := ipc.Context{Interface: []byte("eth1"), Source: client}
	frameOf := func(datagram []byte, c ipc.Context) []byte {
		var p dhcp6.Packet
		if why := p.Parse(datagram); why != drop.None {
			t.Fatal(why)
		}
		f, why := ipc.AppendQuery(nil, &p, c)
		if why != drop.None {
			t.Fatal(why)
		}
		return f
	}
	answerTo := func(c ipc.Context) []byte { return back(t, frameOf(good, c)) }
	infoRequest := func(options ...byte) []byte {
		return append(dhcp6.AppendMessage(nil, dhcp6.InformationRequest, [3]byte{1, 2, 3}), options...)
	}
	wants88 := []byte{0, 6, 0, 2, 0, 88}
	unicast := func(p udp.Packet) udp.Packet { p.Local = us; return p }
	at := func(p udp.Packet, ifindex int) udp.Packet { p.Interface = ifindex; return p }
	to := func(p udp.Packet, group string) udp.Packet { p.Local = netip.MustParseAddr(group); return p }
	waited := func(p udp.Packet, d time.Duration) udp.Packet {
		p.Received = b.now.Add(-d).UnixNano()
		return p
	}
	refused := netip.MustParseAddrPort("[2001:db8:2::dead]:547")
	b.link.Refuse(func(p udp.Packet) error {
		if p.Peer.Addr() == refused.Addr() {
			return unix.EHOSTUNREACH
		}
		return nil
	})

	// local is a datagram of a relay on this host, which needs a port of its own (RFC 8357).
	local := dhcp6.AppendRelayForward(nil, 0, us, client.Addr(), dhcp6.AppendOption(nil, dhcp6.OptRelayPort, []byte{0, 0}), good)
	link := []accounted{
		{"Q-1 query by multicast", from(client, good), want{fate: forwarded}},
		{"Q-31 query by unicast", unicast(from(netip.MustParseAddrPort("[2001:db8:1::99]:546"), good)), want{fate: forwarded}},
		{"D6-5 query from another port", from(netip.AddrPortFrom(client.Addr(), 5000), good), want{fate: forwarded}},
		{"Q-4 reserved flags", from(client, patched(good, 1, 0x7f, 0xff, 0xff)), want{fate: forwarded}},
		{"Q-2 IA_NA beside the message", from(client, with(good, dhcp6.OptIANA, make([]byte, 12))), want{fate: forwarded}},
		{"Q-2 two client identifiers beside it", from(client, with(with(good, dhcp6.OptClientID, duid), dhcp6.OptClientID, duid)), want{fate: forwarded}},
		{"Q-2 an empty client identifier and another server's", from(client, with(with(good, dhcp6.OptClientID, nil), dhcp6.OptServerID, foreign)), want{fate: forwarded}},
		{"Q-2 a vendor option of ISC's that is cut", from(client, with(good, dhcp6.OptVendorOpts, []byte{0, 0, 0x09, 0xbf, 0xea, 0x61, 0, 9})), want{fate: forwarded}},
		{"relayed query", unicast(from(relay, relayed(good, 1))), want{fate: forwarded}},
		{"RL-3 nine levels", unicast(from(relay, relayed(good, 9))), want{fate: forwarded}},
		{"RL-17 query by an LDRA", at(from(client, relayed(good, 1)), eth2.Index), want{fate: forwarded}},
		{"relayed query to the site's group", to(from(relay, relayed(good, 1)), "ff05::1:3"), want{fate: forwarded}},
		{"RL-24 a relay on this host with a port of its own", unicast(from(netip.MustParseAddrPort("[::1]:10547"), local)), want{fate: forwarded}},
		{"D6-9 our own server identifier", from(client, with(good, dhcp6.OptServerID, duid)), want{fate: forwarded}},
		{"D6-31 option 88 asked for", from(client, infoRequest(wants88...)), want{fate: answered}},
		{"D6-31 option 88 asked for through a relay", unicast(from(relay, relayed(infoRequest(wants88...), 1))), want{fate: answered}},
		{"nothing that we have is asked for", from(client, infoRequest(0, 6, 0, 2, 0, 23)), want{fate: silent, rule: silence.NothingToOffer}},

		{"truncated", udp.Packet{Data: good, Peer: client, Local: us, Interface: eth1.Index, Truncated: true}, want{why: drop.Truncated}},
		{"waited for longer than its client does", waited(from(client, query(dhcpv4(1, 3))), 3*time.Hour), want{why: drop.Stale}},
		{"a REQUEST that waited as long", waited(from(client, query(dhcpv4(1, 3))), 90*time.Minute), want{fate: forwarded}},
		{"over its rate", from(client, query(patched(dhcpv4(1, 1), nameAt, limitMe))), want{why: drop.RateLimited}},
		{"Q-34 interface not served", at(from(client, good), 9), want{why: drop.Interface}},
		{"hook", from(client, query(patched(dhcpv4(1, 1), nameAt, dropMe))), want{why: drop.Hook}},
		{"hook that panics", from(client, query(patched(dhcpv4(1, 1), nameAt, panicMe))), want{why: drop.HookPanic}},
		{"D6-1 empty", from(client, nil), want{why: drop.Malformed}},
		{"D6-1 option past the end", from(client, append(bytes.Clone(good), 0, 1, 0, 9)), want{why: drop.Malformed}},
		{"RL-4 ten levels", unicast(from(relay, patched(relayed(patched(relayed(good, 9), 1, 7), 1), 1, 8))), want{why: drop.RelayDepth}},
		{"RL-4 hop-count 9", unicast(from(relay, patched(relayed(good, 1), 1, 9))), want{why: drop.HopLimit}},
		{"RL-5 no Relay Message", unicast(from(relay, relayed(good, 1)[:34])), want{why: drop.RelayMessage}},
		{"RL-6 Relay-reply", unicast(from(relay, patched(relayed(good, 1), 0, 13))), want{why: drop.ServerMessage}},
		{"Q-30 DHCPV4-RESPONSE", from(client, patched(good, 0, 21)), want{why: drop.ServerMessage}},
		{"D6-10 Reply", from(client, []byte{7, 0, 0, 1}), want{why: drop.ServerMessage}},
		{"Q-21 unknown type", from(client, []byte{99, 0, 0, 1}), want{why: drop.UnknownType}},
		{"RL-24 a relay on this host at our own port", unicast(from(netip.MustParseAddrPort("[::1]:547"), relayed(good, 1))), want{why: drop.Source}},
		{"RL-24 a client on this host", from(netip.MustParseAddrPort("[::1]:546"), good), want{why: drop.Source}},
		{"source unspecified", from(netip.MustParseAddrPort("[::]:546"), good), want{why: drop.Source}},
		{"source port 0", from(netip.AddrPortFrom(client.Addr(), 0), good), want{why: drop.Source}},
		{"client to the site's group", to(from(client, good), "ff05::1:3"), want{why: drop.Destination}},
		{"all nodes", to(from(client, good), "ff02::1"), want{why: drop.Destination}},
		{"Q-34 unlisted relay", unicast(from(netip.MustParseAddrPort("[2001:db8:3::1]:547"), relayed(good, 1))), want{why: drop.RelayForbidden}},
		{"Q-34 LDRA where none is listed", from(client, relayed(good, 1)), want{why: drop.RelayForbidden}},
		{"D6-11 Information-request by unicast", unicast(from(client, infoRequest(wants88...))), want{why: drop.UnicastForbidden}},
		{"Solicit", from(client, []byte{1, 0, 0, 1}), want{why: drop.AddressAssignment}},
		{"D6-3 two client identifiers", from(client, with(with(infoRequest(wants88...), dhcp6.OptClientID, duid), dhcp6.OptClientID, duid)), want{why: drop.Identifier}},
		{"D6-9 another server's identifier", from(client, with(infoRequest(wants88...), dhcp6.OptServerID, foreign)), want{why: drop.ForeignServer}},
		{"D6-9 Information-request with IA_NA", from(client, infoRequest(append(wants88, 0, 3, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)...)), want{why: drop.ForbiddenOption}},
		{"Q-23 no option 87", from(client, query()), want{why: drop.NoMessage}},
		{"IPC-26 a probe from the network", from(client, ipc.AppendProbe(nil)), want{why: drop.NoMessage}},
		{"Q-25 two options 87", from(client, query(dhcpv4(1, 1), dhcpv4(1, 1))), want{why: drop.ManyMessages}},
		{"RL-25 256 options", from(client, append(query(dhcpv4(1, 1)), bytes.Repeat([]byte{0, 200, 0, 0}, 255)...)), want{why: drop.ManyOptions}},
		{"Q-8 empty option 87", from(client, query(nil)), want{why: drop.ShortMessage}},
		{"Q-8 239 octets", from(client, query(dhcpv4(1, 1)[:239])), want{why: drop.ShortMessage}},
		{"Q-8 4097 octets", from(client, query(append(dhcpv4(1, 1), make([]byte, 4097-len(dhcpv4(1, 1)))...))), want{why: drop.LongMessage}},
		{"Q-8 wrong cookie", from(client, query(patched(dhcpv4(1, 1), 236, 0))), want{why: drop.NoCookie}},
		{"too long with its context", from(client, with(good, 1000, make([]byte, 65240))), want{why: drop.Oversize}},
		{"an answer longer than a datagram", unicast(from(relay, dhcp6.AppendRelayForward(nil, 0, us, client.Addr(),
			dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, make([]byte, 65450)), infoRequest(wants88...)))), want{why: drop.ReplyTooBig}},
		{"the kernel refuses our answer", unicast(from(refused, relayed(infoRequest(wants88...), 1))), want{why: drop.SendError}},
	}
	ipcs := []accounted{
		{"response", udp.Packet{Data: answerTo(context), Peer: fourd}, want{fate: relayedOn}},
		{"relayed response", udp.Packet{Data: back(t, frameOf(relayed(good, 2), ipc.Context{Interface: []byte("eth2"), Source: relay})), Peer: fourd}, want{fate: relayedOn}},
		{"IPC-26 answer to a probe", udp.Packet{Data: ipc.AppendProbeReply(nil), Peer: fourd}, want{fate: probe}},
		{"IPC-24 not a peer", udp.Packet{Data: answerTo(context), Peer: netip.MustParseAddrPort("[::1]:6769")}, want{why: drop.WrongPeer}},
		{"truncated", udp.Packet{Data: answerTo(context), Peer: fourd, Truncated: true}, want{why: drop.Truncated}},
		{"garbage", udp.Packet{Data: []byte("garbage"), Peer: fourd}, want{why: drop.Malformed}},
		{"IPC-6 no context", udp.Packet{Data: patched(good, 0, 21), Peer: fourd}, want{why: drop.Context}},
		{"IPC-21 a query", udp.Packet{Data: frameOf(good, context), Peer: fourd}, want{why: drop.IPCType}},
		{"IPC-8 interface not served", udp.Packet{Data: answerTo(ipc.Context{Interface: []byte("eth7"), Source: client}), Peer: fourd}, want{why: drop.IPCInterface}},
		{"IPC-24 to a group", udp.Packet{Data: answerTo(ipc.Context{Interface: []byte("eth1"), Source: netip.MustParseAddrPort("[ff02::1]:546")}), Peer: fourd}, want{why: drop.IPCDestination}},
		{"hook", udp.Packet{Data: poison(answerTo(context), dropMe), Peer: fourd}, want{why: drop.Hook}},
		{"hook that panics", udp.Packet{Data: poison(answerTo(context), panicMe), Peer: fourd}, want{why: drop.HookPanic}},
		{"the kernel refuses", udp.Packet{Data: answerTo(ipc.Context{Interface: []byte("eth1"), Source: refused}), Peer: fourd}, want{why: drop.SendError}},
	}

	reached, silences := map[drop.Reason]bool{}, map[silence.Reason]bool{}
	account := func(b *bench, socket, name string, w want, step func()) {
		t.Helper()
		t.Run(socket+" "+name, func(t *testing.T) {
			series, at := map[string]float64{}, b.scrape(t)
			for _, r := range drop.Of(drop.DHCP6D) {
				series["dropped "+r.Label()] = at("dhcp6d_packets_dropped_total", "socket="+socket, "reason="+r.Label())
			}
			fates := map[fate]string{forwarded: "dhcp6d_queries_forwarded_total", answered: "dhcp6d_packets_answered_total",
				relayedOn: "dhcp6d_responses_relayed_total", probe: "dhcp6d_ipc_probe_replies_total",
				passed: "dhcp6d_messages_passed_total", returned: "dhcp6d_messages_returned_total"}
			for _, n := range fates {
				series[n] = at(n)
			}
			for _, r := range silence.Of(drop.DHCP6D) {
				series["silent "+r.Label()] = at("dhcp6d_packets_silent_total", "socket="+socket, "reason="+r.Label())
			}
			received := map[string]string{"link": "dhcp6d_packets_received_total", "ipc": "dhcp6d_ipc_packets_received_total"}[socket]
			series[received] = at(received)
			step()
			expected := fates[w.fate]
			if w.fate == dropped {
				expected = "dropped " + w.why.Label()
				reached[w.why] = true
			} else if w.fate == silent {
				expected = "silent " + w.rule.Label()
				silences[w.rule] = true
			}
			at = b.scrape(t)
			for n, before := range series {
				var now float64
				if reason, ok := strings.CutPrefix(n, "dropped "); ok {
					now = at("dhcp6d_packets_dropped_total", "socket="+socket, "reason="+reason)
				} else if reason, ok := strings.CutPrefix(n, "silent "); ok {
					now = at("dhcp6d_packets_silent_total", "socket="+socket, "reason="+reason)
				} else {
					now = at(n)
				}
				wanted := before
				if n == expected || n == received {
					wanted++
				}
				if now != wanted {
					t.Errorf("%s went from %v to %v, want %v", n, before, now, wanted)
				}
			}
		})
	}
	for _, c := range link {
		account(b, "link", c.name, c.want, func() { b.up.batch([]udp.Packet{c.in}) })
	}
	passing := newPassBench(t, nil)
	for _, c := range passAccount(t, passing) {
		account(passing, "link", c.name, c.want, func() { passing.up.batch([]udp.Packet{c.in}) })
	}
	for _, c := range ipcs {
		account(b, "ipc", c.name, c.want, func() { b.down.batch([]udp.Packet{c.in}) })
	}
	t.Run("ipc IPC-27 unsigned", func(t *testing.T) {
		keyed := newKeyedBench(t, ipc.Keys{key})
		keyed.down.batch([]udp.Packet{{Data: answerTo(context), Peer: fourd}})
		if keyed.sum(t, "dhcp6d_packets_dropped_total", "reason=unauthentic") != 1 {
			t.Error("not counted")
		}
		reached[drop.Unauthentic] = true
		keyed.up.batch([]udp.Packet{from(client, good)})
		if keyed.sum(t, "dhcp6d_packets_dropped_total", "reason=no_session") != 1 || len(keyed.ipc.Sent(0)) != 0 {
			t.Error("a query is sent, or not counted, before there is a session")
		}
		reached[drop.NoSession] = true
	})
	t.Run("link owner down", func(t *testing.T) {
		owned := newBench(t, backend.Spec{Name: "four", Host: "::1", Port: 6768}, backend.Spec{Name: "named", Host: "not.resolved.yet", Port: 1})
		owned.set.Configure([]backend.Spec{{Name: "four", Host: "::1", Port: 6768}, {Name: "named", Host: "not.resolved.yet", Port: 1}},
			[]backend.Range{{Backend: "named", First: netip.MustParseAddr("192.0.2.0"), Last: netip.MustParseAddr("192.0.2.255")}})
		owned.up.batch([]udp.Packet{from(client, query(patched(dhcpv4(1, 3), 12, 192, 0, 2, 7)))})
		if owned.sum(t, "dhcp6d_packets_dropped_total", "reason=owner_down") != 1 {
			t.Error("not counted")
		}
		reached[drop.OwnerDown] = true
	})
	t.Run("link more than a backend takes", func(t *testing.T) {
		slow := newBench(t)
		slow.up.Queries = sink{}
		many := make([]udp.Packet, 10_000)
		for i := range many {
			many[i] = from(client, query(dhcpv4(1, 3)))
		}
		slow.up.batch(many)
		over := slow.sum(t, "dhcp6d_packets_dropped_total", "reason=queue_full")
		if over == 0 || over+slow.sum(t, "dhcp6d_queries_forwarded_total") != 10_000 {
			t.Errorf("%v of 10000 dropped", over)
		}
		reached[drop.QueueFull] = true
	})
	t.Run("link no backend", func(t *testing.T) {
		alone := newBench(t, backend.Spec{Name: "named", Host: "not.resolved.yet", Port: 1})
		alone.up.batch([]udp.Packet{from(client, good)})
		if alone.sum(t, "dhcp6d_packets_dropped_total", "reason=no_backend") != 1 {
			t.Error("not counted")
		}
		reached[drop.NoBackend] = true
	})
	for _, r := range drop.Of(drop.DHCP6D) {
		if !reached[r] {
			t.Errorf("no datagram was dropped as %s: %s", r, r.Meaning())
		}
	}
	for _, r := range silence.Of(drop.DHCP6D) {
		if !silences[r] {
			t.Errorf("no message was left unanswered as %s: %s", r, r.Meaning())
		}
	}
}

// poison marks the DHCPv4 message in a frame.
func poison(frame []byte, mark byte) []byte {
	at := bytes.Index(frame, []byte{0x63, 0x82, 0x53, 0x63}) - 236
	return patched(frame, at+nameAt, mark)
}
